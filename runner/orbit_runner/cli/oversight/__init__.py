"""What is watched over: the audit log, limits, trigger tokens."""
