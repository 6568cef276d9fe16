"""Forms (multipart/form-data, RFC 7578) that reached the fake upstream; of a file only size and digest are kept."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Part:
    """A part of a form; `text` is what it says where it is no file."""

    name: str
    filename: str | None
    content_type: str | None
    size: int
    sha256: str
    text: str | None


def parse_form(body: bytes, content_type: str) -> list[Part]:
    """The parts in their order; none where the body is no form."""
    kind, _, boundary = content_type.partition("boundary=")
    if not kind.startswith("multipart/form-data"):
        return []
    mark = b"--" + boundary.strip('"').encode()
    parts: list[Part] = []
    start = body.index(mark) + len(mark)
    while body[start : start + 2] != b"--":
        end = body.index(b"\r\n" + mark, start)
        parts.append(_part(body, start + 2, end))
        start = end + 2 + len(mark)
    return parts


def _part(body: bytes, start: int, end: int) -> Part:
    middle = body.index(b"\r\n\r\n", start)
    content = memoryview(body)[middle + 4 : end]
    headers = dict(
        line.split(": ", 1) for line in body[start:middle].decode().replace("\r\n ", " ").split("\r\n") if line
    )
    parameters = dict(_PARAMETER.findall(headers["Content-Disposition"]))
    filename = parameters.get("filename")
    return Part(
        parameters["name"],
        filename,
        headers.get("Content-Type"),
        len(content),
        hashlib.sha256(content).hexdigest(),
        str(content, "utf-8") if filename is None else None,
    )


def fields(parts: Iterable[Part]) -> dict[str, str | list[str]]:
    """What the form says besides files, by name; several texts under one name are a list."""
    found: dict[str, str | list[str]] = {}
    for part in parts:
        if part.text is None:
            continue
        before = found.get(part.name)
        if before is None:
            found[part.name] = part.text
        else:
            found[part.name] = [*(before if isinstance(before, list) else [before]), part.text]
    return found
