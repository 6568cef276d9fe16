"""The user: a person or program on the roster."""

import hashlib
import unicodedata
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class User:
    """A person or program that may log in; `class_key` groups users (a course, a team), None for no group."""

    username: str
    class_key: str | None = None
    password_hash: str = field(default="", repr=False)


def compose(text: str) -> str:
    """Return a username or password in Unicode's composed form (NFC), in which it is compared (see RFC 8265)."""
    return unicodedata.normalize("NFC", text)


def name_key(username: str) -> str:
    """Return the SHA-256, in hexadecimal, of a username without case and compatibility forms.

    The names of removed users are reserved under it: `Alice` does not follow `alice`, nor do letters of full width.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())
    return hashlib.sha256(folded.encode(errors="surrogatepass")).hexdigest()
