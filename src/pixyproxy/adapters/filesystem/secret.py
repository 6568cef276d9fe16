"""The service's own secret in a file: made once, and the same for all processes that have the folder."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from pixyproxy.adapters.filesystem import durable
from pixyproxy.adapters.filesystem.syscalls import SystemCalls
from pixyproxy.domain.errors import PixyProxyException

_BYTES = 32
_MAX_BYTES = 4096
_PRIVATE = 0o600


class SecretError(PixyProxyException):
    """The file of the secret cannot be used; the message says how to mend it."""

    code = "secret-unavailable"


def load_or_make(path: Path, calls: SystemCalls | None = None) -> bytes:
    """The secret in this file; where there is none, it is made, for the eyes of its owner alone.

    Of several processes that make it at once one succeeds, and all get the secret of that one. A file that is
    there is never changed. Raises SecretError.
    """
    calls = calls or SystemCalls()
    try:
        try:
            secret = _read(calls, path)
        except FileNotFoundError:
            durable.make_folders(calls, path.parent)
            _make(calls, path)
            secret = _read(calls, path)
    except OSError as error:
        raise SecretError(
            f"The file {path}, which holds the secret of the service, cannot be read or made ({error.strerror}): "
            f"mend this, or set PIXYPROXY_SECRET_KEY to {_BYTES} or more characters."
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


def _make(calls: SystemCalls, path: Path) -> None:
    temporary = durable.write_temporary(calls, path.parent, path.name, secrets.token_bytes(_BYTES), mode=_PRIVATE)
    try:
        # Other than a rename, a link never replaces the file of a process that was quicker.
        with suppress(FileExistsError):
            calls.link(temporary, path)
    finally:
        durable.remove_quietly(calls, temporary)
    # Used before it is durable, it could be lost, and all that was made with it would be worth nothing.
    durable.flush_folder(calls, path.parent)
