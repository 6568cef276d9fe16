"""MySQL: connections to servers that are silent or absent end within their time limit."""

import socket
from collections.abc import Iterator

import pymysql
import pytest

from pixyproxy.adapters.mysql.connection import Server


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Yield a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_refused_connection_is_the_drivers_error() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and not listening
        with pytest.raises(pymysql.OperationalError) as caught:
            Server("127.0.0.1", bound.getsockname()[1], "somebody", "", "nothing").connect()
    assert caught.value.args[0] == 2003


def test_a_server_that_never_greets_is_given_up(silent: socket.socket) -> None:
    server = Server("127.0.0.1", silent.getsockname()[1], "somebody", "", "nothing")
    with pytest.raises(pymysql.OperationalError):
        server.connect(response_seconds=0.05)
