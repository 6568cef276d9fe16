"""The thumbnail store in a bucket of an S3 server."""

from collections.abc import AsyncIterator

from pixyproxy.adapters.s3.bucket import Bucket, S3Location
from pixyproxy.adapters.s3.keys import THUMBNAILS, is_shard, parse_thumbnail, thumbnail_key, thumbnail_shard
from pixyproxy.ports.thumbnail_store import ThumbnailStore

_MEDIA_TYPES = {"webp": "image/webp", "jpg": "image/jpeg"}


class S3ThumbnailStore(ThumbnailStore):
    """The objects `derived/ab/cd/GUID.NAME` in the bucket of an `S3BlobStore`."""

    def __init__(self, location: S3Location) -> None:
        self._bucket = Bucket(location)

    async def open(self) -> None:
        """Make sure that the bucket can be reached; raises BlobStoreError if not."""
        await self._bucket.open()

    async def close(self) -> None:
        await self._bucket.close()

    async def get(self, guid: str, name: str) -> bytes | None:
        data = await self._bucket.read(thumbnail_key(guid, name), "read a thumbnail")
        if data is None:
            await self._bucket.require_present()
        return data

    async def put(self, guid: str, name: str, data: bytes) -> None:
        media_type = _MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        await self._bucket.put(thumbnail_key(guid, name), data, {"Content-Type": media_type}, "store a thumbnail")

    async def delete(self, guid: str) -> None:
        shard = thumbnail_shard(guid)
        keys = [
            key async for key, _ in self._bucket.objects(shard, "delete thumbnails") if parse_thumbnail(key) == guid
        ]
        await self._bucket.delete(*keys, action="delete thumbnails")

    async def walk(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield each GUID that has thumbnails, one list per first two digits."""
        await self._bucket.require_present()
        shards = [f"{THUMBNAILS}/{prefix}"] if prefix else await self._bucket.folders(THUMBNAILS, "list its thumbnails")
        for shard in filter(is_shard, shards):
            found = {parse_thumbnail(key) async for key, _ in self._bucket.objects(shard, "list its thumbnails")}
            for guid in sorted(guid for guid in found if guid is not None):
                yield guid
