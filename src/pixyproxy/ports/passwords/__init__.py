"""Ports to work on passwords."""
