"""Copies of the edit sources of calls that wait, in the blob store until the call has ended."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from pixyproxy.application.spool import Spool, SpoolFile, append_as_file
from pixyproxy.domain.errors import BlobMissingError, BlobStoreError, GeneratorError
from pixyproxy.domain.generation import PERSONAL_OPTIONS, EditSource, GenerationRequest, QueuedCall, StoredSource
from pixyproxy.domain.image import Image, new_guid
from pixyproxy.ports.blob_store import BlobStore

logger = logging.getLogger(__name__)

_OWNER = "edit_source_of"
"""The name in a sidecar under which the GUID of the first image of the call stands."""


def owner_of(sidecar: Mapping[str, Any]) -> str | None:
    """Return the GUID of the image that a stored blob is an edit source of; None if it is none."""
    owner = sidecar.get(_OWNER)
    return owner if isinstance(owner, str) else None


class StoredSources:
    """Makes calls last that wait for their turn: what their rows do not hold, and copies of their edit sources."""

    def __init__(self, blobs: BlobStore, spool: Spool) -> None:
        self._blobs = blobs
        self._spool = spool

    async def keep(self, guid: str, request: GenerationRequest, party: str) -> QueuedCall:
        """Store copies of the edit sources of a call, whose first image has this GUID, and return the call.

        Raises:
            BlobStoreError: The copies cannot be stored; none is left.
        """
        kept: list[StoredSource] = []

        async def copy(source: EditSource) -> StoredSource:
            stored = StoredSource(new_guid(), source.picture, source.size_bytes, source.sha256)
            data = await asyncio.to_thread(_read, source)
            await self._blobs.put(stored.guid, data, {"guid": stored.guid, _OWNER: guid})
            kept.append(stored)
            return stored

        personal = {name: value for name, value in request.options.items() if name in PERSONAL_OPTIONS}
        try:
            images = [await copy(source) for source in request.images]
            attachments = {name: await copy(source) for name, source in request.attachments.items()}
        except BaseException:
            await self.drop(QueuedCall(party, images=tuple(kept)))
            raise
        return QueuedCall(party, personal, tuple(images), attachments)

    async def restore(self, images: Sequence[Image], call: QueuedCall) -> GenerationRequest:
        """Return the request of a call that another process had queued, made from its rows and copies.

        Raises:
            GeneratorError: A copy is gone.
            BlobStoreError: The store cannot be reached.
        """
        request = images[0].request
        options = {name: value for name, value in request.parameters.items() if name != "n"} | dict(call.personal)
        with closing(self._spool.open()) as file:
            try:
                sources = [await self._source(stored, file) for stored in call.images]
                attachments = {name: await self._source(stored, file) for name, stored in call.attachments.items()}
            except BlobMissingError:
                raise GeneratorError("A picture to edit is gone from the store: nothing was paid.") from None
        return GenerationRequest(
            prompt=request.prompt,
            model=request.model,
            options=options,
            n=len(images),
            images=tuple(sources),
            attachments=attachments,
        )

    async def drop(self, call: QueuedCall) -> None:
        """Delete the copies of a call that has ended; those that cannot be deleted now the sweep finds."""
        for source in call.sources:
            try:
                await self._blobs.delete(source.guid)
            except BlobStoreError as error:
                logger.warning("the copy %s of an edit source stays for now: %s", source.guid, error.message)

    async def _source(self, stored: StoredSource, file: SpoolFile) -> EditSource:
        async with await self._blobs.read(stored.guid, size=stored.size_bytes) as reader:
            copy = await append_as_file(file, reader)
        return EditSource(copy, stored.picture, stored.size_bytes, stored.sha256)


def _read(source: EditSource) -> bytes:
    source.file.seek(0)
    data = source.file.read()
    source.file.seek(0)
    return data
