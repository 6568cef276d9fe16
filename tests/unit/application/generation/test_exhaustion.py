"""Pictures that are in memory while the process lacks open files, memory or threads to store them."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from pixyproxy.application.generation import exhaustion
from pixyproxy.domain import errors
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Status
from tests.fixtures import core
from tests.fixtures.image_service import ServiceHarness, content_of, only_image

EXHAUSTED = [errors.BlobStoreExhaustedError("The service has too many files open."), MemoryError()]


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exhaustion, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(exhaustion, "LONGEST_DELAY_S", 0.002)


class Shortage:
    """A method of the blob store that fails while `lasts`, and counts its calls."""

    def __init__(self, harness: ServiceHarness, method: str, error: Exception, patch: pytest.MonkeyPatch) -> None:
        self.lasts = True
        self.calls = 0
        works = getattr(harness.blobs, method)

        async def call(guid: str, data: bytes, sidecar: Mapping[str, Any]) -> Any:
            self.calls += 1
            if self.lasts:
                raise error
            return await works(guid, data, sidecar)

        patch.setattr(harness.blobs, method, call)

    async def felt(self, calls: int) -> None:
        """Wait until the method was called that often."""
        while self.calls < calls:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("error", EXHAUSTED)
async def test_a_picture_waits_until_it_can_be_stored(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level(logging.INFO)
    shortage = Shortage(harness, "put", error, monkeypatch)
    creating = [asyncio.create_task(harness.service.create("alice", {"prompt": f"duck {n}"})) for n in range(2)]
    await shortage.felt(30)
    assert harness.generations.in_flight == 2
    shortage.lasts = False
    for made in await asyncio.gather(*creating):
        assert made.image.status is Status.READY
        assert await content_of(harness, "alice", made.image.guid) == core.PNG
    assert (len(harness.generator.requests), harness.blobs.aside) == (2, [])
    assert [message for message in caplog.messages if "in memory" in message] == [
        f"pictures wait in memory to be stored: {getattr(error, 'message', 'no memory is left')}",
        "no picture waits in memory any more",
    ]


@pytest.mark.parametrize("error", EXHAUSTED)
async def test_bytes_that_are_rescued_wait_too(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    shortage = Shortage(harness, "rescue", error, monkeypatch)
    harness.generator.outcome = GeneratedImage(b"no picture")
    creating = asyncio.create_task(harness.service.create("alice", {"prompt": "duck"}))
    await shortage.felt(10)
    shortage.lasts = False
    with pytest.raises(errors.GeneratorResponseError):
        await creating
    assert [data for _, data, _ in harness.blobs.aside] == [b"no picture"]
    assert (await only_image(harness)).status is Status.UNKNOWN


async def test_another_error_after_a_shortage_is_what_it_is(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortage = Shortage(harness, "put", EXHAUSTED[0], monkeypatch)
    creating = asyncio.create_task(harness.service.create("alice", {"prompt": "duck"}))
    await shortage.felt(5)
    harness.blobs.failures["put"] = errors.BlobStoreFullError("full")
    shortage.lasts = False
    with pytest.raises(errors.BlobStoreFullError):
        await creating
    assert [data for _, data, _ in harness.blobs.aside] == [core.PNG]


async def test_nothing_is_begun_without_open_files(harness: ServiceHarness) -> None:
    harness.blobs.failures["check_writable"] = errors.BlobStoreExhaustedError("too many")
    with pytest.raises(errors.BlobStoreExhaustedError) as raised:
        await harness.service.create("alice", {"prompt": "duck"})
    assert not raised.value.may_have_been_paid
    assert harness.generator.requests == []


async def test_a_drain_waits_for_pictures_in_memory(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    shortage = Shortage(harness, "put", EXHAUSTED[0], monkeypatch)
    creating = asyncio.create_task(harness.service.create("alice", {"prompt": "duck"}))
    await shortage.felt(2)
    draining = asyncio.create_task(harness.generations.drain(60))
    await shortage.felt(10)
    assert not draining.done()
    shortage.lasts = False
    assert await draining == 0
    assert (await creating).image.status is Status.READY
