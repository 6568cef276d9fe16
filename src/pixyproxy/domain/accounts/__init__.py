"""The credentials of users: API keys and login sessions."""
