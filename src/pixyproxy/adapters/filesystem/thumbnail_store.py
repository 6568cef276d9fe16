"""What is derived from pictures: plain blocking functions that keep, read and drop it; they raise OSError.

A derivative can be made anew, so its name in the folder is not flushed and a crash may lose it. Its bytes are: else the
name could outlive them, and a file that is cut short be taken for a whole one.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pixyproxy.adapters.filesystem import checksum, durable, scan
from pixyproxy.adapters.filesystem.layout import Layout, check_guid
from pixyproxy.adapters.filesystem.syscalls import SystemCalls

_NAME = re.compile(r"[a-z0-9-]{1,100}\.[a-z]{1,10}")


class Derivatives:
    """The files `derived/ab/cd/GUID.NAME`."""

    def __init__(self, layout: Layout, calls: SystemCalls) -> None:
        self._layout = layout
        self._calls = calls

    def path(self, guid: str, name: str) -> Path:
        """Where a derivative is kept. Raises ValueError for no GUID and for a name of another form."""
        if not _NAME.fullmatch(name):
            raise ValueError("not the name of a derivative")
        return self._folder(guid) / f"{guid}.{name}"

    def put(self, guid: str, name: str, data: bytes) -> None:
        """Write a file whole and give it its name, which another may have had."""
        path = self.path(guid, name)
        for folder in reversed([path.parent, *path.parent.parents[:2]]):
            durable.make_folder(self._calls, folder)
        temporary = durable.write_temporary(self._calls, path.parent, guid, data)
        try:
            self._calls.rename(temporary, path)
        except BaseException:
            durable.remove_quietly(self._calls, temporary)
            raise

    def read(self, guid: str, name: str) -> bytes:
        """All bytes; raises FileNotFoundError if there are none."""
        return checksum.read_whole(self._calls, self.path(guid, name))

    def drop(self, guid: str) -> None:
        """Remove all of a GUID, half-written ones too."""
        folder = self._folder(guid)
        for name in scan.names(self._calls, folder):
            if name.startswith((f"{guid}.", f".{guid}.")):
                try:
                    self._calls.unlink(folder / name)
                except FileNotFoundError:
                    continue

    def guids(self) -> Iterator[str]:
        """The GUIDs that have some, folder by folder; nothing is held open in between."""
        for folder in self.folders():
            found = {_guid_of(name, folder) for name in scan.names(self._calls, folder)}
            yield from sorted(guid for guid in found if guid is not None)

    def folders(self) -> Iterator[Path]:
        """The folders that derivatives are kept in."""
        if scan.exists(self._calls, self._layout.derived):
            yield from scan.shards(self._calls, self._layout.derived)

    def _folder(self, guid: str) -> Path:
        check_guid(guid)
        return self._layout.derived / guid[:2] / guid[2:4]


def _guid_of(name: str, folder: Path) -> str | None:
    """The GUID that a file of a folder belongs to, None for what nothing would ever read."""
    guid, _, rest = name.partition(".")
    try:
        check_guid(guid)
    except ValueError:
        return None
    return guid if _NAME.fullmatch(rest) and guid[:4] == folder.parent.name + folder.name else None
