"""The history of all responses: acknowledged images with their hashes, and responses that broke a promise."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class PictureRequest:
    """A picture that a client requests: once, or with an idempotency key repeatedly."""

    prompt: str
    key: str | None
    guid: str | None = None
    """The GUID of the image, once it is ready."""
    error: str | None = None
    """The code of a final failure, which each repeat must get again."""

    @property
    def body(self) -> dict[str, Any]:
        return {"prompt": self.prompt, "tags": ["fault"]}


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An image that a response called ready."""

    prompt: str
    sha256: str


@dataclass
class History:
    """Record of all requests and responses of the clients; it outlives the services."""

    ready: dict[str, Acknowledged] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    """GUID to prompt of each image that a response mentioned: it must have a row, with any outcome."""
    tags: dict[str, list[str]] = field(default_factory=dict)
    """The tags of an image after an acknowledged change."""
    deleting: set[str] = field(default_factory=set)
    """GUIDs whose deletion was requested: they may still exist until it is acknowledged."""
    deleted: set[str] = field(default_factory=set)
    requested: set[str] = field(default_factory=set)
    """Every prompt that was sent, with or without a response."""
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def report(self, what: str) -> None:
        self.violations.append(what)

    def record_ready(self, request: PictureRequest, guid: str, sha256: str) -> None:
        """Record a response that calls a picture ready."""
        self.begun[guid] = request.prompt
        known = self.ready.setdefault(guid, Acknowledged(request.prompt, sha256))
        if known != Acknowledged(request.prompt, sha256):
            self.report(f"image {guid} was acknowledged as {known} and then with {sha256} for {request.prompt}")
        if request.guid not in (None, guid):
            self.report(f"{request.prompt}: got image {guid} after image {request.guid}")
        if request.error is not None:
            self.report(f"{request.prompt}: ready after the final answer {request.error}")
        request.guid = guid
