"""The user: a person or program on the roster."""

import hashlib
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from pixyproxy.domain.errors import AccountPausedError


class Role(StrEnum):
    """A user's rights over other users: students have none, teachers act on students of their class, admins on all."""

    STUDENT = "student"
    TEACHER = "teacher"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """A person or program that may log in; `class_key` groups users (a course, a team), None for no group.

    The account is active while it is not `paused` and before `valid_until` (None: without end). `password_set_by` says
    who set the password if the user did not: the name of another user, or COMMAND_LINE.
    """

    username: str
    class_key: str | None = None
    password_hash: str = field(default="", repr=False)
    role: Role = Role.STUDENT
    paused: bool = False
    valid_until: datetime | None = None
    password_set_by: str | None = None

    def require_active(self, now: datetime) -> None:
        """Raise AccountPausedError if the account is paused or no longer valid."""
        if self.paused:
            raise AccountPausedError(
                "This account is paused: a teacher of the class, or an administrator, can resume it."
            )
        if self.valid_until is not None and now >= self.valid_until:
            raise AccountPausedError(
                f"This account was valid until {self.valid_until:%Y-%m-%dT%H:%M:%SZ}: a teacher of the class or an "
                "administrator extends it."
            )


class UserChanges(TypedDict, total=False):
    """New values of a user's fields; those left out stay as they are."""

    class_key: str | None
    password_hash: str
    role: Role
    paused: bool
    valid_until: datetime | None
    password_set_by: str | None


COMMAND_LINE = "command line"
"""Stands in `password_set_by` for whoever may run commands."""


def compose(text: str) -> str:
    """Return a username or password in Unicode's composed form (NFC), in which it is compared (see RFC 8265)."""
    return unicodedata.normalize("NFC", text)


def name_key(username: str) -> str:
    """Return the SHA-256, in hexadecimal, of a username without case and compatibility forms.

    The names of removed users are reserved under it: `Alice` does not follow `alice`, nor do letters of full width.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())
    return hashlib.sha256(folded.encode(errors="surrogatepass")).hexdigest()
