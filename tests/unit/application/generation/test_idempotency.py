"""Idempotency keys: one upstream call a key, whoever repeats, and the same answer for all."""

import asyncio
from typing import Any

import pytest

from pixyproxy.application.generation.idempotency import claim_of
from pixyproxy.domain import errors
from pixyproxy.domain.image import Status
from tests.fixtures.image_service import House, only_image

DUCK = {"prompt": "duck"}


async def keyed(house: House, key: str, data: Any = DUCK, viewer: str | None = "alice", wait: bool = True) -> Any:
    return await house.service.create(viewer, data, idempotency_key=key, wait=wait)


async def test_a_repeat_gets_the_same_image_without_another_call(house: House) -> None:
    first = await keyed(house, "k")
    second = await keyed(house, "k")
    assert (first.replayed, second.replayed) == (False, True)
    assert first.image == second.image
    assert len(house.generator.requests) == 1


async def test_the_form_of_the_request_does_not_matter(house: House) -> None:
    first = await keyed(house, "k", {"prompt": "duck", "tags": ["a"], "size": None})
    second = await keyed(house, "k", {"tags": ["A "], "prompt": "duck"})
    assert second.image == first.image


async def test_another_request_with_the_key_is_refused(house: House) -> None:
    await keyed(house, "k")
    with pytest.raises(errors.IdempotencyKeyReusedError):
        await keyed(house, "k", {"prompt": "duck", "size": "1x1"})
    assert len(house.generator.requests) == 1


async def test_a_key_belongs_to_its_caller_and_anonymous_is_one_caller(house: House) -> None:
    images = {(await keyed(house, "k", viewer=viewer)).image.guid for viewer in ("alice", "bob", None, None)}
    assert len(images) == 3
    assert len(house.generator.requests) == 3


async def test_repeats_join_the_first_while_it_runs(house: House) -> None:
    house.generator.gate = asyncio.Event()
    tasks = [asyncio.create_task(keyed(house, "k")) for _ in range(10)]
    while not house.generator.requests:
        await asyncio.sleep(0)
    house.generator.gate.set()
    results = await asyncio.gather(*tasks)
    assert len({result.image.guid for result in results}) == 1
    assert sorted(result.replayed for result in results) == [False] + [True] * 9
    assert len(house.generator.requests) == 1


async def test_a_repeat_waits_for_a_generation_of_another_process(house: House) -> None:
    house.generator.gate = asyncio.Event()
    first = asyncio.create_task(keyed(house, "k"))
    while not house.generator.requests:
        await asyncio.sleep(0)
    # What another process runs has no task here.
    house.generations._tasks_by_guid.clear()
    second = asyncio.create_task(keyed(house, "k"))
    await asyncio.sleep(0.01)
    house.generator.gate.set()
    assert (await second).image == (await first).image


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (errors.PromptRejectedError("not a duck"), 1),
        (errors.GeneratorRequestError("no such size"), 1),
        (errors.GeneratorTimeoutError("too slow"), 1),
        (errors.GeneratorConnectionLostError("reset"), 1),
        (errors.GeneratorResponseError("nonsense"), 1),
        (errors.GeneratorRateLimitedError("slow down"), 2),
        (errors.GeneratorQuotaError("no credit"), 2),
        (errors.GeneratorCredentialsError("no"), 2),
        (errors.GeneratorUnavailableError("down"), 2),
    ],
)
async def test_a_failure_is_replayed_unless_nothing_was_paid(
    house: House, error: errors.GeneratorError, calls: int
) -> None:
    house.generator.outcome = error
    with pytest.raises(type(error)) as first:
        await keyed(house, "k")
    first_guid = first.value.guid
    with pytest.raises(type(error)) as second:
        await keyed(house, "k")
    assert len(house.generator.requests) == calls
    assert second.value.replayed is (calls == 1)
    assert (second.value.guid == first_guid) is (calls == 1)
    assert second.value.message == error.message


async def test_a_call_that_does_not_wait_returns_what_has_begun(house: House) -> None:
    house.generator.gate = asyncio.Event()
    begun = await keyed(house, "k", wait=False)
    assert begun.image.status is Status.GENERATING
    again = await keyed(house, "k", wait=False)
    assert (again.image.guid, again.replayed) == (begun.image.guid, True)
    house.generator.gate.set()
    assert (await keyed(house, "k")).image.status is Status.READY
    assert len(house.generator.requests) == 1


async def test_a_key_is_free_again_after_the_database_was_lost_before_the_call(house: House) -> None:
    house.images.away = {"add"}
    with pytest.raises(errors.DBConnectionError):
        await keyed(house, "k")
    house.images.away = set()
    await house.generations.maintain()
    assert (await keyed(house, "k")).replayed is False


async def test_a_failure_that_could_not_be_recorded_is_recorded_later(house: House) -> None:
    house.images.away = {"mark_failed"}
    house.generator.outcome = errors.PromptRejectedError("not a duck")
    with pytest.raises(errors.PromptRejectedError):
        await keyed(house, "k")
    assert house.generations.pending_writes == 1
    house.images.away = set()
    await house.generations.maintain()
    assert house.generations.pending_writes == 0
    assert (await only_image(house)).status is Status.FAILED


async def test_an_image_that_could_not_be_recorded_is_recorded_later(house: House) -> None:
    house.images.away = {"mark_ready"}
    with pytest.raises(errors.DBConnectionError) as caught:
        await keyed(house, "k")
    house.images.away = set()
    await house.generations.maintain()
    assert (await house.service.get("alice", caught.value.guid or "")).status is Status.READY
    assert (await keyed(house, "k")).replayed is True


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "a\n", "\x7f"])
def test_a_bad_key_is_refused(key: str) -> None:
    with pytest.raises(errors.DataValidationError, match="visible ASCII"):
        claim_of(None, key, DUCK)


@pytest.mark.parametrize("key", ["a", "!~", "x" * 255])
def test_a_good_key_is_taken(key: str) -> None:
    claim = claim_of(None, key, DUCK)
    assert (claim.caller, claim.key, len(claim.fingerprint)) == ("", key, 64)
