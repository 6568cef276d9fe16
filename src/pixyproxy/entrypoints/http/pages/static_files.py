"""The files of the page, under names that change with what is in them, so that browsers keep them for good."""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pixyproxy.entrypoints.http.direct_route import direct_router

FOLDER = Path(__file__).with_name("static")
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HASH_CHARS = 12


class _File(NamedTuple):
    """A file as it is sent: as it is, and compressed."""

    media_type: str
    body: bytes
    packed: bytes


class StaticFiles:
    """The files in memory. All names have one hash, that of all files, so that modules import each other by name."""

    def __init__(self, folder: Path = FOLDER) -> None:
        found = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in _MEDIA_TYPES}
        self._hash = hashlib.sha256(repr(found).encode()).hexdigest()[:_HASH_CHARS]
        self._files = {
            self.name_of(name): _File(_MEDIA_TYPES[Path(name).suffix], body, gzip.compress(body, mtime=0))
            for name, content in found.items()
            for body in [self._with_hashed_imports(content, found)]
        }

    def name_of(self, name: str) -> str:
        """Return the name under which a file of the folder is served: `look.css` as `look.<hash>.css`."""
        stem, _, suffix = name.rpartition(".")
        return f"{stem}.{self._hash}.{suffix}"

    def response(self, request: Request, name: str) -> Response:
        """Return a file by the name under which it is served; raise HTTPException 404 if there is none."""
        file = self._files.get(name)
        if file is None:
            raise HTTPException(404)
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{self._hash}"'}
        headers["Vary"] = "Accept-Encoding"
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if accepts_gzip(request):
            return Response(file.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.media_type)
        return Response(file.body, headers=headers, media_type=file.media_type)

    def _with_hashed_imports(self, content: bytes, names: dict[str, bytes]) -> bytes:
        for name in names:
            content = content.replace(f'"./{name}"'.encode(), f'"./{self.name_of(name)}"'.encode())
        return content


@cache
def page_files() -> StaticFiles:
    """Return the files of the page, which a process reads once."""
    return StaticFiles()


def accepts_gzip(request: Request) -> bool:
    """Return whether a client takes gzip, as browsers say it; a client that excludes it in other words gets none."""
    codings = request.headers.get("accept-encoding", "").split(",")
    return any(coding.strip().lower() == "gzip" for coding in codings)


def build_static_router(files: StaticFiles) -> APIRouter:
    """Build the route of the files."""
    router = direct_router("pages", in_schema=False)

    @router.get("/static/{name}")
    async def get_static_file(request: Request, name: str) -> Response:
        return files.response(request, name)

    return router
