"""PixyProxy, the image gateway: pictures that were paid for are never lost and never paid for twice."""
