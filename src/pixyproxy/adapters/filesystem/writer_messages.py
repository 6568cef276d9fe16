"""What the service and its process that writes pictures say to each other: one message each, in one packet."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

MAX_BYTES = 128 * 1024
"""The most bytes of a picture and its sidecar together that go in one packet."""
PACKET_BYTES = MAX_BYTES + 4096

_PUT = struct.Struct("!QI36s")
_ANSWER = struct.Struct("!BQi")


class Kind(IntEnum):
    """What an answer is about."""

    READY = 0
    """The process takes pictures from now on."""
    DONE = 1
    FAILED = 2
    """A system call failed: `number` is its errno, `words` the path it was about."""
    UNUSABLE = 3
    """The store refuses, and `words` say why."""
    FAULT = 4
    """The process has a fault, which `words` describe."""
    LOG = 5
    """A line for the log of the service: `number` is its level."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of the picture that was sent under `key`, or news that belong to none."""

    kind: Kind
    key: int = 0
    number: int = 0
    words: str = ""

    def packet(self) -> bytes:
        """The answer as it is sent, words that are too long cut."""
        return _ANSWER.pack(self.kind, self.key, self.number) + self.words.encode(errors="surrogateescape")[:4000]

    @classmethod
    def of(cls, packet: bytes) -> "Answer":
        """The answer in a packet."""
        kind, key, number = _ANSWER.unpack_from(packet)
        return cls(Kind(kind), key, number, packet[_ANSWER.size :].decode(errors="surrogateescape"))


def put_packet(key: int, guid: str, data: bytes, sidecar: bytes) -> Sequence[bytes]:
    """The pieces of the packet that asks for both files to be written."""
    return _PUT.pack(key, len(sidecar), guid.encode()), sidecar, data


def read_put(packet: bytes) -> tuple[int, str, bytes, bytes]:
    """Key, GUID, bytes and sidecar of such a packet."""
    key, length, guid = _PUT.unpack_from(packet)
    start = _PUT.size
    return key, guid.decode(), packet[start + length :], packet[start : start + length]
