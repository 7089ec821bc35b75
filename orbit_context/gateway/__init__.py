"""The way to the database: a port, and one adapter for each way there is."""
