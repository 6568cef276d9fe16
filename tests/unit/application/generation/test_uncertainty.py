"""A request without a key joins an identical one while that is uncertain, and only then."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pixyproxy.adapters.memory.blob_store import MemoryBlobStore
from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.generation import submission
from pixyproxy.application.generation.callers import Caller, Departures
from pixyproxy.application.generation.uncertainty import UncertainSubmissions, how_to_insist
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain import errors
from pixyproxy.domain.generation import IdempotencyClaim, ImageDraft, Lease
from pixyproxy.domain.image import Failure, Status, new_guid
from pixyproxy.ports.clock import Clock
from tests.fixtures.core import FakeProcesses, ScriptedGenerator, image_service_on
from tests.fixtures.image_service import FlakyRepository
from tests.fixtures.images import make_draft, make_result

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
CLAIM = IdempotencyClaim("alice", None, "a" * 64)
LEASE_S = 60.0
ALIVE, DEAD, ELSEWHERE = "host-alive", "host-dead", "elsewhere"
GENERATING, READY, FAILED, UNKNOWN = Status.GENERATING, Status.READY, Status.FAILED, Status.UNKNOWN


class StoppedClock(Clock):
    """A clock that only tests move."""

    time = NOW

    def now(self) -> datetime:
        return self.time


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


class Earlier:
    """An earlier image of the request: its status, since when, its owner, and when its caller left, in seconds ago."""

    def __init__(
        self,
        status: Status,
        since: float = 1,
        *,
        left: float | None = None,
        owner: str = ALIVE,
        renewed: float = 0,
        answered: bool = False,
    ) -> None:
        self.status, self.since, self.left, self.owner, self.renewed = status, since, left, owner, renewed
        self.answered = answered

    def draft(self, **values: Any) -> ImageDraft:
        lease = Lease(self.owner, ago(self.renewed) + timedelta(seconds=LEASE_S))
        return make_draft(claim=CLAIM, created_at=ago(900), lease=lease, **values)

    async def finish(self, images: MemoryImageRepository, guid: str) -> None:
        if self.status is READY:
            await images.mark_ready(guid, make_result(), ago(self.since))
            if self.answered:
                await images.mark_answered([guid])
        elif self.status is not GENERATING:
            await images.mark_failed(guid, self.status, Failure("x", "y"), ago(self.since))
        if self.left is not None:
            await images.mark_caller_left([guid], ago(self.left))


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        # It may have been paid for and was told so: for a minute.
        ([[Earlier(UNKNOWN, 59)]], (0, 0)),
        ([[Earlier(UNKNOWN, 61)]], None),
        ([[Earlier(UNKNOWN, 59, left=700)]], (0, 0)),
        # Nobody works on it any more.
        ([[Earlier(GENERATING, owner=DEAD)]], (0, 0)),
        ([[Earlier(GENERATING, owner=ALIVE, renewed=59)]], None),
        ([[Earlier(GENERATING, owner=ELSEWHERE, renewed=31)]], (0, 0)),
        ([[Earlier(GENERATING, owner=ELSEWHERE, renewed=29)]], None),
        # Its caller left: until a minute after its end.
        ([[Earlier(GENERATING, left=0)]], (0, 0)),
        ([[Earlier(GENERATING, left=80_000)]], (0, 0)),
        ([[Earlier(READY, 59, left=700)]], (0, 0)),
        ([[Earlier(READY, 61, left=62)]], None),
        # The process that owed the answer is dead: until a minute after the end.
        ([[Earlier(READY, 59, owner=DEAD)]], (0, 0)),
        ([[Earlier(READY, 61, owner=DEAD)]], None),
        ([[Earlier(READY, 59, owner=ELSEWHERE, renewed=31)]], (0, 0)),
        ([[Earlier(READY, 1, owner=ELSEWHERE, renewed=29)]], None),
        ([[Earlier(READY, 59, owner=DEAD), Earlier(READY, 1, owner=DEAD)]], (0, 1)),
        # The caller has the picture, or a surely unpaid failure, or waits for the answer.
        ([[Earlier(READY, 0)]], None),
        ([[Earlier(READY, 0, owner=DEAD, answered=True)]], None),
        ([[Earlier(FAILED, 0)]], None),
        ([[Earlier(FAILED, 0, left=1)]], None),
        # The pictures of one call are one outcome.
        ([[Earlier(READY, 300), Earlier(GENERATING, owner=DEAD)]], (0, 1)),
        ([[Earlier(READY, 300, left=200), Earlier(GENERATING, left=200)]], (0, 0)),
        ([[Earlier(READY, 300, left=200), Earlier(FAILED, 59, left=200)]], (0, 0)),
        ([[Earlier(FAILED, 1, left=200), Earlier(READY, 1, left=200)]], (0, 1)),
        ([[Earlier(FAILED, 1, left=200), Earlier(FAILED, 1, left=200)]], None),
        ([[Earlier(READY, 1), Earlier(UNKNOWN, 1)]], None),
        ([[Earlier(READY, 1), Earlier(GENERATING)]], None),
        ([[Earlier(FAILED, 1), Earlier(UNKNOWN, 1)]], (0, 1)),
        # Of several the newest, but rather one with a picture.
        ([[Earlier(UNKNOWN)], [Earlier(UNKNOWN)], [Earlier(READY)]], (1, 0)),
        ([[Earlier(READY, left=2)], [Earlier(GENERATING, left=2)], [Earlier(UNKNOWN)]], (0, 0)),
        ([[Earlier(GENERATING, left=2)], [Earlier(UNKNOWN)]], (0, 0)),
        ([], None),
    ],
)
async def test_the_predecessor_to_join(calls: list[list[Earlier]], expected: tuple[int, int] | None) -> None:
    images, clock = MemoryImageRepository(MemoryStorage()), StoppedClock()
    processes = FakeProcesses(**{ALIVE: True, DEAD: False})
    _, runner = image_service_on(
        images, MemoryMaintenanceRepository(), MemoryBlobStore(), ScriptedGenerator(), clock, processes=processes
    )
    uncertain = UncertainSubmissions(images, Departures(images, runner, clock), processes, clock, lease_s=LEASE_S)
    guids = [[new_guid() for _ in call] for call in calls]
    for call, names in zip(calls, guids, strict=True):
        batch = names[0] if len(names) > 1 else None
        await images.add_batch(
            [earlier.draft(guid=guid, batch=batch) for earlier, guid in zip(call, names, strict=True)]
        )
        for earlier, guid in zip(call, names, strict=True):
            await earlier.finish(images, guid)
    found = await uncertain.find(CLAIM)
    if expected is not None:
        call_number, number = expected
        assert found.uncertain is not None
        assert found.uncertain.guid == guids[call_number][number]
    else:
        others_run = any(earlier.status is GENERATING for call in calls for earlier in call)
        assert found == (None, others_run)


def test_an_error_says_until_when_it_is_repeated() -> None:
    assert how_to_insist(ago(10), NOW).endswith("until 2026-11-21T10:00:51Z.")
    assert how_to_insist(ago(60), NOW).endswith("with a new Idempotency-Key.")


class Harness:
    """Two processes on one database whose generator waits for `generator.gate`."""

    def __init__(self) -> None:
        self.storage, self.clock, self.generator = MemoryStorage(), StoppedClock(), ScriptedGenerator()
        self.images = FlakyRepository(self.storage)
        self.processes = FakeProcesses(other=True)
        blobs, maintenance = MemoryBlobStore(), MemoryMaintenanceRepository(self.storage)
        self.services: list[ImageService] = []
        self.departures: list[Departures] = []
        self.runners = []
        for owner in ("test", "other"):
            service, runner = image_service_on(
                self.images, maintenance, blobs, self.generator, self.clock, owner=owner, processes=self.processes
            )
            self.services.append(service)
            self.runners.append(runner)
            self.departures.append(service._submitter._departures)

    def submit(self, process: int = 0, *, caller: Caller | None = None, **options: Any) -> "asyncio.Task[Any]":
        return asyncio.create_task(self.services[process].create("alice", {"prompt": "duck"}, caller=caller, **options))

    def let_go(self) -> None:
        """Let the generator answer."""
        assert self.generator.gate is not None
        self.generator.gate.set()

    async def calls(self, count: int) -> None:
        """Wait until the generator was called this often, and check that it is not called more often."""
        while len(self.generator.requests) < count:
            await asyncio.sleep(0)
        await turns()
        assert len(self.generator.requests) == count


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    monkeypatch.setattr(submission, "_LEAVING_S", 0.01)
    harness = Harness()
    harness.generator.gate = asyncio.Event()
    yield harness
    if harness.generator.gate is not None:
        harness.let_go()
    for runner in harness.runners:
        await runner.drain(1)


@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize("wait", [True, False])
async def test_a_repeat_gets_the_picture_of_a_caller_who_left(harness: Harness, process: int, wait: bool) -> None:
    caller = Caller()
    first = harness.submit(caller=caller)
    await harness.calls(1)
    harness.departures[0].leave(caller)
    second = harness.submit(process, wait=wait)
    await turns()
    harness.let_go()
    outcome = await second
    assert (outcome.image.guid, outcome.replayed) == ((await first).image.guid, True)
    assert len(harness.generator.requests) == 1


@pytest.mark.parametrize("process", [0, 1])
async def test_a_departure_that_is_noticed_late_is_waited_for(
    harness: Harness, process: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_LEAVING_S", 0.3)
    caller = Caller()
    first = harness.submit(caller=caller)
    await harness.calls(1)
    second = harness.submit(process)
    await turns()
    harness.departures[0].leave(caller)
    harness.let_go()
    assert (await second).image.guid == (await first).image.guid
    assert len(harness.generator.requests) == 1


@pytest.mark.parametrize("process", [0, 1])
async def test_requests_beside_each_other_are_several_pictures(harness: Harness, process: int) -> None:
    tasks = [harness.submit()]
    await harness.calls(1)
    tasks += [harness.submit(process), harness.submit(process)]
    await harness.calls(3)
    harness.let_go()
    assert len({(await task).image.guid for task in tasks}) == 3
    await harness.submit(process)
    assert len(harness.generator.requests) == 4


async def test_a_caller_who_left_before_the_row_is_remembered_with_it(harness: Harness) -> None:
    caller = Caller()
    harness.departures[0].leave(caller)
    first = harness.submit(caller=caller)
    await harness.calls(1)
    second = harness.submit(1)
    await turns()
    harness.let_go()
    assert (await second).image.guid == (await first).image.guid


async def test_who_joins_and_leaves_can_be_joined_too(harness: Harness) -> None:
    callers = [Caller(), Caller()]
    first = harness.submit(caller=callers[0], idempotency_key="k")
    await harness.calls(1)
    second = harness.submit(1, caller=callers[1], idempotency_key="k")
    await turns()
    harness.departures[1].leave(callers[1])
    third = harness.submit(1)
    await turns()
    harness.let_go()
    assert (await first).image.guid == (await second).image.guid == (await third).image.guid
    assert len(harness.generator.requests) == 1


async def test_a_caller_who_is_cancelled_is_sent_away(harness: Harness) -> None:
    first = harness.submit()
    await harness.calls(1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = harness.submit(1)
    await turns()
    harness.let_go()
    assert (await second).replayed
    assert len(harness.generator.requests) == 1


async def test_callers_who_wait_at_the_end_are_sent_away(harness: Harness) -> None:
    first = harness.submit()
    await harness.calls(1)
    await harness.departures[0].close()
    second = harness.submit(1)
    await turns()
    harness.let_go()
    assert (await second).image.guid == (await first).image.guid


async def test_an_error_after_a_possible_payment_is_repeated_for_a_minute(harness: Harness) -> None:
    harness.generator.gate = None
    harness.generator.outcome = errors.GeneratorConnectionLostError("It broke.")
    with pytest.raises(errors.GeneratorConnectionLostError) as first:
        await harness.submit()
    assert first.value.detail == f"It broke. {how_to_insist(NOW, NOW)}"
    for process in (0, 1):
        with pytest.raises(errors.GeneratorConnectionLostError) as repeated:
            await harness.submit(process)
        assert repeated.value.detail == first.value.detail
        assert (repeated.value.replayed, repeated.value.may_have_been_paid) == (True, True)
        assert repeated.value.guid == first.value.guid
    assert len(harness.generator.requests) == 1
    harness.generator.outcome = errors.GeneratorConnectionLostError("It broke.")
    with pytest.raises(errors.GeneratorConnectionLostError) as insisting:
        await harness.submit(idempotency_key="new")
    assert (insisting.value.replayed, insisting.value.advice, len(harness.generator.requests)) == (False, None, 2)
    harness.clock.time += timedelta(seconds=61)
    with pytest.raises(errors.GeneratorConnectionLostError) as later:
        await harness.submit()
    assert (later.value.replayed, len(harness.generator.requests)) == (False, 3)


@pytest.mark.parametrize(
    "error", [errors.GeneratorUnavailableError("down"), errors.PromptRejectedError("no"), errors.GeneratorError("no")]
)
async def test_a_failure_that_cost_nothing_is_tried_again(harness: Harness, error: errors.GeneratorError) -> None:
    harness.generator.gate = None
    harness.generator.outcome = error
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            await harness.submit()
        assert (caught.value.replayed, caught.value.advice) == (False, None)
    assert len(harness.generator.requests) == 2


@pytest.mark.parametrize("process", [0, 1])
async def test_a_picture_that_could_not_be_recorded_yet_is_joined(harness: Harness, process: int) -> None:
    harness.generator.gate = None
    harness.images.away = {"mark_ready"}
    with pytest.raises(errors.DBConnectionError) as first:
        await harness.submit()
    second = harness.submit(process)
    await turns()
    harness.images.away = set()
    await harness.runners[0].maintain()
    assert (await second).image.guid == first.value.guid
    assert len(harness.generator.requests) == 1


async def test_a_repeat_gets_the_picture_that_a_killed_process_owes(harness: Harness) -> None:
    harness.generator.gate = None
    first = await harness.submit(caller=Caller())
    harness.processes.alive["test"] = False
    assert (await harness.submit(1)).image.guid == first.image.guid
    assert len(harness.generator.requests) == 1


@pytest.mark.parametrize("ends", ["the time", "the service"])
async def test_a_caller_who_was_answered_gets_another_picture(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr("pixyproxy.application.generation.callers._WRITE_EVERY_S", 0.01)
    harness.generator.gate = None
    caller = Caller()
    await harness.submit(caller=caller)
    harness.departures[0].answered(caller)
    await (asyncio.sleep(0.1) if ends == "the time" else harness.departures[0].close())
    harness.processes.alive["test"] = False
    assert not (await harness.submit(1)).replayed
    assert len(harness.generator.requests) == 2


async def test_an_answer_that_a_picture_is_being_made_is_recorded_once_it_is_ready(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixyproxy.application.generation.callers._WRITE_EVERY_S", 0.01)
    caller = Caller()
    outcome = await harness.submit(caller=caller, wait=False)
    harness.departures[0].answered(caller)
    await asyncio.sleep(0.05)
    assert outcome.image.guid in harness.storage.leases
    harness.let_go()
    await asyncio.sleep(0.1)
    assert harness.storage.leases == {}


async def test_an_answer_to_several_submissions_is_one_to_each(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixyproxy.application.generation.callers._WRITE_EVERY_S", 0.01)
    harness.generator.gate = None
    caller = Caller()
    for key in ("one", "two"):
        await harness.submit(caller=caller, idempotency_key=key)
    harness.departures[0].answered(caller)
    await asyncio.sleep(0.1)
    assert harness.storage.leases == {}


async def test_an_answer_is_recorded_once_the_database_is_back(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pixyproxy.application.generation.callers._WRITE_EVERY_S", 0.01)
    harness.generator.gate = None
    harness.images.away = {"mark_answered"}
    caller = Caller()
    await harness.submit(caller=caller)
    harness.departures[0].answered(caller)
    await asyncio.sleep(0.05)
    assert "postponed recording that callers were answered" in caplog.text
    assert harness.storage.leases != {}
    harness.images.away = set()
    await asyncio.sleep(0.1)
    assert harness.storage.leases == {}


async def test_a_departure_is_known_here_before_the_database_is_back(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixyproxy.application.generation.callers._WRITE_EVERY_S", 0.01)
    harness.images.away = {"mark_caller_left"}
    caller = Caller()
    first = harness.submit(caller=caller)
    await harness.calls(1)
    harness.departures[0].leave(caller)
    second = harness.submit()
    await turns()
    assert len(harness.generator.requests) == 1
    harness.images.away = set()
    await asyncio.sleep(0.03)
    assert harness.storage.callers_left.keys() == {image.guid for image in harness.storage.images.values()}
    harness.let_go()
    assert (await second).image.guid == (await first).image.guid


async def test_a_departure_that_cannot_be_recorded_does_not_delay_the_end_for_long(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pixyproxy.application.generation.callers._CLOSE_S", 0.01)
    harness.images.away = {"mark_caller_left"}
    harness.submit()
    await harness.calls(1)
    await harness.departures[0].close()
    assert "could not record that a caller was answered or sent away" in caplog.text
