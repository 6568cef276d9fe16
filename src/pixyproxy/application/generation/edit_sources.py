"""Edit sources: pictures that another is made from, uploaded or stored, checked before anything is paid."""

import asyncio
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

from pixyproxy.application.fields import MAX_IMAGES
from pixyproxy.application.images.content import ImageContent
from pixyproxy.domain import access
from pixyproxy.domain.errors import DataValidationError, ImageNotFoundError
from pixyproxy.domain.generation import EditSource
from pixyproxy.domain.image import parse_guid
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

    def close(self) -> None:
        """Close all files."""
        for image in (*self.images, *self.attachments.values()):
            image.file.close()


class EditSourceReader:
    """Reads and checks the sources that a caller names."""

    def __init__(self, images: ImageRepository, blobs: BlobStore, inspector: PictureInspector) -> None:
        self._images = images
        self._blobs = blobs
        self._inspector = inspector
        # A picture is in memory while it is inspected: one at a time.
        self._inspecting = asyncio.Lock()

    async def read(self, viewer: str | None, references: SourceReferences) -> EditSources:
        """Return the named sources; on an error all files are closed.

        Raises:
            DataValidationError: if there are too many, they are too large, or one is no picture.
            ImageNotFoundError: if there is no such stored image that the viewer may see.
            ImageNotReadyError: if a stored image has no bytes.
        """
        sources = EditSources()
        try:
            _check_number(references)
            for number, source in enumerate(references.images):
                sources.images += (await self._source(viewer, source, ("image", number), references.opened),)
                if isinstance(source, str):
                    sources.derived_from += (parse_guid(source),)
                _check_total(sources)
            for name, source in references.attachments.items():
                sources.attachments[name] = await self._source(viewer, source, (name,), references.opened)
                _check_total(sources)
        except BaseException:
            sources.close()
            references.close()
            raise
        return sources

    async def _source(
        self, viewer: str | None, source: Source, loc: tuple[str | int, ...], opened: frozenset[str]
    ) -> EditSource:
        if isinstance(source, str):
            return await self._stored(viewer, source, opened)
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

    async def _stored(self, viewer: str | None, guid: str, opened: frozenset[str]) -> EditSource:
        try:
            image = await self._images.get(parse_guid(guid))
            if image.guid not in opened:
                access.require_visible(image, viewer)
        except ImageNotFoundError:
            raise ImageNotFoundError(f"There is no image {guid[:100]!r} to be edited.") from None
        content = ImageContent.of(image, self._blobs)
        result = content.result
        if result.size_bytes > MAX_SOURCE_BYTES:
            raise DataValidationError(f"The image {image.guid} is larger than {MAX_SOURCE_BYTES // _MIB} MiB.")
        file = tempfile.SpooledTemporaryFile(max_size=_MIB)  # noqa: SIM115 - EditSources closes it
        try:
            async with await content.read() as reader:
                async for piece in reader:
                    await asyncio.to_thread(file.write, piece)
        except BaseException:
            file.close()
            raise
        return EditSource(file, result.picture, result.size_bytes, result.sha256)  # type: ignore[arg-type]


def _check_number(references: SourceReferences) -> None:
    if len(references.images) > MAX_IMAGES:
        raise DataValidationError.at(("image",), f"must be at most {MAX_IMAGES} images")
    if references.attachments and not references.images:
        name = next(iter(references.attachments))
        raise DataValidationError.at(("image",), f"must be given with {name!r}")


def _check_total(sources: EditSources) -> None:
    if sum(source.size_bytes for source in (*sources.images, *sources.attachments.values())) > MAX_SOURCES_BYTES:
        raise DataValidationError.at(("image",), f"must be at most {MAX_SOURCES_BYTES // _MIB} MiB together")


def _read(file: BinaryIO) -> tuple[bytes, str]:
    file.seek(0)
    data = file.read(MAX_SOURCE_BYTES)
    file.seek(0)
    return data, hashlib.sha256(data).hexdigest()
