"""Middleware that finds out who is calling: HTTP Basic (RFC 7617) or an API key (RFC 6750)."""

import base64

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.user import User

_KEY_HEADERS = ("api-key", "x-api-key")
"""Headers of an API key besides Authorization, as clients for Azure and for Anthropic send it."""


def has_api_key(headers: Headers) -> bool:
    """Return true if the credentials of a request are an API key, right or wrong."""
    if "authorization" in headers:
        return headers["authorization"].strip().partition(" ")[0].lower() == "bearer"
    return any(name in headers for name in _KEY_HEADERS)


def has_credentials(headers: Headers) -> bool:
    """Return true if a request has any credentials, right or wrong."""
    return "authorization" in headers or has_api_key(headers)


class AuthenticationMiddleware:
    """Puts the user, or None without credentials, into `state["user"]`; wrong credentials are refused on every path."""

    def __init__(self, app: ASGIApp, users: UserService, keys: KeyService) -> None:
        self._app = app
        self._users = users
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["user"] = await self._authenticate(Headers(scope=scope))
        await self._app(scope, receive, send)

    async def _authenticate(self, headers: Headers) -> User | None:
        """Return the user of the credentials, None without any; raise AuthenticationError for wrong or several ones.

        Authorization goes before the other headers.
        """
        if values := headers.getlist("authorization"):
            scheme, _, credentials = values[0].strip().partition(" ")
            if len(values) == 1 and scheme.lower() == "basic":
                if pair := _parse_basic(credentials.strip()):
                    return await self._users.authenticate(*pair)
            elif len(values) == 1 and scheme.lower() == "bearer":
                return await self._keys.authenticate(credentials.strip())
        elif keys := {key.strip() for name in _KEY_HEADERS for key in headers.getlist(name)}:
            if len(keys) == 1:
                return await self._keys.authenticate(keys.pop())
        else:
            return None
        raise AuthenticationError(
            "Send one Authorization header: Basic, with username:password in UTF-8 and base64, "
            "or Bearer with an API key (pxy_…), which api-key or x-api-key may hold as well."
        )


def _parse_basic(credentials: str) -> tuple[str, str] | None:
    """Return username and password, or None if the credentials are malformed."""
    try:
        text = base64.b64decode(credentials, validate=True).decode("utf-8")
    except ValueError:
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon and username else None
