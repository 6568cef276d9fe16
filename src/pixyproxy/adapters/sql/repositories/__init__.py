"""Repositories on an SQL database, MySQL or SQLite."""
