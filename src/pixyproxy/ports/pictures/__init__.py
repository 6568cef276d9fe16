"""Ports to the recognition and scaling of pictures."""
