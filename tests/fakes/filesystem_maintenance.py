"""A folder of pictures and a recovery of it whose system calls fail, or end, where a test says so."""

import errno
import hashlib
import json
import os
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.domain.errors import BlobStoreError
from tests.fakes.filesystem_calls import Call, FaultyCalls

GUID = "0b9f1c2d-1111-4222-8333-444455556666"
OTHER = "0b9f1c2d-7777-4222-8333-444455556666"
HEX = "0123456789abcdef" * 2
CODES = (errno.EIO, errno.ENOSPC, errno.EACCES)
DATA = b"a picture" * 1000
SIDECAR = {"guid": GUID, "size_bytes": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest(), "prompt": "a duck"}
TEXT = json.dumps(SIDECAR).encode()
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
ALWAYS = datetime(2400, 1, 1, tzinfo=UTC)
WHOLE_AND_SERVED = {f"images/0b/9f/{GUID}.bin": DATA, f"images/0b/9f/{GUID}.json": TEXT}


class Crash(BaseException):
    """The process ends here: nothing of it runs any more."""


class RecoveryCalls(FaultyCalls):
    """Records looking into folders and at files too, and on which threads all of it was done."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()
        self.lengths: list[int] = []
        self.seen_as: Callable[[Path, os.stat_result], os.stat_result] = lambda path, status: status

    def _record(self, name: str, path: Path) -> None:
        self.threads.add(threading.get_ident())
        super()._record(name, path)

    def fsync(self, fd: int) -> None:
        """Only recorded: the machine does not crash here, and flushing takes most of the time."""
        self._record("fsync", self._paths[fd])

    def names(self, folder: Path) -> list[str]:
        self._record("names", folder)
        return super().names(folder)

    def stat(self, path: Path, *, follow: bool = True) -> os.stat_result:
        self._record("stat", path)
        return self.seen_as(path, super().stat(path, follow=follow))

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self.lengths.append(length)
        return super().pread(fd, length, offset)


class Harness:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "images"
        self.root.mkdir(parents=True)
        self.rescue = base / "rescue"
        self.folder = self.root / "0b" / "9f"
        self.image = self.folder / f"{GUID}.bin"
        self.sidecar = self.folder / f"{GUID}.json"
        self.calls = RecoveryCalls()

    async def recovery(self) -> FilesystemBlobMaintenance:
        recovery = FilesystemBlobMaintenance(self.root, rescue_dirs=[self.rescue], calls=self.calls)
        await recovery.open()
        self.calls.calls.clear()
        return recovery

    def write(self, path: str, data: bytes, changed: datetime | None = None) -> Path:
        target = self.base / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        if changed is not None:
            os.utime(target, (changed.timestamp(), changed.timestamp()))
        return target

    def keep(self, folder: str = "rescue", number: int = 1) -> None:
        self.write(f"{folder}/{GUID}.{number}.json", TEXT)
        self.write(f"{folder}/{GUID}.{number}.bin", DATA)

    def store(self) -> None:
        self.write(f"images/0b/9f/{GUID}.json", TEXT)
        self.write(f"images/0b/9f/{GUID}.bin", DATA)

    def leave_debris(self) -> None:
        """Six half-written files of every kind, changed in 2001."""
        self.write(f"images/.probe.{HEX}.tmp", b"probe", LONG_AGO)
        self.write(f"images/0b/9f/.{GUID}.{HEX}.tmp", b"half", LONG_AGO)
        self.write(f"images/0b/9f/.{GUID}.{HEX}.old", b"backup", LONG_AGO)
        self.write(f"images/0b/aa/.{GUID}.{HEX}.old", b"another", LONG_AGO)
        self.write(f"images/aside/{GUID}.1.json", b"sidecar", LONG_AGO)
        self.write(f"images/aside/.{GUID}.{HEX}.tmp", b"bytes", LONG_AGO)

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.base)): p.read_bytes() for p in self.base.rglob("*") if p.is_file()}

    def fail(self, number: int, code: int) -> None:
        self.calls.calls.clear()
        self.calls.fails = lambda call, n: code if n == number else None

    def crash(self, number: int) -> None:
        """Let the process end right before that call; of an open file nothing but closing it is done any more."""

        def fails(call: Call, n: int) -> None:
            if n >= number:
                raise Crash

        self.calls.calls.clear()
        self.calls.fails = fails

    def work_again(self) -> None:
        self.calls.fails = lambda call, n: None

    def changes(self) -> list[str]:
        """The calls that change something or make it durable, with the name of the file."""
        wanted = ("mkdir", "create", "write", "fsync", "rename", "link", "unlink")
        return [
            f"{call.name} {'temporary' if call.kind == 'temporary' else call.path.relative_to(self.base)}"
            for call in self.calls.calls
            if call.name in wanted
        ]


async def failure_of(call: Awaitable[object]) -> BaseException | None:
    try:
        await call
    except (BlobStoreError, Crash) as error:
        return error
    return None


READS: dict[str, Callable[[FilesystemBlobMaintenance], Awaitable[object]]] = {
    "walk": lambda recovery: walked(recovery),
    "verify": lambda recovery: recovery.verify(GUID, size=len(DATA), sha256=str(SIDECAR["sha256"])),
    "sizes": lambda recovery: recovery.sizes([GUID]),
}


async def walked(recovery: FilesystemBlobMaintenance) -> list[str]:
    return [blob.guid async for blob in recovery.walk()]
