"""The addresses that the service hands out."""

from urllib.parse import urlencode

from starlette.requests import Request


class Links:
    """Builds addresses from the public URL or, without one, from the request."""

    def __init__(self, public_url: str | None) -> None:
        """Take the base of absolute URLs, without a trailing slash; None takes it from each request."""
        self._public_url = public_url
        # A service published below a path hands out that path too.
        self._prefix = "" if public_url is None else "/".join(["", *public_url.split("/")[3:]])

    def path(self, path: str) -> str:
        """Return a path on this host."""
        return f"{self._prefix}{path}"

    def absolute(self, request: Request, path: str) -> str:
        """Return an absolute URL."""
        if self._public_url is not None:
            return f"{self._public_url}{path}"
        # `request.url` would decode the query string, which may not be text.
        url = request.base_url
        return f"{url.scheme}://{url.netloc}{path}"

    def next_page(self, request: Request, cursor: str, parameters: dict[str, object]) -> str:
        """Return the Link header (RFC 8288) to the next page of a list with these query parameters."""
        query = urlencode({**parameters, "cursor": cursor}, doseq=True)
        return f'<{self.absolute(request, f"/image?{query}")}>; rel="next"'
