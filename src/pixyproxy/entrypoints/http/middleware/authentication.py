"""Middleware that finds out who is calling: HTTP Basic (RFC 7617), an API key (RFC 6750) or the page's session."""

import base64
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.application.accounts.session_service import SessionService
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.domain.errors import AccountPausedError, AuthenticationError
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.middleware.caller_address import caller_address
from pixyproxy.entrypoints.http.session_cookie import SessionCookie, opens_page

_KEY_HEADERS = ("api-key", "x-api-key")
"""Headers of an API key besides Authorization, as clients for Azure and for Anthropic send it."""


_ENDS_QUIETLY = ("/session", "/login", "/logout", "/static/")
"""Beginnings of the paths at which a session that has ended is no error: they log in, log out, or need no login."""


_PAGE_USER = "pixyproxy-user"
"""Header in which the page's scripts name the user for whom the page was made, percent-encoded, blank for nobody."""


class SessionEndedError(AuthenticationError, code="session-ended"):
    """A session of the page that has ended or never was."""


class OtherLoginError(AuthenticationError, code="other-login"):
    """A change by a page that was made for another user than the one who is logged in now."""


def require_user_of_page(named: str | None, user: User | None) -> None:
    """Require that the user for whom a page was made, blank for nobody, is the one who is logged in.

    Tabs of one browser share the cookie: a page that was left open would make pictures for whoever logged in since,
    whose idempotency keys are others, so that one whose answer was lost would be paid for twice.

    Raises:
        SessionEndedError: nobody is logged in any more.
        OtherLoginError: somebody else is.
    """
    if named is None or named == ("" if user is None else user.username):
        return
    if user is None:
        raise SessionEndedError("Your session has ended: log in again.")
    raise OtherLoginError("Somebody else has logged in since this page was opened.")


def has_api_key(headers: Headers) -> bool:
    """Return true if the credentials of a request are an API key, right or wrong."""
    if "authorization" in headers:
        return headers["authorization"].strip().partition(" ")[0].lower() == "bearer"
    return any(name in headers for name in _KEY_HEADERS)


def has_credentials(headers: Headers) -> bool:
    """Return true if a request has any credentials, right or wrong."""
    return "authorization" in headers or has_api_key(headers)


class AuthenticationMiddleware:
    """Puts the user, or None without credentials, into `state["user"]`; wrong credentials are refused on every path.

    `state["address"]` is the address by which the caller is counted.
    """

    def __init__(
        self, app: ASGIApp, users: UserService, keys: KeyService, sessions: SessionService, cookie: SessionCookie
    ) -> None:
        self._app = app
        self._users = users
        self._keys = keys
        self._sessions = sessions
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            state = scope.setdefault("state", {})
            state["address"] = address = caller_address(scope)
            headers = Headers(scope=scope)
            if has_credentials(headers):
                state["user"] = await self._authenticate(headers, address)
            elif (token := self._cookie.token(scope)) is None:
                state["user"] = None
            else:
                state["user"] = await self._find(token, scope["path"])
                if state["user"] is None:
                    send = self._without_cookie(scope, headers, send)
            if not has_credentials(headers) and scope["method"] not in {"GET", "HEAD"} and _PAGE_USER in headers:
                require_user_of_page(unquote(headers[_PAGE_USER]), state["user"])
        await self._app(scope, receive, send)

    async def _find(self, token: str, path: str) -> User | None:
        """Return the user of a session; a user whose account is paused may log out, and has no session there."""
        try:
            return await self._sessions.find(token)
        except AccountPausedError:
            if path.startswith(_ENDS_QUIETLY):
                return None
            raise

    def _without_cookie(self, scope: Scope, headers: Headers, send: Send) -> Send:
        """Return a `send` that has the browser forget the cookie of a session that has ended, for a page without it.

        Other requests are refused: one that counted as anonymous would make a public picture of a private prompt.

        Raises:
            SessionEndedError: the request is for no page.
        """
        if not (scope["method"] == "GET" and opens_page(headers)) and not scope["path"].startswith(_ENDS_QUIETLY):
            raise SessionEndedError("Your session has ended: log in again.")
        forgetting = Response()
        self._cookie.delete(scope, forgetting)
        cookies = [field for field in forgetting.raw_headers if field[0] == b"set-cookie"]

        async def send_forgetting(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = list(message.get("headers", ()))
                if not any(name == b"set-cookie" for name, _ in fields):
                    message["headers"] = [*fields, *cookies]
            await send(message)

        return send_forgetting

    async def _authenticate(self, headers: Headers, address: str) -> User | None:
        """Return the user of the credentials; raise AuthenticationError for wrong or several ones.

        Authorization goes before the other headers.
        """
        if values := headers.getlist("authorization"):
            scheme, _, credentials = values[0].strip().partition(" ")
            if len(values) == 1 and scheme.lower() == "basic":
                if pair := _parse_basic(credentials.strip()):
                    return await self._users.authenticate(*pair, address)
            elif len(values) == 1 and scheme.lower() == "bearer":
                return await self._keys.authenticate(credentials.strip(), address)
        elif len(keys := {_bare(key) for name in _KEY_HEADERS for key in headers.getlist(name)}) == 1:
            return await self._keys.authenticate(keys.pop(), address)
        raise AuthenticationError(
            "Send one Authorization header: Basic, with username:password in UTF-8 and base64, "
            "or Bearer with an API key (pxy_…), which api-key or x-api-key may hold as well."
        )


def _bare(key: str) -> str:
    """Return a key without the scheme that belongs to Authorization, which some clients put before it everywhere."""
    scheme, _, credentials = key.strip().partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else key.strip()


def _parse_basic(credentials: str) -> tuple[str, str] | None:
    """Return username and password, or None if the credentials are malformed."""
    try:
        text = base64.b64decode(credentials, validate=True).decode("utf-8")
    except ValueError:
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon and username else None
