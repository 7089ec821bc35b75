"""What the commands do whose runs the shared workers execute."""
