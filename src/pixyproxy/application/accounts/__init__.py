"""Use cases around users and their API keys."""
