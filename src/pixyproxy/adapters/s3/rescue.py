"""The place for bytes that the bucket does not take, as the store needs it; `containers` supplies one."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Rescued(Protocol):
    """A rescued picture that agrees with its own sidecar, whose text is `sidecar`."""

    @property
    def guid(self) -> str:
        """The GUID of the image."""

    @property
    def sidecar(self) -> bytes:
        """The text of the sidecar."""

    @property
    def size(self) -> int:
        """The length of the bytes."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hexadecimal."""


class Rescue(Protocol):
    """A place that keeps bytes for certain and does not depend on the bucket; methods raise BlobStoreError."""

    async def open(self) -> None:
        """Make ready for use; opening twice does nothing."""

    async def close(self) -> None:
        """Release everything; closing twice does nothing."""

    async def store(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Store bytes and sidecar durably, overwriting nothing, and return the location."""

    async def pictures(self, guid: str | None = None) -> Sequence[Rescued]:
        """Return the rescued pictures (of one GUID) that agree with their sidecars, older ones first."""

    async def read(self, guid: str, sha256: str) -> bytes | None:
        """Return the bytes of a rescued picture, or None if they are gone."""

    async def remove(self, guid: str, sha256: str, sidecar: bytes) -> None:
        """Remove the rescued pictures with these bytes and this sidecar, which are in their place now."""

    async def response_guids(self) -> frozenset[str]:
        """Return the GUIDs for which there are rescued bytes that are described as no picture."""

    async def read_responses(self, guid: str) -> tuple[bytes, ...]:
        """Return the rescued bytes of a GUID that are described as no picture, in the order of their rescue."""
