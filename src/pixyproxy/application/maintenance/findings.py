"""What a reconciler finds, and what it does about it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

BATCH = 500

_T = TypeVar("_T")


class Action(StrEnum):
    """What is done about a finding."""

    ADOPT = "adopt"
    SETTLE = "settle as unknown"
    QUARANTINE = "quarantine"
    DROP = "drop"
    """Of derivatives only, which can be made anew."""
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was not in order: which image (empty for debris), what about it, and what is done."""

    guid: str
    what: str
    action: Action


async def batches(found: AsyncIterator[_T]) -> AsyncIterator[list[_T]]:
    """What is found, `BATCH` at a time."""
    batch: list[_T] = []
    async for one in found:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
