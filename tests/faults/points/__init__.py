"""Every durable step of the service, and what is left when the process dies or the disk fails right there."""
