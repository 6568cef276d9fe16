"""Leases, reconciling, verifying and rebuilding."""
