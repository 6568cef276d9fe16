"""Steps that only a rare accident needs: lost answers of commits, bytes nobody flushed, faults once all is done."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import NoReturn

import pytest

from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.domain import errors
from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.image import Image, ImageResult, Status
from tests.fixtures import core
from tests.fixtures.image_service import House, content_of, only_image


async def test_a_row_whose_commit_was_not_confirmed_gives_its_key_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_batch = house.images.add_batch

    async def add_and_lose_the_answer(drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        await add_batch(drafts)
        raise errors.DBConnectionError("The database was lost.")

    with monkeypatch.context() as lost:
        lost.setattr(house.images, "add_batch", add_and_lose_the_answer)
        with pytest.raises(errors.DBConnectionError):
            await house.service.create("alice", {"prompt": "duck"}, idempotency_key="k")
    await house.generations.maintain()
    assert (await only_image(house)).status is Status.FAILED
    assert house.generator.requests == []
    again = await house.service.create("alice", {"prompt": "duck"}, idempotency_key="k")
    assert (again.replayed, again.image.status) == (False, Status.READY)
    assert len(house.generator.requests) == 1


class Fault(Exception):
    """A fault of our own, which nobody expects."""


def faults(log: pytest.LogCaptureFixture) -> list[BaseException | None]:
    """What was logged with where it came from."""
    return [record.exc_info[1] for record in log.records if record.exc_info]


async def test_an_image_is_ready_whatever_becomes_of_who_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fault = Fault()

    def stumble(image: Image) -> NoReturn:
        raise fault

    monkeypatch.setattr(core, "OutcomeRecorder", partial(OutcomeRecorder, on_ready=stumble))
    recovery = MemoryMaintenanceRepository(MemoryStorage())
    service, _ = core.image_service_on(house.images, recovery, house.blobs, house.generator, core.SteppingClock())
    made = await service.create("alice", {"prompt": "duck"})
    assert made.image == await house.images.get(made.image.guid)
    assert (made.image.status, house.blobs.aside) == (Status.READY, [])
    assert faults(caplog) == [fault]


async def test_an_image_that_is_ready_stays_so_when_a_fault_follows(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fault, mark_ready = Fault(), house.images.mark_ready

    async def commit_and_stumble(guid: str, result: ImageResult, now: datetime, **values: Image) -> Image:
        await mark_ready(guid, result, now, **values)
        raise fault

    monkeypatch.setattr(house.images, "mark_ready", commit_and_stumble)
    with pytest.raises(errors.PixyProxyException, match="is ready") as raised:
        await house.service.create("alice", {"prompt": "duck"}, idempotency_key="k")
    image = await only_image(house)
    assert (image.status, image.failure) == (Status.READY, None)
    assert (raised.value.guid, raised.value.code) == (image.guid, "internal-error")
    assert raised.value.may_have_been_paid
    assert faults(caplog) == [fault]
    assert await content_of(house, "alice", image.guid) == core.PNG
    again = await house.service.create("alice", {"prompt": "duck"}, idempotency_key="k")
    assert (again.replayed, again.image, len(house.generator.requests)) == (True, image, 1)


async def test_a_fault_with_an_image_that_is_ready_costs_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_ready, marked = house.images.mark_ready, []

    async def stumble_once(guid: str, result: ImageResult, now: datetime, **values: Image) -> Image:
        ready = await mark_ready(guid, result, now, **values)
        marked.append(guid)
        if len(marked) == 1:
            raise Fault
        return ready

    monkeypatch.setattr(house.images, "mark_ready", stumble_once)
    made = await house.service.generate("alice", {"prompt": "duck", "n": 2})
    assert [image.guid for image in made.images] == marked[1:]
    assert [(await house.images.get(guid)).status for guid in marked] == [Status.READY] * 2
