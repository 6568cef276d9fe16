"""HTTP/1 on a connection: uvicorn's protocol on httptools, with upgrades and HTTP/1.0 as their standards have them."""

from collections.abc import Iterable

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_OF_AN_UPGRADE = frozenset({b"upgrade", b"http2-settings"})
"""Header fields that only mean something to a server that switches protocols, and their names in `Connection`."""


class HTTPProtocol(HttpToolsProtocol):
    """A connection on which requests that offer another protocol are served in this one (RFC 9110, section 7.8).

    httptools takes everything behind the headers of such a request for the other protocol, its body too. So the
    headers are given to a new parser without the offer. HTTP/1.0 gets no chunked coding and no interim responses. A
    target may have a host, which goes before `Host`.
    """

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived and start the requests in it."""
        while True:
            try:
                self._unset_keepalive_if_required()
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError as error:
                self._on_parser_error(error)
                return

    def on_headers_complete(self) -> None:
        """Start a request, unless its headers are to be parsed again."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("a tunnel cannot be offered again as a plain request")
            return
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False
        self._read_absolute_form()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the body of a request, unless its headers are to be parsed again."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _read_absolute_form(self) -> None:
        """Put the host of a target such as `http://host/path` in the place of `Host` (RFC 9112, section 3.2.2)."""
        _, found, rest = self.url.partition(b"://")
        if not found or self.url.startswith(b"/"):
            return
        path_at = min((at for at in map(rest.find, (b"/", b"?", b"#")) if at >= 0), default=len(rest))
        host, path = rest[:path_at], rest[path_at:]
        self.url = path if path.startswith(b"/") else b"/" + path
        # The headers are those of the scope already. Several hosts stay several: such a request is refused.
        self.headers[:] = [(name, host if name == b"host" else value) for name, value in self.headers]
        if self.parser.get_http_version() == "1.0" and all(name != b"host" for name, _ in self.headers):
            self.headers.append((b"host", host))

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                value = _without_offer(value.split(b","))
            if name not in _OF_AN_UPGRADE and not (name == b"connection" and not value):
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _on_parser_error(self, error: Exception) -> None:
        """Answer a request that cannot be parsed."""
        message = "Invalid HTTP request received."
        self.logger.warning(message)
        self.send_400_response(message)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        super()._start_asgi_task(cycle, app if cycle.scope["http_version"] != "1.0" else _without_chunks(cycle, app))


def _without_offer(tokens: Iterable[bytes]) -> bytes:
    kept = (token.strip() for token in tokens)
    return b", ".join(token for token in kept if token.lower() not in _OF_AN_UPGRADE)


def _without_chunks(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """Return the application with responses of unknown length that end with the connection (RFC 9112, section 6.3)."""

    async def run(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        unbounded = False

        async def send_unchunked(message: ASGISendEvent) -> None:
            nonlocal unbounded
            if message["type"] == "http.response.start":
                unbounded = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
                if unbounded:
                    cycle.chunked_encoding = False
            elif message["type"] == "http.response.body" and unbounded:
                # The length of each part is the only one that is known.
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_unchunked)

    return run
