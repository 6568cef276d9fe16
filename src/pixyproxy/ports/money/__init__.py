"""Ports around money."""
