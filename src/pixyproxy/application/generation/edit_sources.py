"""Edit sources: pictures that another is made from, uploaded or stored, checked before anything is paid."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

from pixyproxy.application.fields import MAX_IMAGES
from pixyproxy.application.images.content import ImageContent
from pixyproxy.application.spool import Spool, SpoolFile, append_as_file
from pixyproxy.domain import access
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.errors import DataValidationError, ImageNotFoundError
from pixyproxy.domain.generation import EditSource
from pixyproxy.domain.image import Picture, parse_guid
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.pictures.picture_inspector import PictureInspector

MAX_SOURCE_BYTES = 50 * 1024 * 1024
MAX_SOURCES_BYTES = 200 * 1024 * 1024
_MIB = 1024 * 1024


Source: TypeAlias = BinaryIO | str
"""An uploaded picture, as a seekable file, open for reading; or the GUID of a stored image."""


@dataclass(slots=True)
class SourceReferences:
    """The sources that a caller names: images, and further pictures by the names of their parameters (`mask`).

    `opened` are the GUIDs that the caller has signed URLs of, which replace the access check.
    """

    images: Sequence[Source] = ()
    attachments: Mapping[str, Source] = field(default_factory=dict)
    opened: frozenset[str] = frozenset()

    def close(self) -> None:
        """Close all uploaded files."""
        for source in (*self.images, *self.attachments.values()):
            if not isinstance(source, str):
                source.close()


@dataclass(slots=True)
class EditSources:
    """Checked sources; `derived_from` are the GUIDs of those that are stored here."""

    images: tuple[EditSource, ...] = ()
    attachments: dict[str, EditSource] = field(default_factory=dict)
    derived_from: tuple[str, ...] = ()

    def sizes(self) -> Iterator[int]:
        """Return the bytes of each."""
        return (source.size_bytes for source in (*self.images, *self.attachments.values()))

    def close(self) -> None:
        """Close all files."""
        for image in (*self.images, *self.attachments.values()):
            image.file.close()


class EditSourceReader:
    """Reads and checks the sources that a caller names."""

    def __init__(self, images: ImageRepository, blobs: BlobStore, inspector: PictureInspector, spool: Spool) -> None:
        self._images = images
        self._blobs = blobs
        self._inspector = inspector
        self._spool = spool
        # A picture is in memory while it is inspected: one at a time.
        self._inspecting = asyncio.Lock()

    async def read(self, viewer: Viewer, references: SourceReferences) -> EditSources:
        """Return the named sources; on an error all files are closed.

        Raises:
            DataValidationError: if there are too many, they are too large, or one is no picture.
            ImageNotFoundError: if there is no such stored image that the viewer may see.
            ImageNotReadyError: if a stored image has no bytes.
            CapacityExceededError, BlobStoreFullError: if the spool has no room for a copy of a stored image.
        """
        sources, opened = EditSources(), references.opened
        with closing(self._spool.open()) as file:
            try:
                _check_number(references)
                for number, source in enumerate(references.images):
                    sources.images += (await self._source(viewer, source, ("image", number), opened, file),)
                    if isinstance(source, str):
                        sources.derived_from += (parse_guid(source),)
                    _check_total(sources.sizes())
                for name, source in references.attachments.items():
                    sources.attachments[name] = await self._source(viewer, source, (name,), opened, file)
                    _check_total(sources.sizes())
            except BaseException:
                sources.close()
                references.close()
                raise
        return sources

    async def find(self, viewer: Viewer, guids: Sequence[str]) -> tuple[Picture, ...]:
        """Return the pictures of stored images without reading them; the errors are those of `read`."""
        results = [(await self._content(viewer, guid, frozenset())).result for guid in guids]
        _check_total(result.size_bytes for result in results)
        return tuple(result.picture for result in results)

    async def _source(
        self, viewer: Viewer, source: Source, loc: tuple[str | int, ...], opened: frozenset[str], file: SpoolFile
    ) -> EditSource:
        if isinstance(source, str):
            return await self._stored(viewer, source, opened, file)
        size = await asyncio.to_thread(source.seek, 0, 2)
        if size > MAX_SOURCE_BYTES:
            raise DataValidationError.at(loc, f"must be at most {MAX_SOURCE_BYTES // _MIB} MiB large")
        async with self._inspecting:
            data, sha256 = await asyncio.to_thread(_read, source)
            try:
                picture = await self._inspector.inspect(data)
            except DataValidationError as error:
                raise DataValidationError.at(loc, f"must be a picture: {error.message}") from None
        return EditSource(source, picture, size, sha256)

    async def _content(self, viewer: Viewer, guid: str, opened: frozenset[str]) -> ImageContent:
        try:
            guid = parse_guid(guid)
            if guid in opened:
                image = await self._images.get(guid)
                access.require_linkable(image)
            else:
                image = await self._images.get_visible(guid, viewer)
        except ImageNotFoundError:
            raise ImageNotFoundError(f"There is no image {guid[:100]!r} to be edited.") from None
        content = ImageContent.of(image, self._blobs)
        if content.result.size_bytes > MAX_SOURCE_BYTES:
            raise DataValidationError(f"The image {image.guid} is larger than {MAX_SOURCE_BYTES // _MIB} MiB.")
        return content

    async def _stored(self, viewer: Viewer, guid: str, opened: frozenset[str], file: SpoolFile) -> EditSource:
        content = await self._content(viewer, guid, opened)
        result = content.result
        async with await content.read() as reader:
            copy = await append_as_file(file, reader)
        return EditSource(copy, result.picture, result.size_bytes, result.sha256)


def _check_number(references: SourceReferences) -> None:
    if len(references.images) > MAX_IMAGES:
        raise DataValidationError.at(("image",), f"must be at most {MAX_IMAGES} images")
    if references.attachments and not references.images:
        name = next(iter(references.attachments))
        raise DataValidationError.at(("image",), f"must be given with {name!r}")


def _check_total(sizes: Iterable[int]) -> None:
    if sum(sizes) > MAX_SOURCES_BYTES:
        raise DataValidationError.at(("image",), f"must be at most {MAX_SOURCES_BYTES // _MIB} MiB together")


def _read(file: BinaryIO) -> tuple[bytes, str]:
    file.seek(0)
    data = file.read(MAX_SOURCE_BYTES)
    file.seek(0)
    return data, hashlib.sha256(data).hexdigest()
