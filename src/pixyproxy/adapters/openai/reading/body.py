"""Body of a response while it arrives."""

_LARGE_BYTES = 64 * 1024


class Body:
    """The pieces of a body, which become one only where all of it is needed.

    One buffer that grows is copied again and again, which took a tenth of the event loop's time when many pictures
    arrived. Small pieces are collected, as each object takes more memory than its bytes.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Append a piece."""
        self.size += len(piece)
        last = self._pieces[-1] if self._pieces else b""
        if len(piece) >= _LARGE_BYTES:
            self._pieces.append(piece)
        elif isinstance(last, bytearray) and len(last) < _LARGE_BYTES:
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def clear(self) -> None:
        """Forget all pieces."""
        self._pieces.clear()
        self.size = 0

    def joined(self) -> bytes:
        """Return the whole body."""
        return b"".join(self._pieces)

    def head(self, size: int) -> bytes:
        """Return the first bytes, at most so many."""
        head = b""
        for piece in self._pieces:
            if len(head) >= size:
                break
            head += piece[: size - len(head)]
        return head

    def tail(self, size: int) -> bytes:
        """Return the last bytes, at most so many."""
        tail = b""
        for piece in reversed(self._pieces):
            if len(tail) >= size:
                break
            tail = bytes(piece[len(tail) - size :]) + tail
        return tail
