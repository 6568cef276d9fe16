"""Serving the port, in this process or in several workers."""

import asyncio
import os
import socket
from collections.abc import Callable

from pixyproxy.containers import Container
from pixyproxy.entrypoints.http.connection.open_files import most_connections, raise_open_files
from pixyproxy.entrypoints.http.draining_server import build_server, handle_stop_signals
from pixyproxy.entrypoints.http.first_opening import OnWait, open_once
from pixyproxy.entrypoints.http.service_manager import notify
from pixyproxy.entrypoints.http.supervisor import Supervisor
from pixyproxy.settings import Settings, SettingsError

_BACKLOG = 2048


def serve(
    settings: Settings, container: Container, announce: Callable[[str, bool], None], on_wait: OnWait = lambda _: None
) -> None:
    """Serve until a signal to stop; call `on_wait` if the database is late.

    Before, `announce` is called with the address, and with True if there is an administrator.

    Raises:
        SettingsError: if a part cannot be opened, the address not be bound, or there are too few open files.
        PartError: if a part cannot be opened that depends on no setting.
    """
    raise_open_files()
    most_connections(settings)  # a wrong setting ends the start here, with one line
    has_admin = asyncio.run(open_once(container, on_wait))
    listener = bind(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if settings.workers > 1:
        supervisor = Supervisor(settings, listener)
        announce(address, has_admin)
        supervisor.run()
    else:
        server = build_server(container)
        server.on_state = notify
        handle_stop_signals(server.request_stop)
        announce(address, has_admin)
        server.run(sockets=[listener])


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one, and `::` takes clients by IPv4 as well.

    Raises SettingsError if the address cannot be bound.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        takes_both = address[0] == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=takes_both)
    except (OSError, UnicodeError) as error:
        # The messages of `socket` are long, and the numbers of failed look-ups are not errno's.
        number = None if isinstance(error, socket.gaierror | UnicodeError) else error.errno
        reason = os.strerror(number) if number else "there is no such host"
        raise SettingsError(
            f"PIXYPROXY_HOST, PIXYPROXY_PORT: cannot listen on {host} port {port} ({reason}); "
            "choose another or stop what is using it"
        ) from error
