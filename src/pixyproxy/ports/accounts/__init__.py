"""The ports to the accounts of users: the roster, API keys and login sessions."""
