"""The store's writing side: plain blocking functions that put, keep aside and delete; they raise OSError.

Each step is there for a crash between it and the next. Of the two files of an image the bytes come last on the way in
and go first on the way out: bytes that are there are whole and described.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pixyproxy.adapters.filesystem import durable
from pixyproxy.adapters.filesystem.layout import Layout
from pixyproxy.adapters.filesystem.syscalls import SystemCalls

_PROBE = b"\0" * 4096
_PRIVATE = 0o600

_log = logging.getLogger(__name__)


class Writer:
    """Writes one folder; its methods may run in several threads at a time, but for one image only one of them."""

    def __init__(self, layout: Layout, calls: SystemCalls) -> None:
        self._layout = layout
        self._calls = calls
        self._settled: set[Path] = set()

    def put(self, guid: str, data: bytes, sidecar: bytes) -> None:
        """Write both files durably, replacing older ones; on an error leave things as they were."""
        image_path, sidecar_path = Path(self._layout.image(guid)), Path(self._layout.sidecar(guid))
        folder = image_path.parent
        temporary, made = self._write_both(folder, guid, sidecar, data)
        try:
            self._swap_in(guid, list(zip(temporary, (sidecar_path, image_path), strict=True)), made)
        except BaseException:
            durable.remove_quietly(self._calls, *temporary)
            raise
        self._settled.update(made)

    def replace_sidecar(self, guid: str, sidecar: bytes) -> None:
        """Write the sidecar of stored bytes anew, durably; raises FileNotFoundError if there are no bytes."""
        target = Path(self._layout.sidecar(guid))
        self._calls.close(self._calls.open(self._layout.image(guid), os.O_RDONLY))
        temporary = durable.write_temporary(self._calls, target.parent, guid, sidecar)
        try:
            self._swap_in(guid, [(temporary, target)], {})
        except BaseException:
            durable.remove_quietly(self._calls, temporary)
            raise

    def _swap_in(self, guid: str, moves: list[tuple[Path, Path]], made: Mapping[Path, bool]) -> None:
        """Rename each file to its target and flush the folder, or put everything back.

        The last is the one that counts: where there is none yet, whatever else there is belongs to nothing. Folders
        that were made for it, as `_make_folders` says, are flushed last.
        """
        folder = moves[0][1].parent
        kept: dict[Path, Path] = {}
        moved: list[Path] = []
        try:
            for _, target in () if made.get(folder) else reversed(moves):
                backup = durable.temporary_name(folder, guid, "old")
                try:
                    self._calls.link(target, backup)
                except FileNotFoundError:
                    break
                kept[target] = backup
            for source, target in moves:
                self._calls.rename(source, target)
                moved.append(target)
            durable.flush_folder(self._calls, folder)
            for level in reversed(list(made)):
                durable.flush_folder(self._calls, level.parent)
        except BaseException:
            self._put_back(folder, moved, kept)
            raise
        durable.remove_quietly(self._calls, *kept.values())

    def _put_back(self, folder: Path, moved: list[Path], kept: dict[Path, Path]) -> None:
        for target in reversed(moved):
            if target in kept:
                try:
                    self._calls.rename(kept.pop(target), target)
                except OSError as error:
                    _log.error("The blob store cannot put an older file back: %s", error)
            else:
                durable.remove_quietly(self._calls, target)
        durable.remove_quietly(self._calls, *kept.values())
        if moved:
            try:
                durable.flush_folder(self._calls, folder)
            except OSError as error:
                _log.warning("The blob store cannot flush the folder of a failed write: %s", error)

    def rescue(self, folder: Path, guid: str, data: bytes, sidecar: bytes) -> Path:
        """Write both files durably under a number of their own in some folder; return the path of the bytes.

        They are readable by the service's own user only, since the folder may be one that others share.
        """
        durable.make_folders(self._calls, folder)
        described = self._claim(folder, guid, sidecar)
        kept = described.with_suffix(".bin")
        try:
            temporary = durable.write_temporary(self._calls, folder, guid, data, mode=_PRIVATE)
            try:
                self._calls.rename(temporary, kept)
                durable.flush_folder(self._calls, folder)
            except BaseException:
                durable.remove_quietly(self._calls, temporary, kept)
                raise
        except BaseException:
            durable.remove_quietly(self._calls, described)
            raise
        return kept

    def _claim(self, folder: Path, guid: str, sidecar: bytes) -> Path:
        """Take the first free number by creating its sidecar, which fails if it exists: nothing is overwritten."""
        number = 1
        while True:
            path = folder / f"{guid}.{number}.json"
            try:
                durable.write_new(self._calls, path, sidecar, mode=_PRIVATE)
            except FileExistsError:
                number += 1
            except durable.FlushError:
                durable.write_new(self._calls, path, sidecar, mode=_PRIVATE)
                return path
            else:
                return path

    def delete(self, guid: str) -> None:
        """Remove bytes, then sidecar, durably; the folder is flushed even if both are gone, as for a repeated try."""
        image_path, sidecar_path = Path(self._layout.image(guid)), Path(self._layout.sidecar(guid))
        for path in (image_path, sidecar_path):
            try:
                self._calls.unlink(path)
            except FileNotFoundError:
                continue
        try:
            durable.flush_folder(self._calls, image_path.parent)
        except FileNotFoundError:
            return

    def probe(self) -> None:
        """Write a small file and remove it: finds quotas, which statvfs(2) does not know."""
        path = durable.temporary_name(self._layout.root, "probe", "tmp")
        fd = self._calls.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            try:
                self._calls.write(fd, memoryview(_PROBE))
            finally:
                self._calls.close(fd)
        finally:
            durable.remove_quietly(self._calls, path)

    def _write_both(self, folder: Path, guid: str, sidecar: bytes, data: bytes) -> tuple[list[Path], dict[Path, bool]]:
        """Write the temporary files of an image, whose folder may have to be made, or made again."""
        made = self._make_folders(folder)
        try:
            return durable.write_temporaries(self._calls, folder, guid, (sidecar, data)), made
        except FileNotFoundError:
            self._settled -= {folder, folder.parent}  # somebody has removed it
        made = self._make_folders(folder)
        return durable.write_temporaries(self._calls, folder, guid, (sidecar, data)), made

    def _make_folders(self, folder: Path) -> dict[Path, bool]:
        """Make the two levels of folders; which are still to be flushed, and whether they were made just now.

        What was flushed once in the life of this process needs no flush again. Others do, also a folder that another
        thread has just made.
        """
        levels = (folder.parent, folder)
        return {level: durable.make_folder(self._calls, level) for level in levels if level not in self._settled}
