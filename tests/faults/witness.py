"""What the clients were told: every acknowledged image with its hash, and every answer that broke a promise."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Wish:
    """A picture that a client asks for, once or, with a key, again and again."""

    prompt: str
    key: str | None
    guid: str | None = None
    """The image it got, once that was ready."""
    error: str | None = None
    """The code of a failure that is to be told again to whoever repeats the request."""

    @property
    def body(self) -> dict[str, Any]:
        return {"prompt": self.prompt, "tags": ["fault"]}


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An image that a client was told is ready."""

    prompt: str
    sha256: str


@dataclass
class Witness:
    """The record of all clients, which outlives the services."""

    ready: dict[str, Acknowledged] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    """GUID to prompt of every image that was ever mentioned in an answer: it has a row, whatever became of it."""
    tags: dict[str, list[str]] = field(default_factory=dict)
    """The tags of an image after an acknowledged change."""
    deleting: set[str] = field(default_factory=set)
    """GUIDs whose deletion was asked for: gone, or still there if that was never acknowledged."""
    deleted: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    """Every prompt that was sent, answered or not."""
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def blame(self, what: str) -> None:
        self.violations.append(what)

    def saw_ready(self, wish: Wish, guid: str, sha256: str) -> None:
        """A client was told that its picture is ready."""
        self.begun[guid] = wish.prompt
        known = self.ready.setdefault(guid, Acknowledged(wish.prompt, sha256))
        if known != Acknowledged(wish.prompt, sha256):
            self.blame(f"image {guid} was acknowledged as {known} and then with {sha256} for {wish.prompt}")
        if wish.guid not in (None, guid):
            self.blame(f"{wish.prompt}: got image {guid} after image {wish.guid}")
        if wish.error is not None:
            self.blame(f"{wish.prompt}: ready after the final answer {wish.error}")
        wish.guid = guid
