"""Paths and methods as the routes know them: with or without a trailing slash, HEAD wherever GET is."""

from starlette.types import ASGIApp, Receive, Scope, Send


def canonical_path(path: str) -> str:
    """The path without its trailing slash."""
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


class CanonicalPathMiddleware:
    """Serves both slash forms without a redirect, and HEAD as GET; the server leaves out the body of HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = canonical_path(scope["path"])
            if path != scope["path"] or scope["method"] == "HEAD":
                scope = dict(scope, path=path, raw_path=path.encode())
                if scope["method"] == "HEAD":
                    # The route of the content looks at this and does not read what nobody will get.
                    scope["state"] = dict(scope.get("state", {}), head=True)
                    scope["method"] = "GET"
        await self._app(scope, receive, send)
