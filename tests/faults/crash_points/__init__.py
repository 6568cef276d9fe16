"""Crashes and errors at each durable step of the service."""
