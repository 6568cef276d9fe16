"""The user: somebody on the roster who may log in."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class User:
    """A person or program that may log in; `class_key` groups users (a course, a team), None for no group."""

    username: str
    class_key: str | None = None
    password_hash: str = field(default="", repr=False)
