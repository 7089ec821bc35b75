"""Running suites, and what is known of their runs."""
