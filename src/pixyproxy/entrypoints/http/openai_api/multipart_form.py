"""Forms (`multipart/form-data`, RFC 7578) as clients send them: text in any charset, and files on disk."""

import asyncio
import codecs
import quopri
import tempfile
from collections.abc import AsyncIterable, Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from pixyproxy.domain.base64_text import decode_base64
from pixyproxy.domain.errors import DataValidationError

MAX_PARTS = 232
MAX_TEXT_BYTES = 1024 * 1024
_IN_MEMORY_BYTES = 1024 * 1024
_CHARSET_FIELD = b"_charset_"
_NOT_TEXT = frozenset({"idna", "punycode", "raw_unicode_escape", "unicode_escape", "utf-7"})
"""Codecs of Python that no client sends forms in; some take very long for long texts."""
_ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "base64": decode_base64,
    "quoted-printable": quopri.decodestring,
    **dict.fromkeys(("", "7bit", "8bit", "binary"), bytes),
}


def spooled(data: bytes = b"") -> BinaryIO:
    """Return a file with these bytes, on disk if they are many; the caller closes it."""
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
    file.write(data)
    return file  # type: ignore[return-value]


class BadEncodingError(ValueError):
    """Bytes that are not in the Content-Transfer-Encoding of their part."""


@dataclass(slots=True)
class FormPart:
    """A part of a form; `filename` is None without one, and empty for a slot that a browser was given no file for."""

    name: bytes = b""
    filename: bytes | None = None
    media_type: str = ""
    charset: str = ""
    encoding: str = ""
    _file: BinaryIO = field(default_factory=spooled)
    _is_taken: bool = False

    def write(self, data: bytes) -> None:
        """Add bytes as they were sent."""
        self._file.write(data)

    def size(self) -> int:
        """Return the number of bytes as they were sent."""
        return self._file.seek(0, 2)

    def read(self) -> bytes:
        """Return the bytes, freed from their Content-Transfer-Encoding; raise BadEncodingError."""
        self._file.seek(0)
        try:
            return _ENCODINGS[self.encoding](self._file.read())
        except ValueError as error:
            raise BadEncodingError(str(error)) from None

    def take_file(self) -> BinaryIO:
        """Return a file with the bytes that `read` returns, which the caller closes."""
        if _ENCODINGS[self.encoding] is not bytes:
            return spooled(self.read())
        self._is_taken = True
        return self._file

    def close(self) -> None:
        """Close the file unless it was taken."""
        if not self._is_taken:
            self._file.close()


class MultipartForm:
    """The parts of a form, to be closed in the end."""

    def __init__(self, parts: list[FormPart], charset: str) -> None:
        self._parts = parts
        self._charset = charset
        for part in parts:
            if part.name == _CHARSET_FIELD and part.filename is None:
                self._charset = part.read().strip().decode("latin-1") or charset

    def parts(self) -> Iterator[tuple[str, FormPart]]:
        """Yield the parts with their names, but for `_charset_`, which names the charset of all texts."""
        for part in self._parts:
            if part.name != _CHARSET_FIELD:
                yield self._decode(part.name, "", "The name of a field"), part

    def text(self, name: str, part: FormPart) -> str:
        """Return the text of a part; raise DataValidationError unless it is text in its charset."""
        if part.size() > MAX_TEXT_BYTES:
            raise DataValidationError.at((name,), f"must be at most {MAX_TEXT_BYTES // 1024} KiB of text")
        try:
            data = part.read()
        except BadEncodingError as error:
            raise DataValidationError.at((name,), str(error)) from None
        return self._decode(data, part.charset, name)

    def _decode(self, data: bytes, charset: str, where: str) -> str:
        charset = charset or self._charset or "utf-8"
        try:
            codec = codecs.lookup(charset).name
            if codec in _NOT_TEXT:
                raise LookupError
            # ASCII is what some clients declare for whatever they send.
            return data.decode("utf-8" if codec == "ascii" else codec)
        except (LookupError, ValueError):
            shown = charset.encode("ascii", "backslashreplace").decode()[:40]
            raise DataValidationError.at(
                (where,), f"is not text in {shown}: send UTF-8, or name the charset in a field _charset_"
            ) from None

    def close(self) -> None:
        """Close all files."""
        for part in self._parts:
            part.close()


async def read_form(content_type: str, body: AsyncIterable[bytes]) -> MultipartForm:
    """Read a form; its bytes go to disk as they arrive.

    Raises:
        HTTPException: 400 if it is malformed, or ends before its closing delimiter.
    """
    _, parameters = parse_options_header(content_type)
    if not (boundary := parameters.get(b"boundary")):
        raise HTTPException(400, "The Content-Type of the form has no boundary.")
    builder = _FormBuilder()
    try:
        parser = MultipartParser(boundary, builder.callbacks())  # type: ignore[arg-type]
        async for piece in body:
            await asyncio.to_thread(parser.write, piece)
        if not builder.ended:
            raise HTTPException(400, "The form is not whole: its closing delimiter is missing.")
        return MultipartForm(builder.parts, parameters.get(b"charset", b"").decode("latin-1"))
    except FormParserError:
        builder.close()
        raise HTTPException(
            400, "The form is malformed, or has another boundary than its Content-Type names."
        ) from None
    except BaseException:
        builder.close()
        raise


class _FormBuilder:
    """Collects the parts that the parser finds."""

    def __init__(self) -> None:
        self.parts: list[FormPart] = []
        self.ended = False
        self._name = self._value = b""

    def callbacks(self) -> dict[str, Callable[..., None]]:
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end", "headers_finished", "end")
        return {f"on_{name}": getattr(self, f"_{name}") for name in names}

    def close(self) -> None:
        for part in self.parts:
            part.close()

    def _part_begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise HTTPException(400, f"The form has more than {MAX_PARTS} parts.")
        self.parts.append(FormPart())

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        name, value, part = self._name.lower(), self._value, self.parts[-1]
        self._name = self._value = b""
        if name == b"content-disposition":
            _, options = parse_options_header(value)
            part.name, part.filename = options.get(b"name", b""), options.get(b"filename")
        elif name == b"content-type":
            media_type, options = parse_options_header(value)
            part.media_type = media_type.decode("latin-1").strip()
            part.charset = options.get(b"charset", b"").decode("latin-1")
        elif name == b"content-transfer-encoding":
            part.encoding = value.decode("latin-1").strip().lower()

    def _headers_finished(self) -> None:
        part = self.parts[-1]
        if not part.name:
            raise HTTPException(400, "A part of the form has no name in its Content-Disposition.")
        if part.encoding not in _ENCODINGS:
            raise HTTPException(400, "A part of the form has an unknown Content-Transfer-Encoding: use none.")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].write(data[start:end])

    def _end(self) -> None:
        self.ended = True
