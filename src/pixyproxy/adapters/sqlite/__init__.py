"""Images and users in one SQLite file, through the standard library."""
