"""Offline generator that draws sketches."""
