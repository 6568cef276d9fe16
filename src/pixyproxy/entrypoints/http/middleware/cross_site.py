"""The rules for pages of other sites: what they may read (CORS), and that they change nothing."""

from collections.abc import Collection, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pixyproxy.domain.errors import PermissionDeniedError
from pixyproxy.entrypoints.http.middleware.authentication import has_api_key
from pixyproxy.web_origin import is_own_origin

CORS_OPTIONS: Mapping[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    # Any that is asked for: the SDKs add fields in every release, and none of them grants anything.
    "allow_headers": ["*"],
    "allow_private_network": True,
    "expose_headers": [
        "Accept-Encoding",
        "Accept-Ranges",
        "Allow",
        "Content-Disposition",
        "Content-Range",
        "ETag",
        "Idempotent-Replayed",
        "Link",
        "Location",
        "Preference-Applied",
        "Retry-After",
        "WWW-Authenticate",
        "X-Pixyproxy-Cost-USD",
        "X-Request-ID",
        "X-Should-Retry",
    ],
}
"""Options of Starlette's CORSMiddleware besides the origins."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class CrossSiteRequestError(PermissionDeniedError, code="cross-site"):
    """A change that a page of another site makes a browser ask for."""


class CrossSiteMiddleware:
    """Refuses changes that a page of another site makes a browser ask for, unless its origin is listed.

    A browser sends forms to any site without a preflight, with the login that it remembers or from within the network
    that may write anonymously. It never adds an API key by itself, so requests with one pass. Programs send neither
    `Sec-Fetch-Site` nor `Origin`.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str], public_url: str | None) -> None:
        """Take the origins that may call (`*`: all), as `parse_origin` returns them."""
        self._app = app
        self._origins = origins
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE_METHODS:
            headers = Headers(scope=scope)
            if self._is_cross_site(headers) and not has_api_key(headers):
                raise CrossSiteRequestError(
                    "A page of another site may change nothing here: send an API key, "
                    "or have the page's origin listed in PIXYPROXY_CORS_ORIGINS."
                )
        await self._app(scope, receive, send)

    def _is_cross_site(self, headers: Headers) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "").strip().lower()
        if site in {"same-origin", "none"} or (origin is not None and self._is_listed(origin)):
            return False
        if site in {"cross-site", "same-site"}:
            return True
        return origin is not None and not is_own_origin(origin, headers.get("host", ""), self._public_url)

    def _is_listed(self, origin: str) -> bool:
        return origin in self._origins or ("*" in self._origins and origin != "null")
