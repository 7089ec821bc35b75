"""When suites are run by themselves."""
