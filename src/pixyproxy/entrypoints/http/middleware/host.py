"""Middleware that answers only requests for a host of this service."""

from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from pixyproxy.entrypoints.http.middleware.canonical_path import canonical_path
from pixyproxy.entrypoints.http.middleware.error_responses import respond_to_error
from pixyproxy.trusted_hosts import TrustedHosts, parse_host

PROBES = frozenset({"/healthz", "/readyz"})
"""Paths of health checks, which know the address of a process only: they are answered for any host."""


class HostMiddleware:
    """Refuses requests without one well-formed `Host` (RFC 9112, section 3.2), and those for hosts of others.

    A page whose own name leads to the address of this service would share its origin, and could read and spend like
    one of its pages. Addresses in responses begin with the host, too. HTTP/1.0 knows no `Host`: a request without one
    names no other host and is answered, with addresses that begin at the path.
    """

    def __init__(self, app: ASGIApp, trusted: Iterable[str]) -> None:
        """Take the hosts as `TrustedHosts` does; none means that every one is answered."""
        self._app = app
        self._trusted = TrustedHosts(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            response = await respond_to_error(Request(scope, receive), refusal)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> HTTPException | None:
        values = [value for name, value in scope["headers"] if name == b"host"]
        if not values and scope["http_version"] == "1.0":
            return None
        if len(values) != 1:
            return HTTPException(400, f"The request has {len(values) or 'no'} Host fields: send exactly one.")
        host = parse_host(values[0].decode("latin-1"))
        if host is None:
            return HTTPException(
                400, "The Host field is malformed: send a host and perhaps a port, such as pictures.example.org:8001."
            )
        if host in self._trusted or canonical_path(scope["path"]) in PROBES:
            return None
        return HTTPException(
            421, f"This service does not answer for the host {host}: PIXYPROXY_TRUSTED_HOSTS does not list it."
        )
