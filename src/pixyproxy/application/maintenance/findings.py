"""The findings of a reconciler."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

logger = logging.getLogger(__name__)

BATCH = 500

_T = TypeVar("_T")


class Action(StrEnum):
    """The remedy for a finding."""

    ADOPT = "adopt"
    SETTLE = "settle as unknown"
    QUARANTINE = "quarantine"
    DROP = "drop"
    """For thumbnails only, which can be made again."""
    PROTECT = "protect"
    """For files and folders that more, or other, users may read than new ones."""
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Finding:
    """A discrepancy between rows and bytes, with its remedy; `guid` is empty for debris."""

    guid: str
    description: str
    action: Action


async def batches(items: AsyncIterator[_T]) -> AsyncIterator[list[_T]]:
    """Yield the items in lists of `BATCH`."""
    batch: list[_T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def log_findings(findings: AsyncIterator[Finding]) -> None:
    """Log each finding, those that people have to look after as errors."""
    async for finding in findings:
        level = logging.ERROR if finding.action is Action.REPORT else logging.WARNING
        logger.log(level, "reconciled %s: %s: %s", finding.guid or "the store", finding.description, finding.action)
