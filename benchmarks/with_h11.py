"""`pixyproxy serve` on h11 instead of httptools."""

from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from pixyproxy.entrypoints.cli.serve import serve
from pixyproxy.entrypoints.http import draining_server
from pixyproxy.entrypoints.http.connection.connections import Connections


def _protocol(*arguments: Any, connections: Connections) -> H11Protocol:
    return H11Protocol(*arguments)


if __name__ == "__main__":
    draining_server.BoundedProtocol = _protocol  # type: ignore[attr-defined,assignment]
    serve()
