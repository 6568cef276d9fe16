"""The keys of objects, which are those of the files in the folder of the filesystem store.

So a folder that was copied to a bucket by any tool is a store.
"""

import re

from pixyproxy.ports.blob_store import require_canonical_guid
from pixyproxy.ports.thumbnail_store import is_thumbnail_name, require_thumbnail_name

QUARANTINE = "quarantine"
THUMBNAILS = "derived"
_GUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_STORED = re.compile(rf"[0-9a-f]{{2}}/[0-9a-f]{{2}}/({_GUID})\.(bin|json)")
_SHARD = re.compile(r"(?:derived/)?[0-9a-f]{2}")


def image_key(guid: str) -> str:
    """Return the key of the bytes; raises ValueError for a GUID that is not in canonical form."""
    require_canonical_guid(guid)
    return f"{guid[:2]}/{guid[2:4]}/{guid}.bin"


def sidecar_key(guid: str) -> str:
    """Return the key of the sidecar; raises ValueError for a GUID that is not in canonical form."""
    require_canonical_guid(guid)
    return f"{guid[:2]}/{guid[2:4]}/{guid}.json"


def quarantine_key(guid: str, name: str, suffix: str) -> str:
    """Return a key in the quarantine, where each GUID has a folder."""
    return f"{QUARANTINE}/{guid}/{name}.{suffix}"


def thumbnail_key(guid: str, name: str) -> str:
    """Return the key of a thumbnail; raises ValueError for a GUID or a name of another form."""
    require_thumbnail_name(name)
    return f"{thumbnail_shard(guid)}/{guid}.{name}"


def thumbnail_shard(guid: str) -> str:
    """Return the folder of an image's thumbnails; raises ValueError for a GUID that is not in canonical form."""
    require_canonical_guid(guid)
    return f"{THUMBNAILS}/{guid[:2]}/{guid[2:4]}"


def is_shard(folder: str) -> bool:
    """Return whether a folder holds images, or thumbnails, whose GUID begins with its two digits."""
    return _SHARD.fullmatch(folder) is not None


def parse_stored(key: str) -> tuple[str, str] | None:
    """Return GUID and suffix of the bytes or the sidecar of an image, or None for another object."""
    match = _STORED.fullmatch(key)
    if match is None or key not in {image_key(match[1]), sidecar_key(match[1])}:
        return None
    return match[1], match[2]


def parse_thumbnail(key: str) -> str | None:
    """Return the GUID of a thumbnail, or None for another object."""
    guid, _, name = key.rpartition("/")[2].partition(".")
    try:
        return guid if is_thumbnail_name(name) and key == thumbnail_key(guid, name) else None
    except ValueError:
        return None
