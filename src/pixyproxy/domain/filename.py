"""File names: derived from a prompt, or chosen by a caller and checked."""

import unicodedata
from functools import lru_cache
from urllib.parse import quote

_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
    "image/svg+xml": "svg",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jxl": "jxl",
    "image/tiff": "tiff",
    "image/bmp": "bmp",
}
MAX_FILENAME_BYTES = 255
"""The longest name in bytes of UTF-8 that common file systems accept (NAME_MAX)."""
_MAX_STEM_CHARS = 60
_MAX_STEM_BYTES = 180


def extension_for(media_type: str) -> str:
    """Return the usual file extension of a media type without the dot, or `bin` if it is unknown."""
    return _EXTENSIONS.get(media_type, "bin")


def filename_for(prompt: str, guid: str, media_type: str) -> str:
    """Derive a readable, path-safe name: the words of the prompt in its own script, and eight digits of the GUID."""
    words: list[str] = []
    word = ""
    for char in unicodedata.normalize("NFC", prompt[:400]).lower() + " ":
        if unicodedata.category(char)[0] in "LMN":
            word += char
        elif word:
            words.append(word)
            word = ""
    stem = "-".join(words)[:_MAX_STEM_CHARS]
    stem = stem.encode()[:_MAX_STEM_BYTES].decode(errors="ignore").strip("-")
    return f"{stem or 'image'}-{guid[:8]}.{extension_for(media_type)}"


def result_filename(filename: str, prompt: str, guid: str, media_type: str) -> str:
    """Return the file name of a finished image: a derived name gets the extension of its bytes, a chosen one stays."""
    derived = filename_for(prompt, guid, media_type)
    is_derived = filename.rpartition(".")[0] == derived.rpartition(".")[0]
    return derived if is_derived else filename


def filename_problem(filename: str) -> str | None:
    """Return the rule that a chosen file name breaks, or None."""
    if not filename.strip():
        return "must not be blank"
    if filename != filename.strip():
        return "must not begin or end with white space"
    if filename in {".", ".."}:
        return "must name a file, not a folder"
    if any(c in "/\\" for c in filename):
        return "must be a bare name without '/' or '\\'"
    if any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c not in "\u200c\u200d" for c in filename):
        return "must not contain control or invisible formatting characters"
    if len(filename.encode()) > MAX_FILENAME_BYTES:
        return f"must be at most {MAX_FILENAME_BYTES} bytes long in UTF-8"
    return None


@lru_cache
def content_disposition(filename: str) -> str:
    """Return `inline` with the file name (RFC 6266): in ASCII for old clients, and in any script (RFC 8187)."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename)
    value = f'inline; filename="{plain}"'
    return value if plain == filename else f"{value}; filename*=UTF-8''{quote(filename, safe='')}"
