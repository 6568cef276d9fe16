"""Which function handles which path and method, for the log and for `Allow`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from re import Pattern
from typing import Any

from starlette.routing import BaseRoute, Route


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Pattern[str]
    methods: frozenset[str]
    where: str


class RouteTable:
    """The routes of an application, looked up without serving them."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._entries = [
            _Entry(route.path_regex, frozenset(route.methods or ()), _where(route.endpoint))
            for route in routes
            if isinstance(route, Route)
        ]

    def where(self, method: str, path: str) -> str:
        """`name:line` of the function that handles this method on this path, `-:0` if there is none."""
        method = "GET" if method == "HEAD" else method
        for entry in self._entries:
            if method in entry.methods and entry.path.match(path):
                return entry.where
        return "-:0"

    def allowed(self, path: str) -> list[str]:
        """The methods that this path answers to, sorted; HEAD goes wherever GET goes."""
        methods = {method for entry in self._entries if entry.path.match(path) for method in entry.methods}
        return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def _where(endpoint: Callable[..., Any]) -> str:
    code = getattr(endpoint, "__code__", None)
    return f"{endpoint.__name__}:{code.co_firstlineno}" if code is not None else "-:0"
