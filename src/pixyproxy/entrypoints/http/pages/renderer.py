"""The renderer of pages: Jinja2 templates, with a content policy that lets nothing run but the page's own files."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from pixyproxy.domain.access import Staff, viewer_of
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.pages.static_files import StaticFiles, accepts_gzip
from pixyproxy.entrypoints.http.representation.image_detail import Links

_TEMPLATES = Path(__file__).with_name("templates")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:{}; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class PageRenderer:
    """Renders templates with what every page shows: the user, the addresses of files, and the rights of the caller."""

    def __init__(
        self, links: Links, files: StaticFiles, policy: AccessPolicy, picture_origin: str | None = None
    ) -> None:
        """`picture_origin` is the other origin to which browsers are sent for pictures, if they are."""
        self._content_policy = _POLICY.format("" if picture_origin is None else f" {picture_origin}")
        self._links = links
        self._policy = policy
        # Everything from outside is escaped: a prompt is text wherever it appears.
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["path"] = links.path
        self._templates.globals["static"] = lambda name: links.path(f"/static/{files.name_of(name)}")

    def render(
        self,
        request: Request,
        template: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        """Return a page, which no cache keeps, because what it shows depends on the user and on the moment."""
        user: User | None = request.scope.get("state", {}).get("user")
        page = self._templates.get_template(template).render(
            user=user,
            here=request.scope["path"],
            is_staff=isinstance(viewer_of(user), Staff),
            may_read=user is not None or self._policy.anonymous_may_read,
            may_write=user is not None or self._policy.anonymous_may_write,
            **values,
        )
        fields = {
            "Cache-Control": "private, no-store" if user is not None else "no-cache",
            "Content-Security-Policy": self._content_policy,
            "Referrer-Policy": "same-origin",
            "Vary": "Accept, Accept-Encoding, Cookie",
            **(headers or {}),
        }
        body = page.encode(errors="replace")
        if accepts_gzip(request):
            body = gzip.compress(body, compresslevel=5, mtime=0)
            fields["Content-Encoding"] = "gzip"
        return Response(body, status, fields, media_type="text/html")

    def to_login(self, path: str) -> Response:
        """Return a redirect to the login page, which leads back to a path of this service."""
        return self.redirect(f"/login?{urlencode({'next': path})}")

    def redirect(self, path: str) -> Response:
        """Return a redirect to a path of this service, which the browser gets (303)."""
        return Response(status_code=303, headers={"Location": self._links.path(path), "Cache-Control": "no-store"})
