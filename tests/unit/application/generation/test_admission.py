"""The bound on the bytes of pictures that wait to be stored."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.generation.admission import UNKNOWN_BYTES, ByteBudget, Permit
from pixyproxy.domain.errors import GeneratorResponseError, PixyProxyException
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest
from pixyproxy.ports.image_generator import MakeRoom, OnPartial
from tests.fixtures.core import PNG, FailingBlobStore, ScriptedGenerator, SteppingClock, image_service_on

FAR_S = 3600.0


async def turns(number: int = 10) -> None:
    """Run the event loop until nothing more happens."""
    for _ in range(number):
        await asyncio.sleep(0)


def asking(permit: Permit, size: int | None, *, in_s: float = FAR_S) -> "asyncio.Task[None]":
    deadline = asyncio.get_running_loop().time() + in_s
    return asyncio.create_task(permit.admit(size, deadline=deadline))


async def test_permits_are_given_while_they_fit_and_when_one_is_released() -> None:
    budget = ByteBudget(10, hold_s=FAR_S)
    all_of_them = [Permit(budget) for _ in range(7)]
    waits = [asking(each, 4) for each in all_of_them]
    for number, each in enumerate(all_of_them):
        await turns()
        assert [wait.done() for wait in waits] == [place < number + 2 for place in range(7)]
        assert budget.bytes <= 10
        each.hold(5)
        assert budget.bytes <= 10
        each.release()
    assert budget.bytes == 0


async def test_permits_are_given_in_order_and_an_oversized_one_alone() -> None:
    budget = ByteBudget(10, hold_s=FAR_S)
    first, large, small = Permit(budget), Permit(budget), Permit(budget)
    await asking(first, 4)
    waits = [asking(large, 1000), asking(small, 1)]
    await turns()
    assert [wait.done() for wait in waits] == [False, False]
    first.release()
    await turns()
    assert [wait.done() for wait in waits] == [True, False]
    large.release()
    await waits[1]


async def test_an_unknown_length_counts_as_that_of_a_picture() -> None:
    budget = ByteBudget(hold_s=FAR_S)
    permit = Permit(budget)
    await asking(permit, None)
    assert budget.bytes == UNKNOWN_BYTES
    permit.hold(7)
    assert budget.bytes == 7


async def test_a_slow_response_does_not_block_others_and_counts_once_it_has_arrived() -> None:
    budget = ByteBudget(10, hold_s=0)
    slow, next_one = Permit(budget), Permit(budget)
    await asking(slow, 10)
    await asking(next_one, 10)
    slow.hold(8)
    next_one.hold(9)
    assert budget.bytes == 17  # a paid picture is never refused


@pytest.mark.parametrize(("patience_s", "in_s"), [(0, FAR_S), (FAR_S, 0), (FAR_S, -1)])
async def test_the_wait_ends_at_half_of_the_remaining_time(patience_s: float, in_s: float) -> None:
    budget = ByteBudget(10, hold_s=FAR_S, patience_s=patience_s)
    full, late = Permit(budget), Permit(budget)
    full.hold(10)
    await asking(late, 5, in_s=in_s)
    assert budget.bytes == 15


async def test_a_permit_may_be_admitted_twice() -> None:
    budget = ByteBudget(10, hold_s=FAR_S)
    permit = Permit(budget)
    for _ in range(3):
        await asking(permit, 10)
    assert budget.bytes == 10


async def test_a_cancelled_wait_leaves_the_queue() -> None:
    budget = ByteBudget(10, hold_s=FAR_S)
    full, large, small, last = (Permit(budget) for _ in range(4))
    await asking(full, 5)
    waits = [asking(large, 10), asking(small, 5), asking(last, 5)]
    await turns()
    waits[0].cancel()
    await turns()
    assert [wait.done() for wait in waits] == [True, True, False]
    full.release()
    waits[2].cancel()  # as soon as there is room
    await turns()
    assert waits[2].cancelled()
    small.release()
    assert budget.bytes == 0


class Patient(ScriptedGenerator):
    """Caller of admission that counts the pictures on their way to the store."""

    def __init__(self) -> None:
        super().__init__()
        self.admitted = 0

    async def generate(
        self, request: GenerationRequest, on_partial: OnPartial | None = None, make_room: MakeRoom | None = None
    ) -> tuple[GeneratedImage, ...]:
        assert make_room is not None
        await make_room(len(PNG))
        self.admitted += 1
        return await super().generate(request, on_partial)


class SlowStore(FailingBlobStore):
    """Store whose writes wait until a test releases them."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Semaphore(0)

    async def put(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> None:
        await self.gate.acquire()
        await super().put(guid, data, sidecar)


@pytest.mark.parametrize("outcome", [GeneratedImage(PNG), GeneratorResponseError("no"), GeneratedImage(b"nonsense")])
async def test_responses_wait_until_earlier_pictures_are_stored(outcome: GeneratedImage | Exception) -> None:
    storage, blobs, generator, clock = MemoryStorage(), SlowStore(), Patient(), SteppingClock()
    generator.outcome = outcome
    images, recovery = MemoryImageRepository(storage), MemoryMaintenanceRepository(storage)
    budget = ByteBudget(3 * len(PNG), hold_s=FAR_S)
    service, _ = image_service_on(images, recovery, blobs, generator, clock, budget=budget)
    calls = [asyncio.create_task(service.create("alice", {"prompt": f"duck {number}"})) for number in range(9)]
    for stored in range(9):
        await turns(200)
        if outcome == GeneratedImage(PNG):
            assert generator.admitted == min(9, stored + 3)
        blobs.gate.release()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, PixyProxyException)]
    assert (generator.admitted, budget.bytes) == (9, 0)


async def test_pictures_count_until_they_are_stored_even_if_never_admitted() -> None:
    storage, blobs, generator, clock = MemoryStorage(), SlowStore(), ScriptedGenerator(), SteppingClock()
    images, recovery = MemoryImageRepository(storage), MemoryMaintenanceRepository(storage)
    budget = ByteBudget()
    service, _ = image_service_on(images, recovery, blobs, generator, clock, budget=budget)
    call = asyncio.create_task(service.create("alice", {"prompt": "duck"}))
    await turns(200)
    assert budget.bytes == len(PNG)
    blobs.gate.release()
    await call
    assert budget.bytes == 0
