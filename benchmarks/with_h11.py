"""`pixyproxy serve` on h11 instead of httptools."""

from uvicorn.protocols.http.h11_impl import H11Protocol

from pixyproxy.entrypoints.cli.serve import serve
from pixyproxy.entrypoints.http import draining_server

if __name__ == "__main__":
    draining_server.HTTPProtocol = H11Protocol  # type: ignore[assignment,misc]
    serve()
