"""SHA-256 of pictures without blocking the event loop."""

import asyncio
import hashlib

_INLINE_MAX_BYTES = 64 * 1024
"""Size up to which hashing takes less time than handing it to a thread."""


async def update_hash(hasher: "hashlib._Hash", data: bytes) -> None:
    """Add bytes to a hash, on a thread if they are many."""
    if len(data) <= _INLINE_MAX_BYTES:
        hasher.update(data)
    else:
        await asyncio.to_thread(hasher.update, data)


async def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    hasher = hashlib.sha256()
    await update_hash(hasher, data)
    return hasher.hexdigest()
