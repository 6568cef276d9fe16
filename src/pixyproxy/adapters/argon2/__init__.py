"""Adapter for password hashing with Argon2."""
