"""Copies of the rows of a database to another one."""
