"""Attacks of strangers, one module per subject."""
