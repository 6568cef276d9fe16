"""Pictures from OpenAI, or from any server that speaks its images API."""
