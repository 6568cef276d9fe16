"""Several machines: services behind HAProxy, on a Galera cluster, S3 and Redis, each part of which is killed."""
