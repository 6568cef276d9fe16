"""Real pictures for the fake upstream: one per prompt, in a chosen format and of about a chosen size in bytes."""

import hashlib
import io
import math
import random
import struct
import zlib
from functools import lru_cache

from PIL import Image


@lru_cache(maxsize=64)
def picture(prompt: str, image_format: str = "png", size_bytes: int | None = None) -> bytes:
    """The same picture for the same prompt, another for another; noise where a size is asked for."""
    seed = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
    if image_format not in ("jpeg", "webp"):
        return _png(seed, size_bytes)
    side = 32 if size_bytes is None else max(8, round(math.sqrt(size_bytes / 2)))
    file = io.BytesIO()
    Image.frombytes("RGB", (side, side), _noise(seed, side * side * 3)).save(file, image_format.upper(), quality=90)
    return file.getvalue()


def _png(seed: bytes, size_bytes: int | None) -> bytes:
    """An 8-bit RGB PNG (RFC 2083), written by hand because stored noise makes any size at no cost."""
    if size_bytes is None:
        width, height, level = 32, 32, 6
        rows = b"\0" + bytes((seed[0], seed[1], seed[2])) * width
        pixels = rows * (height - 1) + b"\0" + (seed + seed + seed)[: width * 3]
    else:
        width = max(1, min(1024, size_bytes // 64))
        height, level = max(1, round(size_bytes / (width * 3 + 1))), 0
        noise = _noise(seed, width * height * 3)
        pixels = b"".join(b"\0" + noise[row * width * 3 : (row + 1) * width * 3] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, level)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _noise(seed: bytes, length: int) -> bytes:
    return random.Random(seed).randbytes(length)
