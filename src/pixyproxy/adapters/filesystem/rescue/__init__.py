"""Bytes that could not be stored in their place: the folders that keep them, and their way back."""
