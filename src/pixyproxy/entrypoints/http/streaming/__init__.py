"""Responses with pictures that are sent piece by piece, while they are made or read."""
