"""Which function handles which path and method: for serving it, for the log and for `Allow`."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from re import Pattern

from starlette.responses import Response
from starlette.routing import BaseRoute

from pixyproxy.entrypoints.http.direct_route import DirectRoute

Function = Callable[..., Awaitable[Response]]
"""Takes the request and the parameters of the path, as text."""


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Pattern[str]
    methods: frozenset[str]
    function: Function
    where: str


class RouteTable:
    """The direct routes of an application."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        """Raises TypeError for a route of another kind."""
        self._entries: list[_Entry] = []
        self._plain: dict[tuple[str, str], _Entry] = {}
        for route in routes:
            if not isinstance(route, DirectRoute):
                raise TypeError(f"{route!r} is no direct route")
            entry = _Entry(route.path_regex, frozenset(route.methods or ()), route.endpoint, _where(route.endpoint))
            self._entries.append(entry)
            if not route.param_convertors:
                self._plain.update({(method, route.path): entry for method in entry.methods})

    def find(self, method: str, path: str) -> tuple[Function, dict[str, str]] | None:
        """The function that handles this method on this path, and the parameters of the path; None without one."""
        entry, parameters = self._find(method, path)
        return None if entry is None else (entry.function, parameters)

    def where(self, method: str, path: str) -> str:
        """`name:line` of the function that handles this method on this path, `-:0` if there is none."""
        entry, _ = self._find("GET" if method == "HEAD" else method, path)
        return "-:0" if entry is None else entry.where

    def allowed(self, path: str) -> list[str]:
        """The methods that this path answers to, sorted; HEAD goes wherever GET goes."""
        methods = {method for entry in self._entries if entry.path.match(path) for method in entry.methods}
        return sorted(methods | ({"HEAD"} if "GET" in methods else set()))

    def _find(self, method: str, path: str) -> tuple[_Entry | None, dict[str, str]]:
        if (plain := self._plain.get((method, path))) is not None:
            return plain, {}
        for entry in self._entries:
            if method in entry.methods and (match := entry.path.match(path)):
                return entry, match.groupdict()
        return None, {}


def _where(function: Function) -> str:
    code = getattr(function, "__code__", None)
    return f"{function.__name__}:{code.co_firstlineno}" if code is not None else "-:0"
