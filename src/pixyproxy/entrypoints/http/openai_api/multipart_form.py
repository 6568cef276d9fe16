"""Forms (`multipart/form-data`, RFC 7578) as clients send them: text in any charset, and files on disk."""

import asyncio
import codecs
import quopri
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from pixyproxy.application.spool import SpoolFile, SpoolRegion
from pixyproxy.domain.base64_text import decode_base64_pieces
from pixyproxy.domain.errors import DataValidationError

MAX_PARTS = 232
MAX_TEXTS_BYTES = 1024 * 1024
"""Limit of all texts of a form together."""
MAX_CONTENT_TYPE_LENGTH = 1000
_CHARSET_FIELD = b"_charset_"
_MAX_CHARSET_BYTES = 100
_NOT_TEXT = frozenset({"idna", "punycode", "raw_unicode_escape", "unicode_escape", "utf-7"})
"""Codecs of Python that no client sends forms in; some take very long for long texts."""
_ENCODINGS: dict[str, Callable[[Iterable[bytes]], Iterable[bytes]] | None] = {
    "base64": decode_base64_pieces,
    # It is meant for text, which is short.
    "quoted-printable": lambda pieces: [quopri.decodestring(b"".join(pieces))],
    **dict.fromkeys(("", "7bit", "8bit", "binary")),
}


class BadEncodingError(ValueError):
    """Bytes that are not in the Content-Transfer-Encoding of their part."""


@dataclass(slots=True)
class FormPart:
    """A part of a form; `filename` is None without one, and empty for a slot that a browser was given no file for."""

    content: SpoolRegion
    name: bytes = b""
    filename: bytes | None = None
    media_type: str = ""
    charset: str = ""
    encoding: str = ""

    def decode(self) -> None:
        """Free the content from its Content-Transfer-Encoding; raise BadEncodingError."""
        convert, self.encoding = _ENCODINGS[self.encoding], ""
        if convert is None:
            return
        if convert is not decode_base64_pieces and self.content.size > MAX_TEXTS_BYTES:
            raise BadEncodingError("is too large for quoted-printable: use none, or base64")
        try:
            self.content.rewrite(convert)
        except ValueError as error:
            raise BadEncodingError(str(error)) from None


class MultipartForm:
    """The parts of a form, in the spool."""

    def __init__(self, parts: list[FormPart], charset: str) -> None:
        self._parts = parts
        self._charset = charset
        self._texts_bytes = 0
        for part in parts:
            if part.name == _CHARSET_FIELD and part.filename is None:
                self._charset = part.content.read(_MAX_CHARSET_BYTES).strip().decode("latin-1") or charset

    def parts(self) -> Iterator[tuple[str, FormPart]]:
        """Yield the parts with their names, but for `_charset_`, which names the charset of all texts."""
        for part in self._parts:
            if part.name != _CHARSET_FIELD:
                yield self._decode(part.name, "", "The name of a field"), part

    def text(self, name: str, part: FormPart) -> str:
        """Return the text of a part; raise DataValidationError unless it is text in its charset."""
        self._texts_bytes += part.content.size
        if self._texts_bytes > MAX_TEXTS_BYTES:
            raise DataValidationError.at((name,), f"must be, with all other texts, at most {MAX_TEXTS_BYTES >> 10} KiB")
        try:
            part.decode()
        except BadEncodingError as error:
            raise DataValidationError.at((name,), str(error)) from None
        data = part.content.read()
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


async def read_form(content_type: str, body: AsyncIterable[bytes], file: SpoolFile) -> MultipartForm:
    """Read a form; the content of its parts goes to the spool as it arrives.

    Raises:
        HTTPException: 400 if it is malformed, or ends before its closing delimiter.
    """
    if len(content_type) > MAX_CONTENT_TYPE_LENGTH:
        raise HTTPException(400, f"The Content-Type of the form is longer than {MAX_CONTENT_TYPE_LENGTH} characters.")
    _, parameters = parse_options_header(content_type)
    if not (boundary := parameters.get(b"boundary")):
        raise HTTPException(400, "The Content-Type of the form has no boundary.")
    builder = _FormBuilder(file)
    try:
        parser = MultipartParser(boundary, builder.callbacks())  # type: ignore[arg-type]
        async for piece in body:
            await asyncio.to_thread(builder.feed, parser, piece)
    except FormParserError:
        raise HTTPException(
            400,
            "The form is malformed, or has another boundary than its Content-Type names; its lines end in CR and LF.",
        ) from None
    if not builder.ended:
        raise HTTPException(400, "The form is not whole: its closing delimiter is missing.")
    return MultipartForm(builder.parts, parameters.get(b"charset", b"").decode("latin-1"))


class _FormBuilder:
    """Collects the parts that the parser finds, one after the other in a file."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._pending = bytearray()
        self.parts: list[FormPart] = []
        self.ended = False
        self._name = self._value = b""

    def callbacks(self) -> dict[str, Callable[..., None]]:
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end", "headers_finished", "end")
        return {f"on_{name}": getattr(self, f"_{name}") for name in names}

    def feed(self, parser: MultipartParser, piece: bytes) -> None:
        """Parse a piece and keep the content in it; blocks."""
        parser.write(piece)
        self._file.append(bytes(self._pending))
        self._pending.clear()

    def _part_begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise HTTPException(400, f"The form has more than {MAX_PARTS} parts.")
        self.parts.append(FormPart(SpoolRegion(self._file, self._file.size + len(self._pending))))

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
            if len(part.name) > 2 and part.name[:1] == part.name[-1:] == b"'":
                part.name = part.name[1:-1]
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
        self._pending += data[start:end]
        self.parts[-1].content.size += end - start

    def _end(self) -> None:
        self.ended = True
