"""Connections of clients: HTTP/1 on them, and the bounds that each and all of them have."""
