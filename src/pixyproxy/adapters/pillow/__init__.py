"""Adapters for inspecting and scaling pictures with Pillow."""
