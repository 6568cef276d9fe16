"""The use cases around images, on in-memory adapters."""

import asyncio
import hashlib
from functools import partial
from typing import Any

import pytest

from pixyproxy.domain import errors
from pixyproxy.domain.access import Staff
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Image, ImageChanges, Status, Visibility, new_guid
from tests.fixtures.core import PNG
from tests.fixtures.image_service import ServiceHarness, content_of, only_image


async def create(harness: ServiceHarness, viewer: str | None, data: Any) -> Image:
    return (await harness.service.create(viewer, data)).image


async def test_a_created_image_is_recorded_stored_and_found(harness: ServiceHarness) -> None:
    image = await create(
        harness, "alice", {"prompt": "A rubber duck ", "tags": ["Duck"], "size": "640x480", "model": "wanted"}
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
    [request] = harness.generator.requests
    assert (request.prompt, request.model, request.options) == ("A rubber duck ", "wanted", {"size": "640x480"})
    assert await harness.service.get(None, image.guid) == image
    assert (await harness.service.search(None, {"prompt": "rub"})).items == (image,)
    assert await content_of(harness, None, image.guid) == PNG


async def test_the_sidecar_describes_the_image(harness: ServiceHarness) -> None:
    image = await create(harness, "alice", {"prompt": "duck", "visibility": "private", "tags": ["a"]})
    sidecar = await harness.blobs.read_sidecar(image.guid)
    assert image.result is not None
    for part, names in (
        (image.request, ("guid", "prompt", "author", "model", "filename", "generator")),
        (image.result, ("sha256", "size_bytes")),
        (image.result.picture, ("media_type", "width", "height")),
    ):
        for name in names:
            assert sidecar[name] == getattr(part, name), name
    assert (sidecar["visibility"], sidecar["tags"], sidecar["usage"]) == ("private", ["a"], {"total_tokens": 3})


async def test_a_chosen_file_name_stays(harness: ServiceHarness) -> None:
    image = await create(harness, None, {"prompt": "duck", "filename": "mine.jpeg"})
    assert image.request.filename == "mine.jpeg"


async def test_invalid_input_is_refused_before_anything_is_called(harness: ServiceHarness) -> None:
    with pytest.raises(errors.DataValidationError):
        await create(harness, "alice", {"prompt": " "})
    assert harness.images.calls == []
    assert harness.generator.requests == []


async def test_an_anonymous_image_cannot_be_private(harness: ServiceHarness) -> None:
    with pytest.raises(errors.DataValidationError, match="log in"):
        await create(harness, None, {"prompt": "duck", "visibility": "private"})
    assert harness.generator.requests == []


async def test_nothing_is_paid_while_the_database_is_away(harness: ServiceHarness) -> None:
    harness.images.away = {"add"}
    with pytest.raises(errors.DBConnectionError):
        await create(harness, "alice", {"prompt": "duck"})
    assert harness.generator.requests == []


@pytest.mark.parametrize("error", [errors.BlobStoreFullError("full"), errors.BlobStoreError("read-only")])
async def test_nothing_is_paid_or_recorded_while_the_store_is_full(
    harness: ServiceHarness, error: errors.BlobStoreError
) -> None:
    harness.blobs.failures["check_writable"] = error
    with pytest.raises(type(error)):
        await create(harness, "alice", {"prompt": "duck"})
    assert harness.generator.requests == []
    assert harness.images.calls == []


async def test_the_row_is_committed_before_the_upstream_call(harness: ServiceHarness) -> None:
    harness.generator.on_call = lambda: harness.images.calls.append("generate")
    await create(harness, "alice", {"prompt": "duck"})
    assert harness.images.calls == ["add", "generate", "mark_ready"]


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
async def test_a_failure_is_recorded_with_the_generators_message(
    harness: ServiceHarness, error: errors.GeneratorError, status: Status
) -> None:
    harness.generator.outcome = error
    with pytest.raises(type(error)) as caught:
        await create(harness, "alice", {"prompt": "duck"})
    image = await only_image(harness)
    assert image.status is status
    assert image.failure is not None
    assert (image.failure.code, image.failure.message) == (error.code, error.message)
    assert caught.value.guid == image.guid
    assert caught.value.retry_after_s == error.retry_after_s
    with pytest.raises(errors.ImageNotReadyError):
        await harness.service.open_content("alice", image.guid)


async def test_a_bug_in_a_generator_may_have_cost_money(harness: ServiceHarness) -> None:
    harness.generator.outcome = RuntimeError("bug")
    with pytest.raises(errors.GeneratorConnectionLostError):
        await create(harness, "alice", {"prompt": "duck"})
    assert (await only_image(harness)).status is Status.UNKNOWN


async def test_the_deadline_is_enforced_here(harness: ServiceHarness) -> None:
    harness.generations.parts.timeout_s = 0.01
    harness.generator.gate = asyncio.Event()
    with pytest.raises(errors.GeneratorTimeoutError):
        await create(harness, "alice", {"prompt": "duck"})
    assert (await only_image(harness)).status is Status.UNKNOWN


async def test_bytes_that_are_no_picture_are_rescued(harness: ServiceHarness) -> None:
    harness.generator.outcome = GeneratedImage(b"<html>")
    with pytest.raises(errors.GeneratorResponseError, match="no picture"):
        await create(harness, "alice", {"prompt": "duck"})
    image = await only_image(harness)
    assert image.status is Status.UNKNOWN
    [(guid, data, sidecar)] = harness.blobs.aside
    assert (guid, data, sidecar["prompt"]) == (image.guid, b"<html>", "duck")


async def test_a_picture_that_cannot_be_stored_is_rescued(harness: ServiceHarness) -> None:
    harness.blobs.failures["put"] = errors.BlobStoreFullError("full")
    with pytest.raises(errors.BlobStoreFullError) as caught:
        await create(harness, "alice", {"prompt": "duck"})
    image = await only_image(harness)
    assert image.status is Status.UNKNOWN
    assert caught.value.guid == image.guid
    [(guid, data, sidecar)] = harness.blobs.aside
    assert (guid, data, sidecar["sha256"]) == (image.guid, PNG, hashlib.sha256(PNG).hexdigest())


async def test_bytes_that_cannot_be_rescued_are_logged_as_critical(
    harness: ServiceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.blobs.failures.update(put=errors.BlobStoreFullError("full"), rescue=errors.BlobStoreError("nowhere"))
    with pytest.raises(errors.BlobStoreFullError):
        await create(harness, "alice", {"prompt": "duck"})
    assert [record for record in caplog.records if record.levelname == "CRITICAL"]


async def test_bytes_stay_when_the_row_cannot_be_written(harness: ServiceHarness) -> None:
    harness.images.away = {"mark_ready"}
    with pytest.raises(errors.DBConnectionError) as caught:
        await create(harness, "alice", {"prompt": "duck"})
    assert caught.value.guid is not None
    async with await harness.blobs.read(caught.value.guid, size=len(PNG)) as reader:
        assert [piece async for piece in reader] == [PNG]
    assert (await harness.service.get("alice", caught.value.guid)).status is Status.GENERATING


async def test_a_failure_that_cannot_be_recorded_is_still_raised(harness: ServiceHarness) -> None:
    harness.images.away = {"mark_failed"}
    harness.generator.outcome = errors.PromptRejectedError("not a duck")
    with pytest.raises(errors.PromptRejectedError):
        await create(harness, "alice", {"prompt": "duck"})


async def test_deleting_a_row_during_its_generation_is_a_conflict(harness: ServiceHarness) -> None:
    harness.generator.gate = asyncio.Event()
    task = asyncio.create_task(create(harness, "alice", {"prompt": "duck"}))
    while not harness.generator.requests:
        await asyncio.sleep(0)
    await harness.images.delete((await only_image(harness)).guid)
    harness.generator.gate.set()
    with pytest.raises(errors.ConstraintViolationError):
        await task


async def test_a_cancelled_call_does_not_stop_its_generation(harness: ServiceHarness) -> None:
    harness.generator.gate = asyncio.Event()
    task = asyncio.create_task(create(harness, "alice", {"prompt": "duck"}))
    while not harness.generator.requests:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await only_image(harness)).status is Status.GENERATING
    with pytest.raises(errors.ImageNotReadyError) as caught:
        await harness.service.open_content("alice", (await only_image(harness)).guid)
    assert caught.value.retry_after_s
    harness.generator.gate.set()
    assert await harness.generations.drain(5) == 0
    assert (await only_image(harness)).status is Status.READY


async def test_too_many_generations_are_refused_before_anything_is_paid(harness: ServiceHarness) -> None:
    harness.generator.gate = asyncio.Event()
    tasks = [asyncio.create_task(create(harness, "alice", {"prompt": "duck"})) for _ in range(2)]
    while len(harness.generator.requests) < 2:
        await asyncio.sleep(0)
    with pytest.raises(errors.CapacityExceededError) as caught:
        await create(harness, "alice", {"prompt": "duck"})
    assert caught.value.retry_after_s
    assert harness.images.calls.count("add") == 2
    harness.generator.gate.set()
    await asyncio.gather(*tasks)
    await create(harness, "alice", {"prompt": "duck"})


async def test_a_draining_service_starts_nothing_and_reports_running_generations(harness: ServiceHarness) -> None:
    harness.generator.gate = asyncio.Event()
    task = asyncio.create_task(create(harness, "alice", {"prompt": "duck"}))
    while not harness.generator.requests:
        await asyncio.sleep(0)
    assert await harness.generations.drain(0.01) == 1
    with pytest.raises(errors.CapacityExceededError):
        await create(harness, "alice", {"prompt": "duck"})
    harness.generator.gate.set()
    await task


async def test_private_images_do_not_exist_for_others(harness: ServiceHarness) -> None:
    image = await create(harness, "alice", {"prompt": "duck", "visibility": "private"})
    for viewer in ("bob", None):
        with pytest.raises(errors.ImageNotFoundError) as hidden:
            await harness.service.get(viewer, image.guid)
        with pytest.raises(errors.ImageNotFoundError) as missing:
            await harness.service.get(viewer, new_guid())
        assert hidden.value.message == missing.value.message
        with pytest.raises(errors.ImageNotFoundError):
            await harness.service.open_content(viewer, image.guid)
        assert (await harness.service.search(viewer, {})).items == ()
    assert await content_of(harness, "alice", image.guid) == PNG


async def test_the_author_changes_and_deletes(harness: ServiceHarness) -> None:
    image = await create(harness, "alice", {"prompt": "duck"})
    changed = await harness.service.update(
        "alice", image.guid, {"tags": ["New "], "visibility": "private", "filename": "x.png"}
    )
    assert (changed.request.tags, changed.request.visibility, changed.request.filename) == (
        ("new",),
        Visibility.PRIVATE,
        "x.png",
    )
    assert changed.updated_at > image.updated_at
    assert await harness.service.update("alice", image.guid, {}) == changed
    await harness.service.delete("alice", image.guid)
    with pytest.raises(errors.ImageNotFoundError):
        await harness.service.get("alice", image.guid)
    with pytest.raises(errors.BlobMissingError):
        await harness.blobs.read(image.guid, size=len(PNG))


async def test_a_generating_image_is_not_changed(harness: ServiceHarness) -> None:
    harness.generator.gate = asyncio.Event()
    begun = (await harness.service.create("alice", {"prompt": "duck"}, wait=False)).image
    with pytest.raises(errors.ImageNotReadyError):
        await harness.service.update("alice", begun.guid, {"visibility": "private"})
    harness.generator.gate.set()
    await harness.generations.drain(5)
    await harness.service.update("alice", begun.guid, {"visibility": "private"})


async def test_a_change_reaches_the_sidecar(harness: ServiceHarness) -> None:
    image = await create(harness, "alice", {"prompt": "duck"})
    await harness.service.update("alice", image.guid, {"visibility": "private", "tags": ["b"], "filename": "b.png"})
    sidecar = await harness.blobs.read_sidecar(image.guid)
    assert (sidecar["visibility"], sidecar["tags"], sidecar["filename"]) == ("private", ["b"], "b.png")
    assert sidecar["sha256"] == image.result.sha256


async def test_of_changes_at_once_the_last_one_stays_in_the_sidecar(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await create(harness, "alice", {"prompt": "duck"})
    replace_sidecar, is_slow, goes_on = harness.blobs.replace_sidecar, asyncio.Event(), asyncio.Event()

    async def replace_slowly(guid: str, sidecar: Any) -> None:
        """Write the first sidecar only after the second, which describes a later row."""
        if not is_slow.is_set():
            is_slow.set()
            await goes_on.wait()
        await replace_sidecar(guid, sidecar)

    monkeypatch.setattr(harness.blobs, "replace_sidecar", replace_slowly)
    tagging = asyncio.create_task(harness.service.update("alice", image.guid, {"tags": ["new"]}))
    await is_slow.wait()
    await harness.service.update(Staff("root", None), image.guid, {"hidden": True})
    goes_on.set()
    assert not (await tagging).request.hidden
    sidecar = await harness.blobs.read_sidecar(image.guid)
    assert (sidecar["tags"], sidecar["hidden"]) == (["new"], True)


@pytest.mark.parametrize(
    ("method", "error", "is_logged"),
    [
        ("get", errors.DBConnectionError("The database is away."), True),
        ("get", errors.ImageNotFoundError("deleted in the meantime"), False),
        ("replace_sidecar", errors.BlobStoreError("The store is away."), True),
    ],
)
async def test_a_change_stands_whatever_becomes_of_the_sidecar(
    harness: ServiceHarness,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    error: errors.PixyProxyException,
    is_logged: bool,
) -> None:
    image = await create(harness, "alice", {"prompt": "duck"})

    async def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(harness.images if method == "get" else harness.blobs, method, fail)
        # The use case itself reads by another method, and the memory adapter's update by `get`.
        patched.setattr(harness.images, "update", partial(_update, harness))
        changed = await harness.service.update("alice", image.guid, {"tags": ["new"]})
    assert changed.request.tags == ("new",)
    assert (f"could not update the sidecar of image {image.guid}" in caplog.text) is is_logged


async def _update(harness: ServiceHarness, guid: str, changes: ImageChanges, now: Any) -> Image:
    return harness.images._keep(harness.images._storage.images[guid].changed(changes, now))


async def test_only_the_author_changes_and_deletes(harness: ServiceHarness) -> None:
    image = await create(harness, "alice", {"prompt": "duck"})
    for viewer, error in (("bob", errors.PermissionDeniedError), (None, errors.AuthenticationError)):
        with pytest.raises(error):
            await harness.service.update(viewer, image.guid, {"tags": []})
        with pytest.raises(error):
            await harness.service.delete(viewer, image.guid)
    assert await harness.service.get(None, image.guid) == image


async def test_an_image_is_deleted_even_if_its_bytes_cannot_be_removed(harness: ServiceHarness) -> None:
    image = await create(harness, "alice", {"prompt": "duck"})
    harness.blobs.failures["delete"] = errors.BlobStoreError("away")
    await harness.service.delete("alice", image.guid)
    with pytest.raises(errors.ImageNotFoundError):
        await harness.service.get("alice", image.guid)


async def test_pages_follow_each_other(harness: ServiceHarness) -> None:
    made = [await create(harness, None, {"prompt": f"duck {i}"}) for i in range(5)]
    found, cursor = [], None
    while True:
        page = await harness.service.search(None, {"limit": 2, "cursor": cursor})
        found += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert found == made[::-1]


@pytest.mark.parametrize("cursor", ["nonsense", "", "5", "é"])
async def test_a_cursor_that_no_page_had_is_refused(harness: ServiceHarness, cursor: str) -> None:
    with pytest.raises(errors.DataValidationError, match="Link header") as refused:
        await harness.service.search(None, {"cursor": cursor})
    assert refused.value.errors[0].loc == ("cursor",)


async def test_a_guid_to_search_for_must_be_one(harness: ServiceHarness) -> None:
    with pytest.raises(errors.DataValidationError, match="guid"):
        await harness.service.search(None, {"guid": "5"})
