"""Middleware that gives paths and methods the one form that the routes know."""

from starlette.types import ASGIApp, Receive, Scope, Send


def canonical_path(path: str) -> str:
    """Return the path without its trailing slash."""
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


class CanonicalPathMiddleware:
    """Serves both slash forms of a path without a redirect, and HEAD as GET.

    The server leaves out the body of a response to HEAD. `state["head"]` lets a route skip reading what nobody gets.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = canonical_path(scope["path"])
            if path != scope["path"] or scope["method"] == "HEAD":
                scope = dict(scope, path=path, raw_path=path.encode())
                if scope["method"] == "HEAD":
                    scope.setdefault("state", {})["head"] = True
                    scope["method"] = "GET"
        await self._app(scope, receive, send)
