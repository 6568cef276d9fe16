"""The use cases around images, on in-memory adapters."""

import asyncio
import hashlib
from typing import Any

import pytest

from pixyproxy.domain import errors
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Image, Status, Visibility, new_guid
from tests.fixtures.core import PNG
from tests.fixtures.image_service import House, content_of, only_image


async def create(house: House, viewer: str | None, data: Any) -> Image:
    return (await house.service.create(viewer, data)).image


async def test_a_created_image_is_recorded_stored_and_found(house: House) -> None:
    image = await create(
        house, "alice", {"prompt": "A rubber duck ", "tags": ["Duck"], "size": "640x480", "model": "wanted"}
    )
    assert image.status is Status.READY
    assert (image.request.prompt, image.request.tags, image.request.author, image.request.visibility) == (
        "A rubber duck ",
        ("duck",),
        "alice",
        Visibility.PUBLIC,
    )
    assert (image.result.picture.media_type, image.result.picture.width, image.result.picture.height) == (
        "image/png",
        640,
        480,
    )
    assert image.result.sha256 == hashlib.sha256(PNG).hexdigest()
    assert (image.result.size_bytes, image.request.model, image.request.generator) == (
        len(PNG),
        "scripted-1",
        "scripted",
    )
    assert image.request.parameters == {"size": "640x480"}
    assert image.request.filename == f"a-rubber-duck-{image.guid[:8]}.png"
    assert image.updated_at > image.request.created_at
    [request] = house.generator.requests
    assert (request.prompt, request.model, request.options) == ("A rubber duck ", "wanted", {"size": "640x480"})
    assert await house.service.get(None, image.guid) == image
    assert (await house.service.search(None, {"prompt": "rub"})).items == (image,)
    assert await content_of(house, None, image.guid) == PNG


async def test_the_sidecar_describes_the_image(house: House) -> None:
    image = await create(house, "alice", {"prompt": "duck", "visibility": "private", "tags": ["a"]})
    sidecar = await house.blobs.read_sidecar(image.guid)
    assert image.result is not None
    for part, names in (
        (image.request, ("guid", "prompt", "author", "model", "filename", "generator")),
        (image.result, ("sha256", "size_bytes")),
        (image.result.picture, ("media_type", "width", "height")),
    ):
        for name in names:
            assert sidecar[name] == getattr(part, name), name
    assert (sidecar["visibility"], sidecar["tags"], sidecar["usage"]) == ("private", ["a"], {"total_tokens": 3})


async def test_a_file_name_that_was_given_stays(house: House) -> None:
    image = await create(house, None, {"prompt": "duck", "filename": "mine.jpeg"})
    assert image.request.filename == "mine.jpeg"


async def test_invalid_input_reaches_nothing(house: House) -> None:
    with pytest.raises(errors.DataValidationError):
        await create(house, "alice", {"prompt": " "})
    assert house.images.calls == []
    assert house.generator.requests == []


async def test_an_anonymous_image_cannot_be_private(house: House) -> None:
    with pytest.raises(errors.DataValidationError, match="log in"):
        await create(house, None, {"prompt": "duck", "visibility": "private"})
    assert house.generator.requests == []


async def test_nothing_is_paid_while_the_database_is_away(house: House) -> None:
    house.images.away = {"add"}
    with pytest.raises(errors.DBConnectionError):
        await create(house, "alice", {"prompt": "duck"})
    assert house.generator.requests == []


@pytest.mark.parametrize("error", [errors.BlobStoreFullError("full"), errors.BlobStoreError("read-only")])
async def test_nothing_is_paid_or_recorded_while_the_store_takes_nothing(
    house: House, error: errors.BlobStoreError
) -> None:
    house.blobs.failures["check_writable"] = error
    with pytest.raises(type(error)):
        await create(house, "alice", {"prompt": "duck"})
    assert house.generator.requests == []
    assert house.images.calls == []


async def test_the_row_is_there_before_the_upstream_is_called(house: House) -> None:
    house.generator.on_call = lambda: house.images.calls.append("generate")
    await create(house, "alice", {"prompt": "duck"})
    assert house.images.calls == ["add", "generate", "mark_ready"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.PromptRejectedError("not a duck"), Status.FAILED),
        (errors.GeneratorRequestError("no such size"), Status.FAILED),
        (errors.GeneratorRateLimitedError("slow down", retry_after_s=7), Status.FAILED),
        (errors.GeneratorQuotaError("no credit"), Status.FAILED),
        (errors.GeneratorUnavailableError("down"), Status.FAILED),
        (errors.GeneratorTimeoutError("too slow"), Status.UNKNOWN),
        (errors.GeneratorConnectionLostError("reset"), Status.UNKNOWN),
    ],
)
async def test_a_failure_is_recorded_in_the_generators_words(
    house: House, error: errors.GeneratorError, status: Status
) -> None:
    house.generator.outcome = error
    with pytest.raises(type(error)) as caught:
        await create(house, "alice", {"prompt": "duck"})
    image = await only_image(house)
    assert image.status is status
    assert image.failure is not None
    assert (image.failure.code, image.failure.message) == (error.code, error.message)
    assert caught.value.guid == image.guid
    assert caught.value.retry_after_s == error.retry_after_s
    with pytest.raises(errors.ImageNotReadyError):
        await house.service.open_content("alice", image.guid)


