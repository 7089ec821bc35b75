"""What `orbit pipeline` does."""
