"""Connections of the real service: offers of an upgrade, HTTP/1.0, and pictures made through them."""

import json
import re
import socket
import time

import pytest

from pixyproxy.entrypoints.http.server import bind
from tests.fixtures.service import PATIENCE_S, Service

BODY = b'{"prompt": "an upgraded duck", "size": "32x32", "stream": true}'
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"


def exchange(service: Service, *pieces: bytes) -> bytes:
    """Send pieces with a pause between them, and return all that is received until the service closes."""
    host, port = service.url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.1)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def test_a_request_that_offers_an_upgrade_makes_a_picture(service: Service) -> None:
    head = b"POST /image HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
    body = BODY.replace(b', "stream": true', b"")
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    received = exchange(service, head % (len(body), OFFER), body, last)
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200"]
    assert b'"prompt":"an upgraded duck"' in received
    assert "Unsupported upgrade" not in service.log


def test_the_body_of_a_request_that_offers_an_upgrade_is_no_request(service: Service) -> None:
    smuggled = b"DELETE /image/smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head = b"POST /image HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    received = exchange(service, head % (len(smuggled), OFFER), smuggled, last)
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"400", b"200"]
    assert "/image/smuggled" not in service.log


def test_a_stream_to_a_client_of_http_1_0_has_no_chunks(service: Service) -> None:
    head = b"POST /v1/images/generations HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    received = exchange(service, head % len(BODY) + BODY)
    fields, _, events = received.partition(b"\r\n\r\n")
    assert fields.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in fields.lower()
    assert b"transfer-encoding" not in fields.lower()
    [data] = re.findall(rb"^data: (.*)$", events, re.MULTILINE)
    assert events.startswith(b"event: image_generation.completed\n")
    assert json.loads(data)["type"] == "image_generation.completed"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no socket takes both IPv6 and IPv4 here")
def test_the_address_of_all_interfaces_in_ipv6_takes_clients_by_ipv4() -> None:
    with bind("::", 0) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=PATIENCE_S):
                connection, peer = listener.accept()
                connection.close()
                assert peer[0].endswith(host)
