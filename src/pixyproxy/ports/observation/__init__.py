"""Ports to what those who operate the service see of it."""
