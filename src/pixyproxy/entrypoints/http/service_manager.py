"""The state of the service for systemd (sd_notify(3)), which is one datagram to a socket."""

import logging
import socket

from pixyproxy.environment import service_manager_socket

logger = logging.getLogger(__name__)

READY, STOPPING = "READY=1", "STOPPING=1"


def notify(state: str) -> None:
    """Send a state to systemd, if it started this process and waits for one."""
    address = service_manager_socket()
    if address is None:
        return
    # An abstract socket begins with NUL, which a variable cannot hold.
    name = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), name)
    except OSError as error:
        logger.warning("systemd cannot be told %s: %s", state, error.strerror)
