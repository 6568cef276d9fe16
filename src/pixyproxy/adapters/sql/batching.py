"""Reads by key, or writes, that arrive together become one, without anybody waiting for others to come."""

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from pixyproxy.adapters.sql import connection_pool as threads
from pixyproxy.adapters.sql.connection_pool import TOO_LATE, Call, L, Workers
from pixyproxy.domain.errors import DBConnectionError

MAX_BATCH = 100
"""The most keys of one query: what is read together is also held in memory together, and answered late together."""
MAX_WRITES = 16
"""The most writes of one transaction: what they lock is locked until the last of them is done."""
MAX_SPAN_S = 0.5
"""Who came so much later than the first of a transaction is in the next: it has to be done in the time of the first."""

K = TypeVar("K")
V = TypeVar("V")


class ApartError(Exception):
    """What was to be done together can be done one by one only."""


@dataclass(slots=True, eq=False)
class _Asked(Generic[K, V]):
    """What is asked for, and where the answer is awaited."""

    key: K
    deadline: float
    answer: "asyncio.Future[V]"

    def fail(self, message: str) -> None:
        """Give up waiting, each caller with an error of its own."""
        if not self.answer.done():
            self.answer.set_exception(DBConnectionError(message))


class _Batches(ABC, Generic[L, K, V]):
    """Has what many ask for done at once.

    One batch is under way at a time, and whoever comes meanwhile is in the next. They are collected until the
    very moment at which its work begins, and never after it, and a single caller waits for nobody.

    It is itself the work that the threads do; of its methods only `get` is for callers.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, pool: Workers[L], most: int, span_s: float = math.inf) -> None:
        self._pool = pool
        self._most = most
        self._span_s = span_s
        self._waiting: deque[_Asked[K, V]] = deque()
        self._taken: list[_Asked[K, V]] = []
        self._under_way = False
        # One timer for all: each of its own would take as long as what is read.
        self._pending: deque[_Asked[K, V]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def get(self, key: K) -> V:
        """What is there for a key, or comes of it; raises DBConnectionError when the time limit passes first.

        What goes wrong with a batch is the error of all who are in it if the database is away, and else
        only of those who bring it about.
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
        """Take those who are in the batch, without those who wait no more."""
        taken = self._taken = []
        # Nobody else takes, so that what is there stays there; who is added meanwhile may come along.
        while self._waiting and len(taken) < self._most:
            if taken and self._waiting[0].deadline > taken[0].deadline + self._span_s:
                break
            asked = self._waiting.popleft()
            if not asked.answer.done():
                taken.append(asked)
        return bool(taken)

    def run(self, link: L) -> object:
        """The outcome for each that was taken: what comes of it, or an error. None if they cannot be done together."""
        taken = self._taken
        if len(taken) == 1:
            return [self._run_alone(link, taken[0])]
        try:
            return self._run_all(link, taken)
        except DBConnectionError:
            raise
        except Exception:  # noqa: BLE001 - something about one of them, and each answers for its own
            return self._part(link, taken)

    def _run_alone(self, link: L, asked: _Asked[K, V]) -> V | Exception:
        try:
            return self._do_one(link, asked.deadline, asked.key)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            return error

    def _part(self, link: L, taken: Sequence[_Asked[K, V]]) -> Sequence[V | Exception] | None:
        """What comes of each of several that cannot be done together."""
        return [self._run_alone(link, asked) for asked in taken]

    @abstractmethod
    def _run_all(self, link: L, taken: Sequence[_Asked[K, V]]) -> Sequence[V]:
        """What comes of each of several."""

    @abstractmethod
    def _do_one(self, link: L, deadline: float, key: K) -> V:
        """What comes of one."""

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
        outcomes = cast("list[V | Exception]", result) if failure is None else [failure] * len(taken)
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


class BatchedReads(_Batches[L, K, V | None]):
    """Reads values by key, many at once: `find(link, deadline, keys)` gives those that there are, else it is None.

    Nobody sees a value that is older than the call.
    """

    def __init__(self, pool: Workers[L], find: Callable[[L, float, Sequence[K]], Mapping[K, V]]) -> None:
        super().__init__(pool, MAX_BATCH)
        self._find = find

    def _run_all(self, link: L, taken: Sequence[_Asked[K, V | None]]) -> Sequence[V | None]:
        keys = tuple(dict.fromkeys(asked.key for asked in taken))
        # Whose time has passed gives up by a timer; the others must not suffer from that.
        found = self._find(link, max(asked.deadline for asked in taken), keys)
        return [found.get(asked.key) for asked in taken]

    def _do_one(self, link: L, deadline: float, key: K) -> V | None:
        return self._find(link, deadline, (key,)).get(key)


class BatchedWrites(_Batches[L, K, V]):
    """Writes many items in one transaction: `write_all(link, deadline, items)` gives the result of each.

    Where it raises anything but DBConnectionError `write_one` writes each by itself, all at once, so that one that has
    to wait for a lock keeps none of the others: until then nothing must be changed that `write_one` does not find done.
    """

    def __init__(
        self,
        pool: Workers[L],
        write_one: Callable[[L, float, K], V],
        write_all: Callable[[L, float, Sequence[K]], Sequence[V]],
    ) -> None:
        super().__init__(pool, MAX_WRITES, MAX_SPAN_S)
        self._write_one = write_one
        self._write_all = write_all

    def _run_all(self, link: L, taken: Sequence[_Asked[K, V]]) -> Sequence[V]:
        # Nobody who has been told that it failed is to find it done.
        return self._write_all(link, min(asked.deadline for asked in taken), [asked.key for asked in taken])

    def _do_one(self, link: L, deadline: float, key: K) -> V:
        return self._write_one(link, deadline, key)

    def _part(self, link: L, taken: Sequence[_Asked[K, V]]) -> None:
        return None

    def settle(self, result: object, failure: BaseException | None) -> None:
        """Answer those that were taken, or have each written by itself."""
        taken = self._taken
        if taken and result is None and failure is None:
            self._taken = []
            for asked in taken:
                self._write_apart(asked)
        super().settle(result, failure)

    def _write_apart(self, asked: _Asked[K, V]) -> None:
        def write(link: L, deadline: float) -> V:
            return self._write_one(link, deadline, asked.key)

        try:
            self._pool.put(Call(write, asked.deadline, self.loop, asked.answer))
        except DBConnectionError as error:
            asked.fail(error.message)
