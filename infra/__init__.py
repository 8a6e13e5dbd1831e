"""Everything that waits: the log, the database, the server, the settings."""
