"""Tests with real servers, sockets and processes."""
