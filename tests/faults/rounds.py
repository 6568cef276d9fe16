"""Rounds of traffic, SIGKILL at a random moment, restart, reconciliation and audit."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixyproxy.opening import opened
from tests.faults.harness import LEASE_S, Harness, harness

LATEST_KILL_S = 1.5
EARLIEST_KILL_S = 0.05
COMMAND_EVERY = 20
"""Rounds between reconciliations by the command line, whose start takes longer than a round."""


@dataclass
class Figures:
    """The figures of a run."""

    rounds: int = 0
    kills: int = 0
    calls: int = 0
    charges: int = 0
    acknowledged: int = 0
    deleted: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    reconciled: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    others: dict[str, int] = field(default_factory=dict)

    def __iadd__(self, other: "Figures") -> "Figures":
        for name, value in vars(other).items():
            total: Any = getattr(self, name)
            setattr(self, name, dict(Counter(total) + Counter(value)) if isinstance(value, dict) else total + value)
        return self

    def __str__(self) -> str:
        rows = ", ".join(f"{count} {status}" for status, count in sorted(self.rows.items()))
        reconciled = ", ".join(f"{action} {count}" for action, count in sorted(self.reconciled.items()))
        others = ", ".join(f"{count} {what}" for what, count in sorted(self.others.items()))
        return (
            f"{self.rounds} rounds, {self.kills} kills, {self.calls} calls of the upstream, {self.charges} charges, "
            f"{self.acknowledged} images acknowledged, {self.deleted} deleted; rows: {rows}; "
            f"reconciled from outside: {reconciled or 'nothing'}; {others}; "
            f"{self.seconds / 60:.1f} minutes ({self.seconds / max(1, self.rounds):.1f} s a round)"
        )


def run(
    folder: Path, database_name: str, rounds: int, seed: int, on_round: Callable[[Figures], None] = lambda _: None
) -> Figures:
    """Run the rounds and return their figures.

    Raises:
        Disagreement: A round ended with a broken promise.
    """
    with harness(folder, database_name, seed) as made:
        return asyncio.run(_run(made, rounds, on_round))


async def _run(made: Harness, rounds: int, on_round: Callable[[Figures], None]) -> Figures:
    figures, began = Figures(), time.monotonic()
    async with opened(made.container()) as container:
        made.service.fork()
        for number in range(1, rounds + 1):
            await asyncio.to_thread(made.service.await_start)
            await made.traffic(made.chance.uniform(EARLIEST_KILL_S, LATEST_KILL_S))
            killed_at = time.monotonic()
            figures.kills += 1
            made.service.fork()
            if made.chance.random() < 0.15:
                # Kill it again while it starts or repairs what the first kill left behind.
                await asyncio.sleep(made.chance.uniform(0, 0.8))
                await asyncio.to_thread(made.service.kill)
                figures.kills += 1
                made.service.fork()
            # Leases run until then, and files are too young to be cleaned up.
            await asyncio.sleep(max(0.0, killed_at + LEASE_S + 0.02 - time.monotonic()))
            if number % COMMAND_EVERY == 0:
                await asyncio.to_thread(made.reconcile_by_command)
            await made.reconcile(container)
            await asyncio.to_thread(made.inspect)
            _count(figures, made, number, began)
            on_round(figures)
        await asyncio.to_thread(made.service.kill)
        await asyncio.to_thread(made.check_at_the_end)
    _count(figures, made, rounds, began)
    return figures


def _count(figures: Figures, made: Harness, number: int, began: float) -> None:
    figures.rounds = number
    figures.calls = made.ledger.calls
    figures.charges = made.ledger.charges.total()
    figures.acknowledged = len(made.history.ready)
    figures.deleted = len(made.history.deleted)
    figures.rows = dict(made.audit.statuses)
    figures.reconciled = {str(action): count for action, count in made.reconciled.items()}
    figures.others = dict(made.history.counts)
    figures.seconds = time.monotonic() - began
