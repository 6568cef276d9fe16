"""Middleware that reads the `X-Forwarded-*` fields of named proxies."""

import contextvars
import logging
import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from pixyproxy.named_proxies import UNIX, NamedProxies, parse_address
from pixyproxy.trusted_hosts import parse_host

logger = logging.getLogger(__name__)

forwarded_prefix: contextvars.ContextVar[str] = contextvars.ContextVar("forwarded_prefix", default="")
"""The path below which a proxy publishes the service, without a slash at its end; empty if there is none."""

_OF_THIS_HOST = ("127.0.0.1", "::1")
_FIELDS = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix")
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?")


class ForwardedMiddleware:
    """Puts the client, the scheme and perhaps the host that a named proxy reports in the place of the proxy's own.

    Anybody can send these fields, so those of other peers are ignored. What is malformed is ignored too.
    """

    def __init__(self, app: ASGIApp, proxies: Iterable[str] | None) -> None:
        """Take the proxies as `NamedProxies` does, or None for those of this host.

        Host and prefix are believed only of proxies that are given: they have to be set or cleared on purpose.
        """
        self._app = app
        self._proxies = NamedProxies(_OF_THIS_HOST if proxies is None else proxies)
        self._with_host = proxies is not None
        self._has_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # A request that follows on the same connection may begin with the context of the one before.
            forwarded_prefix.set("")
            self._read(scope)
        await self._app(scope, receive, send)

    def _read(self, scope: Scope) -> None:
        if not any(name in _FIELDS for name, _ in scope["headers"]):
            return
        host = (scope.get("client") or (UNIX,))[0]
        peer = parse_address(host)
        if peer is not None and peer in self._proxies:
            self._believe(scope, peer)
        elif not self._has_warned:
            self._has_warned = True
            logger.warning(
                "ignored the X-Forwarded fields of %s: PIXYPROXY_FORWARDED_ALLOW_IPS does not name it "
                "(this is logged once)",
                peer or host,
            )

    def _believe(self, scope: Scope, peer: str) -> None:
        client = self._client(_listed(scope, b"x-forwarded-for"), peer)
        if client != peer:
            scope["client"] = (client, 0)
        scheme = _first(scope, b"x-forwarded-proto").lower()
        if scheme in {"http", "https"}:
            scope["scheme"] = scheme
        if not self._with_host:
            return
        host = _first(scope, b"x-forwarded-host")
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        # Several are left as they are: such a request is refused.
        if parse_host(host) is not None and len(scope["headers"]) - len(others) <= 1:
            scope["headers"] = [(b"host", host.encode()), *others]
        prefix = _first(scope, b"x-forwarded-prefix")
        if _PREFIX.fullmatch(prefix):
            forwarded_prefix.set(prefix.rstrip("/"))

    def _client(self, chain: list[str], peer: str) -> str:
        """Return the rightmost address that is no named proxy: each proxy adds at the right the peer that it saw.

        What is no address ends the search, because what is left of it may come from anybody.
        """
        client = peer
        for text in reversed(chain):
            address = parse_address(text)
            if address is None:
                break
            client = address
            if address not in self._proxies:
                break
        return client


def _listed(scope: Scope, field: bytes) -> list[str]:
    """Return the elements of a field that is a list, perhaps in several lines."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == field]
    return [text.strip() for text in ",".join(values).split(",") if text.strip()]


def _first(scope: Scope, field: bytes) -> str:
    return next(iter(_listed(scope, field)), "")
