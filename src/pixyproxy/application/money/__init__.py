"""Use cases around money."""
