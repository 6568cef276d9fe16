"""The cookie that holds the token of a login session, and the requests for which it counts."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from pixyproxy.web_origin import is_own_origin

SECURE_NAME = "__Host-pixyproxy"
"""Name on https: browsers take a cookie with this prefix only over https, for this host alone (RFC 6265bis)."""
PLAIN_NAME = "pixyproxy"
"""Name on http, where a browser takes no cookie that is marked as secure."""
MAX_AGE_S = 400 * 24 * 3600
"""Time for which a browser keeps the cookie, the longest that it will: the store decides when a session ends."""


class SessionCookie:
    """Reads, sets and deletes the cookie, whose name and flags depend on the scheme by which the browser came."""

    def __init__(self, public_url: str | None) -> None:
        """Take the base of absolute URLs, by which a proxy may offer https."""
        self._public_url = public_url

    def token(self, scope: Scope) -> str | None:
        """Return the token of the cookie, None without one or if it does not count for this request."""
        token = Request(scope).cookies.get(self._name(scope))
        return token if token and self._counts(scope) else None

    def set(self, scope: Scope, response: Response, token: str) -> None:
        """Have the browser keep a token."""
        is_secure = self._is_secure(scope)
        response.set_cookie(
            self._name(scope), token, max_age=MAX_AGE_S, path="/", secure=is_secure, httponly=True, samesite="lax"
        )

    def delete(self, scope: Scope, response: Response) -> None:
        """Have the browser forget the token."""
        is_secure = self._is_secure(scope)
        response.delete_cookie(self._name(scope), path="/", secure=is_secure, httponly=True, samesite="lax")

    def _counts(self, scope: Scope) -> bool:
        """Return whether this service's own page or an address that a person opened sent the request.

        Browsers send `Sec-Fetch-…` to https and to this host only.
        """
        headers = Headers(scope=scope)
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            return site in {"same-origin", "none"} or (scope["method"] == "GET" and is_navigation(headers))
        if origin is None:
            return bool(scope["method"] == "GET")
        return is_own_origin(origin, headers.get("host", ""), self._public_url)

    def _name(self, scope: Scope) -> str:
        return SECURE_NAME if self._is_secure(scope) else PLAIN_NAME

    def _is_secure(self, scope: Scope) -> bool:
        """Return whether the browser came by https: a proxy at the public URL may have told nothing of it."""
        if scope["scheme"] == "https":
            return True
        scheme, _, rest = (self._public_url or "").partition("://")
        return scheme == "https" and rest.partition("/")[0] == Headers(scope=scope).get("host")


def is_navigation(headers: Headers) -> bool:
    """Return whether a browser shows the response as a page of its own, in no frame."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def opens_page(headers: Headers) -> bool:
    """Return whether a browser opens a page, as far as it says so: on http to other hosts only `Accept` does."""
    return is_navigation(headers) or ("sec-fetch-site" not in headers and "text/html" in headers.get("accept", ""))


def is_of_page(headers: Headers) -> bool:
    """Return whether a page of this service sent the request by a script, or for a picture in it."""
    by_page = headers.get("sec-fetch-site") == "same-origin" and headers.get("sec-fetch-mode") != "navigate"
    return by_page or "x-requested-with" in headers
