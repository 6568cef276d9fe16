"""Password hashing with Argon2."""
