"""The pictures that another is made from: uploaded or stored, bounded, and looked at before anything is paid."""

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
from pixyproxy.domain.image import Image, parse_guid
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.picture_inspector import PictureInspector

MAX_INPUT_BYTES = 50 * 1024 * 1024
MAX_INPUTS_BYTES = 200 * 1024 * 1024
_IN_MEMORY_BYTES = 1024 * 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UploadedSource:
    """A picture that the caller sent: a seekable file, open for reading, which whoever takes the upload closes."""

    file: BinaryIO


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A picture that is stored here already, named by its GUID."""

    guid: str


Source: TypeAlias = UploadedSource | StoredSource


@dataclass(slots=True)
class SourceReferences:
    """What a caller wants a picture to be made from: images, and others by the names of their parameters (`mask`)."""

    images: Sequence[Source] = ()
    attachments: Mapping[str, Source] = field(default_factory=dict)

    def close(self) -> None:
        """Close all files that were uploaded."""
        for source in (*self.images, *self.attachments.values()):
            if isinstance(source, UploadedSource):
                source.file.close()


@dataclass(slots=True)
class EditSources:
    """Pictures that were looked at and may be used; `derived_from` are the GUIDs of the images that are stored here."""

    images: tuple[EditSource, ...] = ()
    attachments: dict[str, EditSource] = field(default_factory=dict)
    derived_from: tuple[str, ...] = ()

    def close(self) -> None:
        """Close all files."""
        for image in (*self.images, *self.attachments.values()):
            image.file.close()


class EditSourceReader:
    """Turns sources into inputs."""

    def __init__(self, images: ImageRepository, blobs: BlobStore, inspector: PictureInspector) -> None:
        self._images = images
        self._blobs = blobs
        self._inspector = inspector
        # A picture is held in memory while it is looked at: one at a time.
        self._looking = asyncio.Lock()

    async def read(self, viewer: str | None, sources: SourceReferences) -> EditSources:
        """The inputs that these sources are; their files are closed when this raises.

        Raises DataValidationError for too many, too large ones and what is no picture, ImageNotFoundError and
        ImageNotReadyError for stored images that the viewer may not see or that have no bytes.
        """
        inputs = EditSources()
        try:
            _check_number(sources)
            total = 0
            for number, source in enumerate(sources.images):
                image = await self._input(viewer, source, ("image", number))
                inputs.images += (image,)
                if isinstance(source, StoredSource):
                    inputs.derived_from += (parse_guid(source.guid),)
                total = _added(total, image)
            for name, source in sources.attachments.items():
                inputs.attachments[name] = await self._input(viewer, source, (name,))
                total = _added(total, inputs.attachments[name])
        except BaseException:
            inputs.close()
            sources.close()
            raise
        return inputs

    async def _input(self, viewer: str | None, source: Source, loc: tuple[str | int, ...]) -> EditSource:
        if isinstance(source, StoredSource):
            return await self._stored(viewer, source.guid)
        size = await asyncio.to_thread(source.file.seek, 0, 2)
        if size > MAX_INPUT_BYTES:
            raise DataValidationError.at(loc, f"must be at most {MAX_INPUT_BYTES // _MIB} MiB large")
        async with self._looking:
            data, sha256 = await asyncio.to_thread(_read, source.file)
            try:
                picture = await self._inspector.inspect(data)
            except DataValidationError as error:
                raise DataValidationError.at(loc, f"must be a picture: {error.message}") from None
        return EditSource(source.file, picture, size, sha256)

    async def _stored(self, viewer: str | None, guid: str) -> EditSource:
        image = await self._visible(viewer, guid)
        content = ImageContent.of(image, self._blobs)
        if content.result.size_bytes > MAX_INPUT_BYTES:
            raise DataValidationError(f"The image {image.guid} is larger than {MAX_INPUT_BYTES // _MIB} MiB.")
        result = content.result
        file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - the inputs close it
        try:
            async with await content.read() as reader:
                async for piece in reader:
                    await asyncio.to_thread(file.write, piece)
        except BaseException:
            file.close()
            raise
        return EditSource(file, result.picture, result.size_bytes, result.sha256)  # type: ignore[arg-type]

    async def _visible(self, viewer: str | None, guid: str) -> Image:
        try:
            image = await self._images.get(parse_guid(guid))
            access.require_visible(image, viewer)
        except ImageNotFoundError:
            raise ImageNotFoundError(f"There is no image {guid[:100]!r} to be edited.") from None
        return image


def _check_number(sources: SourceReferences) -> None:
    if len(sources.images) > MAX_IMAGES:
        raise DataValidationError.at(("image",), f"must be at most {MAX_IMAGES} images")
    if sources.attachments and not sources.images:
        name = next(iter(sources.attachments))
        raise DataValidationError.at(("image",), f"must be given with {name!r}")


def _added(total: int, image: EditSource) -> int:
    if total + image.size_bytes > MAX_INPUTS_BYTES:
        raise DataValidationError.at(("image",), f"must be at most {MAX_INPUTS_BYTES // _MIB} MiB together")
    return total + image.size_bytes


def _read(file: BinaryIO) -> tuple[bytes, str]:
    file.seek(0)
    data = file.read(MAX_INPUT_BYTES)
    file.seek(0)
    return data, hashlib.sha256(data).hexdigest()
