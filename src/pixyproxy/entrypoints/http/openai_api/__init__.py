"""OpenAI's images API: the same wire, so that any of its clients works unchanged."""
