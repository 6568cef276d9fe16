"""The file of the service's own secret: created once, and the same for all processes that share the folder."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from pixyproxy.adapters.filesystem import durable_files
from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.domain.errors import PixyProxyException

_BYTES = 32
_MAX_BYTES = 4096


class SecretError(PixyProxyException):
    """The file of the secret cannot be used; the message says how to repair it."""

    code = "secret-unavailable"


def read_or_create_secret(path: Path, calls: SystemCalls | None = None) -> bytes:
    """Return the secret in this file; if there is none, create it, readable by its owner alone.

    If several processes create it at once, one succeeds and all get the secret of that one. An existing file is
    never changed.

    Raises:
        SecretError: the file cannot be read or created, or holds no secret.
    """
    calls = calls or SystemCalls()
    try:
        try:
            secret = _read(calls, path)
        except FileNotFoundError:
            durable_files.make_folders(calls, path.parent)
            _create(calls, path)
            secret = _read(calls, path)
    except OSError as error:
        raise SecretError(
            f"The file {path}, which holds the secret of the service, cannot be read or created ({error.strerror}): "
            f"correct this, or set PIXYPROXY_SECRET_KEY to {_BYTES} or more characters."
        ) from error
    if not _BYTES <= len(secret) <= _MAX_BYTES:
        raise SecretError(
            f"The file {path} does not hold the secret of the service, which has {_BYTES} bytes: restore it from a "
            "backup, or remove it to have a new one made (all API keys are lost then), or set PIXYPROXY_SECRET_KEY."
        )
    return secret


def _read(calls: SystemCalls, path: Path) -> bytes:
    fd = calls.open(path, os.O_RDONLY)
    try:
        return calls.pread(fd, _MAX_BYTES + 1, 0)
    finally:
        calls.close(fd)


def _create(calls: SystemCalls, path: Path) -> None:
    temporary = durable_files.write_temporary(
        calls, path.parent, path.name, secrets.token_bytes(_BYTES), mode=durable_files.PRIVATE_FILE_MODE
    )
    try:
        # A link, unlike a rename, never replaces the file of a process that was quicker.
        with suppress(FileExistsError):
            calls.link(temporary, path)
    finally:
        durable_files.remove_quietly(calls, temporary)
    # A secret that is used before it is durable could be lost, and everything signed with it would be void.
    durable_files.flush_folder(calls, path.parent)
