"""The blob store and the thumbnail store in a bucket of an S3 server."""
