"""Reads by key that arrive together become one query, without anybody waiting for others to come."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from pixyproxy.adapters._sql import threads
from pixyproxy.adapters._sql.threads import TOO_LATE, L, Workers
from pixyproxy.domain.errors import DBConnectionError

MAX_BATCH = 100
"""The most keys of one query: what is read together is also held in memory together, and answered late together."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True, eq=False)
class _Asked(Generic[K, V]):
    """A key, and where its value is awaited."""

    key: K
    deadline: float
    answer: "asyncio.Future[V | None]"

    def fail(self, message: str) -> None:
        """Give up waiting, each caller with an error of its own."""
        if not self.answer.done():
            self.answer.set_exception(DBConnectionError(message))


class BatchedReads(Generic[L, K, V]):
    """Reads values by key, many at once: `find(link, deadline, keys)` gives those that there are.

    One query is under way at a time, and whoever comes meanwhile is in the next. Keys are collected until the
    very moment at which a thread begins the query, and never after it: nobody sees a value that is older than
    the call, and a single caller waits for nobody.

    It is itself the work that the threads do; of its methods only `get` is for callers.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, pool: Workers[L], find: Callable[[L, float, Sequence[K]], Mapping[K, V]]) -> None:
        self._pool = pool
        self._find = find
        self._waiting: deque[_Asked[K, V]] = deque()
        self._taken: list[_Asked[K, V]] = []
        self._under_way = False
        # One timer for all: each of its own would take as long as what is read.
        self._pending: deque[_Asked[K, V]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def get(self, key: K) -> V | None:
        """The value of a key, None if there is none; raises DBConnectionError when the time limit passes first.

        What goes wrong with a query is the error of all whose keys are in it if the database is away, and else
        only of those whose key brings it about.
        """
        self.loop = asyncio.get_running_loop()
        seconds = threads.CALL_SECONDS
        asked: _Asked[K, V] = _Asked(key, time.monotonic() + seconds, self.loop.create_future())
        self._waiting.append(asked)
        self._pending.append(asked)
        if not self._under_way:
            self._send()
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._give_up)
        return await asked.answer

    def _give_up(self) -> None:
        """Let those fail whose time has passed, and look again when that of the next has."""
        self._timer = None
        now = time.monotonic()
        while self._pending and (self._pending[0].deadline <= now or self._pending[0].answer.done()):
            self._pending.popleft().fail(TOO_LATE)
        if self._pending:
            self._timer = self.loop.call_later(self._pending[0].deadline - now, self._give_up)

    def _send(self) -> None:
        self._under_way = True
        try:
            self._pool.put(self)
        except DBConnectionError as error:
            self.fail(error.message)

    def is_wanted(self) -> bool:
        """Take those that are read now, without those that wait no more."""
        taken = self._taken = []
        # Nobody else takes, so that what is there stays there; who is added meanwhile may come along.
        while self._waiting and len(taken) < MAX_BATCH:
            asked = self._waiting.popleft()
            if not asked.answer.done():
                taken.append(asked)
        return bool(taken)

    def run(self, link: L) -> object:
        """The outcome for each that was taken: a value, None, or an error."""
        taken = self._taken
        if len(taken) == 1:
            return [self._read_alone(link, taken[0])]
        keys = tuple(dict.fromkeys(asked.key for asked in taken))
        # Whose time has passed gives up by a timer; the others must not suffer from that.
        deadline = max(asked.deadline for asked in taken)
        try:
            found = self._find(link, deadline, keys)
        except DBConnectionError:
            raise
        except Exception:  # noqa: BLE001 - something about the keys, and each answers for its own
            return [self._read_alone(link, asked) for asked in taken]
        return [found.get(asked.key) for asked in taken]

    def _read_alone(self, link: L, asked: _Asked[K, V]) -> V | Exception | None:
        try:
            return self._find(link, asked.deadline, (asked.key,)).get(asked.key)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            return error

    def settle(self, result: object, failure: BaseException | None) -> None:
        """Answer those that were taken, after sending the next on their way, so that the threads work meanwhile."""
        taken, self._taken = self._taken, []
        self._under_way = False
        if self._waiting:
            self._send()
        if isinstance(failure, DBConnectionError):
            for asked in taken:
                asked.fail(failure.message)
            return
        outcomes = cast("list[V | Exception | None]", result) if failure is None else [failure] * len(taken)
        for asked, outcome in zip(taken, outcomes or (), strict=True):
            if asked.answer.done():
                continue
            if isinstance(outcome, BaseException):
                asked.answer.set_exception(outcome)
            else:
                asked.answer.set_result(outcome)
        while self._pending and self._pending[0].answer.done():
            self._pending.popleft()

    def fail(self, message: str) -> None:
        """Nobody who waits is going to be answered: there are no threads, or they end."""
        self._under_way = False
        while self._waiting:
            self._waiting.popleft().fail(message)
