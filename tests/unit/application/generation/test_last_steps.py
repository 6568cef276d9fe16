"""Steps that only rare accidents need: unconfirmed commits, unflushed bytes, faults after the last step."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import NoReturn

import pytest

from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.domain import errors
from pixyproxy.domain.generation import GeneratedImage, ImageDraft
from pixyproxy.domain.image import Image, ImageResult, Status
from tests.fixtures import core
from tests.fixtures.image_service import ServiceHarness, content_of, only_image


async def test_a_row_whose_commit_was_not_confirmed_releases_its_key(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_batch = harness.images.add_batch

    async def add_and_lose_the_answer(drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        await add_batch(drafts)
        raise errors.DBConnectionError("The database was lost.")

    with monkeypatch.context() as lost:
        lost.setattr(harness.images, "add_batch", add_and_lose_the_answer)
        with pytest.raises(errors.DBConnectionError):
            await harness.service.create("alice", {"prompt": "duck"}, idempotency_key="k")
    await harness.generations.maintain()
    assert (await only_image(harness)).status is Status.FAILED
    assert harness.generator.requests == []
    again = await harness.service.create("alice", {"prompt": "duck"}, idempotency_key="k")
    assert (again.replayed, again.image.status) == (False, Status.READY)
    assert len(harness.generator.requests) == 1


class Fault(Exception):
    """A programming error that no code expects."""


def faults(log: pytest.LogCaptureFixture) -> list[BaseException | None]:
    """Return the exceptions that were logged with a traceback."""
    return [record.exc_info[1] for record in log.records if record.exc_info]


async def test_an_image_is_ready_even_if_a_follow_up_fails(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fault = Fault()

    def stumble(image: Image) -> NoReturn:
        raise fault

    monkeypatch.setattr(core, "OutcomeRecorder", partial(OutcomeRecorder, on_ready=stumble))
    recovery = MemoryMaintenanceRepository(MemoryStorage())
    service, _ = core.image_service_on(harness.images, recovery, harness.blobs, harness.generator, core.SteppingClock())
    made = await service.create("alice", {"prompt": "duck"})
    assert made.image == await harness.images.get(made.image.guid)
    assert (made.image.status, harness.blobs.aside) == (Status.READY, [])
    assert faults(caplog) == [fault]


async def test_a_ready_image_stays_ready_when_a_fault_follows(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fault, mark_ready = Fault(), harness.images.mark_ready

    async def commit_and_stumble(guid: str, result: ImageResult, now: datetime, **values: Image) -> Image:
        await mark_ready(guid, result, now, **values)
        raise fault

    monkeypatch.setattr(harness.images, "mark_ready", commit_and_stumble)
    with pytest.raises(errors.PixyProxyException, match="is ready") as raised:
        await harness.service.create("alice", {"prompt": "duck"}, idempotency_key="k")
    image = await only_image(harness)
    assert (image.status, image.failure) == (Status.READY, None)
    assert (raised.value.guid, raised.value.code) == (image.guid, "internal-error")
    assert raised.value.may_have_been_paid
    assert faults(caplog) == [fault]
    assert await content_of(harness, "alice", image.guid) == core.PNG
    again = await harness.service.create("alice", {"prompt": "duck"}, idempotency_key="k")
    assert (again.replayed, again.image, len(harness.generator.requests)) == (True, image, 1)


async def test_a_fault_with_one_image_does_not_affect_another(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_ready, marked = harness.images.mark_ready, []

    async def stumble_once(guid: str, result: ImageResult, now: datetime, **values: Image) -> Image:
        ready = await mark_ready(guid, result, now, **values)
        marked.append(guid)
        if len(marked) == 1:
            raise Fault
        return ready

    monkeypatch.setattr(harness.images, "mark_ready", stumble_once)
    made = await harness.service.generate("alice", {"prompt": "duck", "n": 2})
    assert [image.guid for image in made.images] == marked[1:]
    assert [(await harness.images.get(guid)).status for guid in marked] == [Status.READY] * 2


async def test_surplus_pictures_are_rescued(harness: ServiceHarness) -> None:
    surplus = b"\x89PNG one too many"
    harness.generator.outcome = (GeneratedImage(core.PNG), GeneratedImage(surplus))
    made = await harness.service.create("alice", {"prompt": "duck"})
    assert made.image.status is Status.READY
    [(guid, data, described)] = harness.blobs.aside
    assert (guid, data, described["prompt"]) == (made.image.guid, surplus, "duck")


@pytest.mark.parametrize(("n", "statuses"), [(1, [Status.READY]), (2, [Status.READY, Status.UNKNOWN])])
async def test_what_arrived_before_an_error_is_kept_beside_the_pictures_before_it(
    harness: ServiceHarness, n: int, statuses: list[Status]
) -> None:
    harness.generator.outcome = (GeneratedImage(core.PNG),)
    harness.generator.failure = errors.GeneratorConnectionLostError("It broke off.")
    harness.generator.failure.raw = b"half a picture"
    made = await harness.service.generate("alice", {"prompt": "duck", "n": n})
    assert [image.status for image in made.images] == [Status.READY]
    batch = await harness.images.batch(made.image.request.batch or "") or (made.image,)
    assert sorted(image.status for image in batch) == statuses
    [(guid, data, _)] = harness.blobs.aside
    assert (guid, data) == (batch[-1].guid, b"half a picture")


async def test_a_picture_is_rescued_when_a_fault_keeps_it_from_being_stored(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stumble(inspector: core.MagicInspector, data: bytes) -> NoReturn:
        raise Fault

    monkeypatch.setattr(core.MagicInspector, "inspect", stumble)
    with pytest.raises(errors.GenerationInterruptedError) as raised:
        await harness.service.create("alice", {"prompt": "duck"})
    image = await only_image(harness)
    assert (image.status, image.guid) == (Status.UNKNOWN, raised.value.guid)
    [(guid, data, described)] = harness.blobs.aside
    assert (guid, data, described["prompt"]) == (image.guid, core.PNG, "duck")