async def test_a_bug_in_a_generator_may_have_cost_money(house: House) -> None:
    house.generator.outcome = RuntimeError("bug")
    with pytest.raises(errors.GeneratorConnectionLostError):
        await create(house, "alice", {"prompt": "duck"})
    assert (await only_image(house)).status is Status.UNKNOWN


async def test_the_deadline_is_enforced_here(house: House) -> None:
    house.generations.timeout_s = 0.01
    house.generator.gate = asyncio.Event()
    with pytest.raises(errors.GeneratorTimeoutError):
        await create(house, "alice", {"prompt": "duck"})
    assert (await only_image(house)).status is Status.UNKNOWN


async def test_what_is_no_picture_is_kept_aside(house: House) -> None:
    house.generator.outcome = GeneratedImage(b"<html>")
    with pytest.raises(errors.GeneratorResponseError, match="no picture"):
        await create(house, "alice", {"prompt": "duck"})
    image = await only_image(house)
    assert image.status is Status.FAILED
    [(guid, data, sidecar)] = house.blobs.aside
    assert (guid, data, sidecar["prompt"]) == (image.guid, b"<html>", "duck")


async def test_a_picture_that_cannot_be_stored_is_kept_aside(house: House) -> None:
    house.blobs.failures["put"] = errors.BlobStoreFullError("full")
    with pytest.raises(errors.BlobStoreFullError) as caught:
        await create(house, "alice", {"prompt": "duck"})
    image = await only_image(house)
    assert image.status is Status.FAILED
    assert caught.value.guid == image.guid
    [(guid, data, sidecar)] = house.blobs.aside
    assert (guid, data, sidecar["sha256"]) == (image.guid, PNG, hashlib.sha256(PNG).hexdigest())


async def test_bytes_that_fit_nowhere_are_a_critical_line(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.blobs.failures.update(put=errors.BlobStoreFullError("full"), rescue=errors.BlobStoreError("nowhere"))
    with pytest.raises(errors.BlobStoreFullError):
        await create(house, "alice", {"prompt": "duck"})
    assert [record for record in caplog.records if record.levelname == "CRITICAL"]


async def test_bytes_stay_when_the_row_cannot_be_written(house: House) -> None:
    house.images.away = {"mark_ready"}
    with pytest.raises(errors.DBConnectionError) as caught:
        await create(house, "alice", {"prompt": "duck"})
    assert caught.value.guid is not None
    async with await house.blobs.read(caught.value.guid, size=len(PNG)) as reader:
        assert [piece async for piece in reader] == [PNG]
    assert (await house.service.get("alice", caught.value.guid)).status is Status.GENERATING


async def test_a_failure_that_cannot_be_recorded_is_still_told(house: House) -> None:
    house.images.away = {"mark_failed"}
    house.generator.outcome = errors.PromptRejectedError("not a duck")
    with pytest.raises(errors.PromptRejectedError):
        await create(house, "alice", {"prompt": "duck"})


async def test_deleting_a_row_during_its_generation_is_a_conflict(house: House) -> None:
    house.generator.gate = asyncio.Event()
    task = asyncio.create_task(create(house, "alice", {"prompt": "duck"}))
    while not house.generator.requests:
        await asyncio.sleep(0)
    await house.images.delete((await only_image(house)).guid)
    house.generator.gate.set()
    with pytest.raises(errors.ConstraintViolationError):
        await task


async def test_a_cancelled_call_does_not_stop_its_generation(house: House) -> None:
    house.generator.gate = asyncio.Event()
    task = asyncio.create_task(create(house, "alice", {"prompt": "duck"}))
    while not house.generator.requests:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await only_image(house)).status is Status.GENERATING
    with pytest.raises(errors.ImageNotReadyError) as caught:
        await house.service.open_content("alice", (await only_image(house)).guid)
    assert caught.value.retry_after_s
    house.generator.gate.set()
    assert await house.generations.drain(5) == 0
    assert (await only_image(house)).status is Status.READY


