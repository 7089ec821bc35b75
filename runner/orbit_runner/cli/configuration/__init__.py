"""What tests are given: environments, variables, secrets, credentials."""
