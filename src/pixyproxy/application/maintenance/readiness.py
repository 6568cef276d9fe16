"""The use case that checks if everything the service needs is available."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.maintenance.generator_health import GeneratorHealth
from pixyproxy.application.maintenance.store_binding import StoreBinding
from pixyproxy.domain.errors import DBConnectionError, PixyProxyException
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_repository import ImageRepository


class Readiness:
    """A check of database, blob store and generator."""

    def __init__(
        self,
        images: ImageRepository,
        blobs: BlobStore,
        binding: StoreBinding,
        runner: GenerationRunner,
        generator: GeneratorHealth,
    ) -> None:
        self._images = images
        self._blobs = blobs
        self._binding = binding
        self._runner = runner
        self._generator = generator

    async def check(self) -> dict[str, str]:
        """Return `ok` or an error code for each part, with the reason for the generator; holds no secrets."""
        database, blob_store, generator = await asyncio.gather(
            _outcome(self._images.ping()), _outcome(self._check_blob_store()), self._generator.state()
        )
        if self._runner.draining:
            generator = "draining"
        return {"database": database, "blob_store": blob_store, "generator": generator}

    async def _check_blob_store(self) -> None:
        await self._blobs.check_writable()
        # A database that cannot be asked has failed its own check.
        with suppress(DBConnectionError):
            await self._binding.verify()


async def _outcome(check: Awaitable[None]) -> str:
    try:
        await check
    except PixyProxyException as error:
        return error.code
    return "ok"
