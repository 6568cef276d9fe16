"""Queued calls that outlive their process: another takes them over, restores what they need, and runs them once."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.generation.edit_sources import SourceReferences
from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.queue.takeover import QueueTakeover
from pixyproxy.domain.errors import BlobStoreFullError, DBConnectionError
from pixyproxy.domain.generation import GenerationOutcome
from pixyproxy.domain.image import Status
from tests.fixtures.core import PNG, FailingBlobStore, ScriptedGenerator, SteppingClock, image_service_on

LEASE_S = 60.0


class Machine:
    """Processes on one database and one store, each with a generator that is closed until its gate opens."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.blobs = FailingBlobStore()
        self.clock = SteppingClock(timedelta(microseconds=1))

    def process(self, owner: str, **options: Any) -> "Process":
        return Process(self, owner, **options)


class Process:
    """A process of the service; `stop` ends it as a kill would: it does nothing more."""

    def __init__(self, machine: Machine, owner: str, **options: Any) -> None:
        self.generator = ScriptedGenerator()
        self.generator.gate = asyncio.Event()
        images, maintenance = MemoryImageRepository(machine.storage), MemoryMaintenanceRepository(machine.storage)
        self.images = images
        made: tuple[ImageService, GenerationRunner] = image_service_on(
            images,
            maintenance,
            machine.blobs,
            self.generator,
            machine.clock,
            owner=owner,
            lease_s=LEASE_S,
            **({"max_in_flight": 1} | options),
        )
        self.service, self.runner = made
        self.takeover = QueueTakeover(images, maintenance, self.runner, machine.clock, owner=owner, lease_s=LEASE_S)

    async def create(self, **fields: Any) -> GenerationOutcome:
        return await self.service.create("alice", {"prompt": "a duck"} | fields, wait=False)

    async def kill(self) -> None:
        tasks = [*self.runner._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def open_gate(self) -> None:
        assert self.generator.gate is not None
        self.generator.gate.set()


@pytest.fixture
def machine() -> Machine:
    return Machine()


async def all_ended(machine: Machine) -> None:
    while any(image.status in {Status.QUEUED, Status.GENERATING} for image in machine.storage.images.values()):
        await asyncio.sleep(0)


async def test_another_process_takes_over_what_a_dead_one_left_queued(machine: Machine) -> None:
    one, two = machine.process("one"), machine.process("two")
    await one.create()
    queued = [(await one.create()).image.guid for _ in range(3)]
    await one.kill()
    assert await two.takeover.run() == 0  # its leases run
    machine.clock.advance(timedelta(seconds=LEASE_S + 1))
    assert await two.takeover.run() == 3
    assert await two.takeover.run() == 0
    two.open_gate()
    while not all(machine.storage.images[guid].status is Status.READY for guid in queued):
        await asyncio.sleep(0)
    assert (len(one.generator.requests), len(two.generator.requests)) == (1, 3)


async def test_the_same_request_joins_what_was_taken_over(machine: Machine) -> None:
    one, two = machine.process("one"), machine.process("two")
    await one.create()
    queued = (await one.create(prompt="a patient duck")).image.guid
    await one.kill()
    machine.clock.advance(timedelta(seconds=LEASE_S + 1))
    assert await two.takeover.run() == 1
    again = asyncio.create_task(two.service.create("alice", {"prompt": "a patient duck"}))
    await asyncio.sleep(0.01)
    two.open_gate()
    assert (await again).image.guid == queued
    assert len(two.generator.requests) == 1


async def test_a_process_that_stops_leaves_them_at_once(machine: Machine) -> None:
    one, two = machine.process("one"), machine.process("two")
    await one.create()
    queued = (await one.create()).image.guid
    drained = asyncio.create_task(one.runner.drain(60))
    await asyncio.sleep(0.01)
    assert await two.takeover.run() == 1
    two.open_gate()
    one.open_gate()
    assert await drained == 0
    await all_ended(machine)
    assert machine.storage.images[queued].status is Status.READY
    assert (len(one.generator.requests), len(two.generator.requests)) == (1, 1)


async def test_the_whole_request_is_restored(machine: Machine) -> None:
    one, two = machine.process("one"), machine.process("two")
    one.open_gate()
    source = (await one.service.create("alice", {"prompt": "a source"})).image.guid
    one.generator.gate = asyncio.Event()
    await one.create()
    data = {"prompt": "three ducks", "n": 3, "model": "m", "size": "512x512", "user": "student-17"}
    waiting = asyncio.create_task(one.service.generate("alice", data, SourceReferences([source], {"mask": source})))
    while len(machine.storage.images) < 5:
        await asyncio.sleep(0)
    await one.kill()
    await asyncio.gather(waiting, return_exceptions=True)
    await one.service.delete("alice", source)
    machine.clock.advance(timedelta(seconds=LEASE_S + 1))
    assert await two.takeover.run() == 1
    two.open_gate()
    while len(two.generator.requests) < 1:
        await asyncio.sleep(0)
    [request] = two.generator.requests
    assert (request.prompt, request.n, request.model) == ("three ducks", 3, "m")
    assert request.options == {"size": "512x512", "user": "student-17"}
    assert [one.file.read() for one in (*request.images, request.attachments["mask"])] == [PNG, PNG]
    while sum(image.status is Status.READY for image in machine.storage.images.values()) < 3:
        await asyncio.sleep(0)
    assert machine.storage.queued_calls == {}


async def test_a_call_whose_copies_are_gone_ends_unpaid(machine: Machine) -> None:
    one, two = machine.process("one"), machine.process("two")
    one.open_gate()
    source = (await one.service.create("alice", {"prompt": "a source"})).image.guid
    one.generator.gate = asyncio.Event()
    await one.create()
    queued = (await one.create(edit_of=[source])).image.guid
    await one.kill()
    [call] = machine.storage.queued_calls.values()
    await machine.blobs.delete(call.images[0].guid)
    machine.clock.advance(timedelta(seconds=LEASE_S + 1))
    assert await two.takeover.run() == 1
    two.open_gate()
    while machine.storage.images[queued].status is Status.QUEUED:
        await asyncio.sleep(0)
    image = machine.storage.images[queued]
    assert (image.status, image.failure and "nothing was paid" in image.failure.message) == (Status.FAILED, True)
    assert two.generator.requests == []


async def test_a_row_whose_call_is_gone_ends_unpaid(machine: Machine) -> None:
    one, two = machine.process("one"), machine.process("two")
    await one.create()
    queued = (await one.create()).image.guid
    await one.kill()
    machine.storage.queued_calls.clear()
    machine.clock.advance(timedelta(seconds=LEASE_S + 1))
    await two.takeover.run()
    image = machine.storage.images[queued]
    assert (image.status, image.failure and "nothing was paid" in image.failure.message) == (Status.FAILED, True)


async def test_one_that_lost_its_lease_makes_nothing_and_its_caller_gets_the_picture(machine: Machine) -> None:
    one, two = machine.process("one"), machine.process("two")
    await one.create()
    waiting = asyncio.create_task(one.service.create("alice", {"prompt": "a slow duck"}))
    while not machine.storage.queued_calls:
        await asyncio.sleep(0)
    machine.clock.advance(timedelta(seconds=LEASE_S + 1))
    assert await two.takeover.run() == 1
    two.open_gate()
    while not two.generator.requests:
        await asyncio.sleep(0)
    one.open_gate()
    outcome = await waiting
    assert (outcome.image.status, outcome.image.request.prompt) == (Status.READY, "a slow duck")
    assert [request.prompt for request in one.generator.requests] == ["a duck"]
    assert [request.prompt for request in two.generator.requests] == ["a slow duck"]


async def test_a_process_does_not_take_over_from_itself(machine: Machine) -> None:
    one = machine.process("one")
    await one.create()
    await one.create()
    machine.clock.advance(timedelta(seconds=LEASE_S + 1))
    assert await one.takeover.run() == 0
    one.open_gate()
    await all_ended(machine)
    assert len(one.generator.requests) == 2


async def test_what_is_taken_over_together_gets_fair_turns(machine: Machine) -> None:
    one, two = machine.process("one"), machine.process("two")
    await one.create()
    for viewer in ("alice", "alice", "alice", "bob", "carol"):
        await one.service.create(viewer, {"prompt": f"a duck of {viewer}"}, wait=False)
    await one.kill()
    machine.clock.advance(timedelta(seconds=LEASE_S + 1))
    assert await two.takeover.run() == 5
    two.open_gate()
    while len(two.generator.requests) < 5:
        await asyncio.sleep(0)
    order = [request.prompt.rpartition(" ")[2] for request in two.generator.requests]
    assert order == ["alice", "bob", "carol", "alice", "alice"]


async def test_what_is_taken_over_keeps_its_age(machine: Machine) -> None:
    one, two = machine.process("one"), machine.process("two")
    await one.create()
    old = (await one.create(prompt="an old duck")).image.guid
    await one.kill()
    await two.create()
    young = (await two.create(prompt="a young duck")).image.guid
    machine.clock.advance(timedelta(seconds=LEASE_S + 1))
    await two.takeover.run()
    await asyncio.sleep(0.01)
    assert [two.runner.place_here(guid).position for guid in (old, young)] == [1, 2]  # type: ignore[union-attr]
    two.open_gate()
    while len(two.generator.requests) < 3:
        await asyncio.sleep(0)
    assert [request.prompt for request in two.generator.requests] == ["a duck", "an old duck", "a young duck"]


async def test_a_turn_is_not_taken_while_no_picture_could_be_stored(machine: Machine) -> None:
    one = machine.process("one", queue_timeout_s=1)
    await one.create()
    queued = (await one.create()).image.guid
    machine.blobs.failures["check_writable"] = BlobStoreFullError("full")
    one.open_gate()
    while machine.storage.images[queued].status is Status.QUEUED:
        await asyncio.sleep(0.01)
    image = machine.storage.images[queued]
    assert (image.status, image.failure and image.failure.code) == (Status.FAILED, "blob-store-full")
    assert len(one.generator.requests) == 1


async def test_a_start_that_was_committed_without_an_answer_is_taken_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine.process("one")
    monkeypatch.setattr("pixyproxy.application.generation.run._OUTAGE_S", 0.01)
    start, lost = one.images.start, []

    async def start_and_lose_the_answer(guids: Any, lease: Any, now: Any) -> Any:
        started = await start(guids, lease, now)
        if not lost:
            lost.append(guids)
            raise DBConnectionError("The database did not answer in time.")
        return started

    monkeypatch.setattr(one.images, "start", start_and_lose_the_answer)
    await one.create()
    queued = (await one.create(prompt="a patient duck")).image.guid
    one.open_gate()
    await all_ended(machine)
    assert lost == [[queued]]
    assert machine.storage.images[queued].status is Status.READY
    assert [request.prompt for request in one.generator.requests] == ["a duck", "a patient duck"]
