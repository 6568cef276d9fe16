"""The writes of a store: blocking functions that put, rescue and delete, and raise OSError or BlobStoreError.

Each step is there for a crash between it and the next. Of the two files of an image the bytes are written last and
deleted first: bytes that exist are whole and described.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixyproxy.adapters.filesystem import durable_files
from pixyproxy.adapters.filesystem.store_folder import StoreFolder
from pixyproxy.adapters.filesystem.threads import is_exhausted
from pixyproxy.domain.errors import BlobMissingError, BlobStoreError

_PROBE = b"\0" * 4096

_log = logging.getLogger(__name__)


def encode_sidecar(sidecar: Mapping[str, Any]) -> bytes:
    """Return a sidecar as JSON in ASCII, which holds any string, lone surrogates too; one member a line."""
    # With `indent` the standard library encodes in Python, which takes three times as long.
    return json.dumps(sidecar, default=_to_dict, allow_nan=False, separators=(",\n ", ": ")).encode("ascii")


def _to_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a sidecar cannot hold {type(value).__name__}")


class Writer:
    """Writes to one store folder; several threads may call it at a time, but only one for each image.

    `rescue_dirs` are tried in order by `rescue` after the store's own folder.
    """

    def __init__(self, folder: StoreFolder, rescue_dirs: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._rescue_dirs = rescue_dirs
        self._calls = folder.calls
        self._flushed: set[Path] = set()

    def put(self, guid: str, data: bytes, sidecar: bytes) -> None:
        """Write both files durably, replacing older ones; on an error leave everything as it was."""
        self._folder.require_present()
        image_path, sidecar_path = Path(self._folder.image(guid)), Path(self._folder.sidecar(guid))
        temporary, made = self._write_both(image_path.parent, guid, sidecar, data)
        try:
            self._swap_in(guid, list(zip(temporary, (sidecar_path, image_path), strict=True)), made)
        except BaseException:
            durable_files.remove_quietly(self._calls, *temporary)
            raise
        self._flushed.update(made)

    def replace_sidecar(self, guid: str, sidecar: bytes) -> None:
        """Write the sidecar of stored bytes anew, durably; raises BlobMissingError if there are no bytes."""
        self._folder.require_present()
        target = Path(self._folder.sidecar(guid))
        try:
            self._calls.close(self._calls.open(self._folder.image(guid), os.O_RDONLY))
            temporary = durable_files.write_temporary(self._calls, target.parent, guid, sidecar)
            try:
                self._swap_in(guid, [(temporary, target)], {})
            except BaseException:
                durable_files.remove_quietly(self._calls, temporary)
                raise
        except FileNotFoundError:
            self._folder.require_present()
            raise BlobMissingError("The picture is not in the blob store.") from None

    def delete(self, guid: str) -> None:
        """Remove bytes, then sidecar, durably; the folder is flushed even if both are gone, for a repeated call."""
        self._folder.require_present()
        image_path, sidecar_path = Path(self._folder.image(guid)), Path(self._folder.sidecar(guid))
        for path in (image_path, sidecar_path):
            try:
                self._calls.unlink(path)
            except FileNotFoundError:
                continue
        try:
            durable_files.flush_folder(self._calls, image_path.parent)
        except FileNotFoundError:
            return

    def rescue(self, guid: str, data: bytes, sidecar: bytes) -> str:
        """Write both files durably to the first folder that takes them, and return the path of the bytes."""
        failure: OSError | BlobStoreError | None = None
        for folder in (self._folder.rescued, *self._rescue_dirs):
            try:
                if folder == self._folder.rescued:
                    self._folder.require_present()  # it must not be created anew while its disk is missing
                path = self._rescue_to(folder, guid, data, sidecar)
            except (OSError, BlobStoreError) as error:
                if is_exhausted(error):
                    raise  # another folder would not help, and the caller tries again
                _log.error("The picture of image %s cannot be rescued to %s: %s", guid, folder, error)
                failure = failure or error
            else:
                _log.error("THE PICTURE OF IMAGE %s IS RESCUED, AND NOT SERVED: %s", guid, path)
                return str(path)
        _log.critical("THE PICTURE OF IMAGE %s IS LOST: NO FOLDER TAKES ITS %d BYTES", guid, len(data))
        raise failure or BlobStoreError("There is no folder to rescue a picture to.")

    def probe(self) -> None:
        """Write a small file and remove it, which fails if a quota is used up: statvfs(2) does not know of quotas."""
        path = durable_files.temporary_name(self._folder.root, "probe", "tmp")
        fd = self._calls.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, durable_files.PRIVATE_FILE_MODE)
        try:
            try:
                self._calls.write(fd, memoryview(_PROBE))
            finally:
                self._calls.close(fd)
        finally:
            durable_files.remove_quietly(self._calls, path)

    def _swap_in(self, guid: str, moves: list[tuple[Path, Path]], made: Mapping[Path, bool]) -> None:
        """Rename each file to its target and flush the folder, or undo everything.

        If the last target, the bytes, does not exist yet, the other files need no backup: they belong to nothing.
        The parents of the folders in `made` (see `_make_folders`) are flushed last.
        """
        folder = moves[0][1].parent
        backups: dict[Path, Path] = {}
        moved: list[Path] = []
        try:
            for _, target in () if made.get(folder) else reversed(moves):
                backup = durable_files.temporary_name(folder, guid, "old")
                try:
                    self._calls.link(target, backup)
                except FileNotFoundError:
                    break
                backups[target] = backup
            for source, target in moves:
                self._calls.rename(source, target)
                moved.append(target)
            durable_files.flush_folder(self._calls, folder)
            for level in reversed(list(made)):
                durable_files.flush_folder(self._calls, level.parent)
        except BaseException:
            self._put_back(folder, moved, backups)
            raise
        durable_files.remove_quietly(self._calls, *backups.values())

    def _put_back(self, folder: Path, moved: list[Path], backups: dict[Path, Path]) -> None:
        for target in reversed(moved):
            if target in backups:
                try:
                    self._calls.rename(backups.pop(target), target)
                except OSError as error:
                    _log.error("The blob store cannot put an older file back: %s", error)
            else:
                durable_files.remove_quietly(self._calls, target)
        durable_files.remove_quietly(self._calls, *backups.values())
        if moved:
            try:
                durable_files.flush_folder(self._calls, folder)
            except OSError as error:
                _log.warning("The blob store cannot flush the folder of a failed write: %s", error)

    def _rescue_to(self, folder: Path, guid: str, data: bytes, sidecar: bytes) -> Path:
        """Write both files durably under a new number, readable by this user only."""
        durable_files.make_folders(self._calls, folder, durable_files.PRIVATE_FOLDER_MODE)
        sidecar_path = self._claim_number(folder, guid, sidecar)
        path = sidecar_path.with_suffix(".bin")
        try:
            temporary = durable_files.write_temporary(
                self._calls, folder, guid, data, mode=durable_files.PRIVATE_FILE_MODE
            )
            try:
                self._calls.rename(temporary, path)
                durable_files.flush_folder(self._calls, folder)
            except BaseException:
                durable_files.remove_quietly(self._calls, temporary, path)
                raise
        except BaseException:
            durable_files.remove_quietly(self._calls, sidecar_path)
            raise
        return path

    def _claim_number(self, folder: Path, guid: str, sidecar: bytes) -> Path:
        """Create the sidecar with the first free number; creating fails if it exists, so nothing is overwritten."""
        number = 1
        while True:
            path = folder / f"{guid}.{number}.json"
            try:
                durable_files.write_new(self._calls, path, sidecar, mode=durable_files.PRIVATE_FILE_MODE)
            except FileExistsError:
                number += 1
            except durable_files.FlushError:
                durable_files.write_new(self._calls, path, sidecar, mode=durable_files.PRIVATE_FILE_MODE)
                return path
            else:
                return path

    def _write_both(self, folder: Path, guid: str, sidecar: bytes, data: bytes) -> tuple[list[Path], dict[Path, bool]]:
        """Write the temporary files of an image, whose folder may have to be made, or made again."""
        made = self._make_folders(folder)
        try:
            return durable_files.write_temporaries(self._calls, folder, guid, (sidecar, data)), made
        except FileNotFoundError:
            self._flushed -= {folder, folder.parent}  # another process has removed it
        made = self._make_folders(folder)
        return durable_files.write_temporaries(self._calls, folder, guid, (sidecar, data)), made

    def _make_folders(self, folder: Path) -> dict[Path, bool]:
        """Make the two levels of folders; return those still to be flushed, and whether each was created now.

        A folder that was flushed once in the life of this process needs no flush again; any other does, because
        another thread or process may have created it a moment ago.
        """
        levels = (folder.parent, folder)
        return {level: durable_files.make_folder(self._calls, level) for level in levels if level not in self._flushed}
