"""What Orbit stands on: the database, this machine, who is signed in."""
