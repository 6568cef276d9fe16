"""The open files of a process: the limit that the system sets, and the connections that it has room for."""

import resource
from contextlib import suppress

from pixyproxy.settings import Settings, SettingsError

_OWN_FILES = 128
"""Open files besides those of connections and generations: database, log, files that threads write and read."""
_FILES_OF_A_GENERATION = 2
"""A connection to the upstream, and a picture that is edited or fetched."""
_FILES_OF_A_CONNECTION = 2
"""Its socket, and the picture that is sent."""
_MOST_BY_DEFAULT = 10_000
"""Connections that cost 90 MB of memory while they are idle."""


def raise_open_files() -> None:
    """Raise the limit of open files of this process, and of those that it starts, as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS allows fewer than its hard limit says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections(settings: Settings) -> int:
    """Return the number of connections that one process takes at once.

    By default it leaves open files for the generations in flight and for all that is stored and read.

    Raises:
        SettingsError: if PIXYPROXY_MAX_CONNECTIONS needs more open files than the system allows.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        limit = _FILES_OF_A_CONNECTION * 1_000_000
    room = (limit - _OWN_FILES - _FILES_OF_A_GENERATION * settings.max_generations) // _FILES_OF_A_CONNECTION
    # Where there is little room, generations are as few as the callers who wait for them.
    room = max(room, limit // 8)
    if settings.max_connections is None:
        return min(room, _MOST_BY_DEFAULT)
    if settings.max_connections > room:
        raise SettingsError(
            f"PIXYPROXY_MAX_CONNECTIONS: {settings.max_connections} connections are more than the {room} that a limit "
            f"of {limit} open files leaves room for: lower it, or raise that limit (ulimit -Hn; LimitNOFILE in systemd)"
        )
    return settings.max_connections
