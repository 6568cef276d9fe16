"""The bytes of a picture as the readers of its header see them: a bounded part, however they are made."""

MAX_BYTES = 4 * 1024 * 1024
MAX_READS = 1024
"""A segment, chunk, box or block takes one read. Files have a few dozen; a large provenance manifest adds hundreds."""


class HeaderBytes:
    """Bytes that are read in pieces from any position, until `MAX_BYTES` or `MAX_READS` are reached."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.bytes_read = 0
        self.reads = 0

    def read(self, at: int, count: int) -> bytes:
        """Return the bytes from a position on; raise ValueError unless there are so many, and after too many reads."""
        self.bytes_read += count
        self.reads += 1
        if self.bytes_read > MAX_BYTES or self.reads > MAX_READS:
            raise ValueError("the header is too long")
        if at < 0 or at + count > self.size:
            raise ValueError("the header ends early")
        return self._data[at : at + count]
