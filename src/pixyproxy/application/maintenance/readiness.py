"""The use case that tells whether everything the service needs is there."""

import asyncio
from collections.abc import Awaitable

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_repository import ImageRepository


class Readiness:
    """Asks database and blob store; the generator counts as ready once configured, since asking it may cost."""

    def __init__(self, images: ImageRepository, blobs: BlobStore, generations: GenerationRunner) -> None:
        self._images = images
        self._blobs = blobs
        self._generations = generations

    async def check(self) -> dict[str, str]:
        """Each part with `ok` or the code of what is wrong with it; holds no secrets."""
        database, blob_store = await asyncio.gather(
            _outcome(self._images.ping()), _outcome(self._blobs.check_writable())
        )
        generator = "draining" if self._generations.draining else "ok"
        return {"database": database, "blob_store": blob_store, "generator": generator}


async def _outcome(asked: Awaitable[None]) -> str:
    try:
        await asked
    except PixyProxyException as error:
        return error.code
    return "ok"
