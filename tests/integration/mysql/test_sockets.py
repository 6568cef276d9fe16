"""Sockets whose time limits the kernel keeps, on real connections."""

import socket
import ssl
from collections.abc import Iterator

import pymysql
import pytest

from pixyproxy.adapters.mysql.connection import Server
from pixyproxy.adapters.mysql.sockets import PatientSocket, connect_patiently


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def connected(listener: socket.socket, seconds: float) -> PatientSocket:
    return connect_patiently("127.0.0.1", listener.getsockname()[1], seconds)


def test_reading_ends_at_the_limit(silent: socket.socket) -> None:
    with connected(silent, 0.05) as patient, patient.makefile("rb") as file, pytest.raises(TimeoutError):
        file.read(1)


def test_writing_ends_at_the_limit(silent: socket.socket) -> None:
    with connected(silent, 0.05) as patient, pytest.raises(OSError):
        patient.sendall(bytes(64 * 1024 * 1024))


def test_shaking_hands_for_tls_ends_at_the_limit(silent: socket.socket) -> None:
    with connected(silent, 0.05) as patient, pytest.raises(TimeoutError):
        patient.start_tls(ssl.create_default_context(), "127.0.0.1")


def test_a_peer_that_knows_no_tls(silent: socket.socket) -> None:
    with connected(silent, 5) as patient:
        peer, _ = silent.accept()
        with peer:
            peer.sendall(b"not a greeting of TLS at all")
            with pytest.raises(ssl.SSLError):
                patient.start_tls(ssl.create_default_context(), "127.0.0.1")


def test_what_comes_in_time_is_read(silent: socket.socket) -> None:
    with connected(silent, 5) as patient, patient.makefile("rb") as file:
        peer, _ = silent.accept()
        with peer:
            peer.sendall(b"hello")
            assert file.read(5) == b"hello"
        assert file.read(1) == b""


def test_a_refused_connection_is_the_drivers_error() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and not listening
        with pytest.raises(pymysql.OperationalError) as caught:
            connect_patiently("127.0.0.1", bound.getsockname()[1], 1)
    assert caught.value.args[0] == 2003


def test_a_server_that_never_greets_is_given_up(silent: socket.socket) -> None:
    server = Server("127.0.0.1", silent.getsockname()[1], "somebody", "", "nothing")
    with pytest.raises(pymysql.OperationalError):
        server.connect(answer_seconds=0.05)
