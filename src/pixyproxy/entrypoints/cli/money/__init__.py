"""Commands around money."""
