"""Measurements of the running service for those who operate it."""
