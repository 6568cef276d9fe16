"""Stand-ins for what the tests cannot have for real, on real sockets."""
