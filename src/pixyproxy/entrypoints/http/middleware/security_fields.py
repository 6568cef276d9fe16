"""Middleware that adds to every response what keeps a browser from taking it for more than it is."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIELDS = ((b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"))
NOTHING = (
    b"content-security-policy",
    b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
"""The policy of responses that are no page: if one is shown as a page nevertheless, it loads and runs nothing."""
PICTURE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""The policy of pictures: a drawing (SVG) may hold scripts, which must not act as a page of this service."""


class SecurityFieldsMiddleware:
    """Adds `X-Content-Type-Options`, `X-Frame-Options` and, unless the response has its own, a content policy."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                has_policy = any(name == NOTHING[0] for name, _ in headers)
                message["headers"] = [*headers, *FIELDS] if has_policy else [*headers, *FIELDS, NOTHING]
            await send(message)

        await self._app(scope, receive, send_with_fields)
