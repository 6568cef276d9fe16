"""The use cases: they know domain and ports and nothing else."""