async def test_one_generation_too_many_is_refused_before_anything_is_paid(house: House) -> None:
    house.generator.gate = asyncio.Event()
    tasks = [asyncio.create_task(create(house, "alice", {"prompt": "duck"})) for _ in range(2)]
    while len(house.generator.requests) < 2:
        await asyncio.sleep(0)
    with pytest.raises(errors.CapacityExceededError) as caught:
        await create(house, "alice", {"prompt": "duck"})
    assert caught.value.retry_after_s
    assert house.images.calls.count("add") == 2
    house.generator.gate.set()
    await asyncio.gather(*tasks)
    await create(house, "alice", {"prompt": "duck"})


async def test_a_draining_service_begins_nothing_and_says_what_is_left(house: House) -> None:
    house.generator.gate = asyncio.Event()
    task = asyncio.create_task(create(house, "alice", {"prompt": "duck"}))
    while not house.generator.requests:
        await asyncio.sleep(0)
    assert await house.generations.drain(0.01) == 1
    with pytest.raises(errors.CapacityExceededError):
        await create(house, "alice", {"prompt": "duck"})
    house.generator.gate.set()
    await task


async def test_private_images_do_not_exist_for_others(house: House) -> None:
    image = await create(house, "alice", {"prompt": "duck", "visibility": "private"})
    for viewer in ("bob", None):
        with pytest.raises(errors.ImageNotFoundError) as hidden:
            await house.service.get(viewer, image.guid)
        with pytest.raises(errors.ImageNotFoundError) as missing:
            await house.service.get(viewer, new_guid())
        assert hidden.value.message == missing.value.message
        with pytest.raises(errors.ImageNotFoundError):
            await house.service.open_content(viewer, image.guid)
        assert (await house.service.search(viewer, {})).items == ()
    assert await content_of(house, "alice", image.guid) == PNG


async def test_the_author_changes_and_deletes(house: House) -> None:
    image = await create(house, "alice", {"prompt": "duck"})
    changed = await house.service.update(
        "alice", image.guid, {"tags": ["New "], "visibility": "private", "filename": "x.png"}
    )
    assert (changed.request.tags, changed.request.visibility, changed.request.filename) == (
        ("new",),
        Visibility.PRIVATE,
        "x.png",
    )
    assert changed.updated_at > image.updated_at
    assert await house.service.update("alice", image.guid, {}) == changed
    await house.service.delete("alice", image.guid)
    with pytest.raises(errors.ImageNotFoundError):
        await house.service.get("alice", image.guid)
    with pytest.raises(errors.BlobMissingError):
        await house.blobs.read(image.guid, size=len(PNG))


async def test_an_image_that_is_being_made_is_not_changed(house: House) -> None:
    house.generator.gate = asyncio.Event()
    begun = (await house.service.create("alice", {"prompt": "duck"}, wait=False)).image
    with pytest.raises(errors.ImageNotReadyError):
        await house.service.update("alice", begun.guid, {"visibility": "private"})
    house.generator.gate.set()
    await house.generations.drain(5)
    await house.service.update("alice", begun.guid, {"visibility": "private"})


async def test_a_change_reaches_the_sidecar(house: House) -> None:
    image = await create(house, "alice", {"prompt": "duck"})
    await house.service.update("alice", image.guid, {"visibility": "private", "tags": ["b"], "filename": "b.png"})
    sidecar = await house.blobs.read_sidecar(image.guid)
    assert (sidecar["visibility"], sidecar["tags"], sidecar["filename"]) == ("private", ["b"], "b.png")
    assert sidecar["sha256"] == image.result.sha256


async def test_others_change_and_delete_nothing(house: House) -> None:
    image = await create(house, "alice", {"prompt": "duck"})
    for viewer, error in (("bob", errors.PermissionDeniedError), (None, errors.AuthenticationError)):
        with pytest.raises(error):
            await house.service.update(viewer, image.guid, {"tags": []})
        with pytest.raises(error):
            await house.service.delete(viewer, image.guid)
    assert await house.service.get(None, image.guid) == image


async def test_an_image_whose_bytes_cannot_be_removed_is_deleted_all_the_same(house: House) -> None:
    image = await create(house, "alice", {"prompt": "duck"})
    house.blobs.failures["delete"] = errors.BlobStoreError("away")
    await house.service.delete("alice", image.guid)
    with pytest.raises(errors.ImageNotFoundError):
        await house.service.get("alice", image.guid)


async def test_pages_follow_each_other(house: House) -> None:
    made = [await create(house, None, {"prompt": f"duck {i}"}) for i in range(5)]
    found, cursor = [], None
    while True:
        page = await house.service.search(None, {"limit": 2, "cursor": cursor})
        found += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert found == made[::-1]


async def test_a_guid_to_search_for_must_be_one(house: House) -> None:
    with pytest.raises(errors.DataValidationError, match="guid"):
        await house.service.search(None, {"guid": "5"})
