"""Generator for OpenAI, or for any server that implements its images API."""
