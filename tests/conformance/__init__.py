"""Contract suites: every adapter passes those of its ports."""
