"""Counters in moving windows, with the `limits` library."""
