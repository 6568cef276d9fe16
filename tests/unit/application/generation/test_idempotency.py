"""Idempotency keys: one upstream call per key, and the same response for every repeat."""

import asyncio
import hashlib
from typing import Any

import pytest

from pixyproxy.application.generation.idempotency import claim_of
from pixyproxy.domain import errors
from pixyproxy.domain.image import Status
from tests.fixtures.image_service import ServiceHarness, only_image

DUCK = {"prompt": "duck"}


async def keyed(
    harness: ServiceHarness, key: str, data: Any = DUCK, viewer: str | None = "alice", wait: bool = True
) -> Any:
    return await harness.service.create(viewer, data, idempotency_key=key, wait=wait)


async def test_a_repeat_gets_the_same_image_without_another_call(harness: ServiceHarness) -> None:
    first = await keyed(harness, "k")
    second = await keyed(harness, "k")
    assert (first.replayed, second.replayed) == (False, True)
    assert first.image == second.image
    assert len(harness.generator.requests) == 1


async def test_the_form_of_the_request_does_not_matter(harness: ServiceHarness) -> None:
    first = await keyed(harness, "k", {"prompt": "duck", "tags": ["a"], "size": None})
    second = await keyed(harness, "k", {"tags": ["A "], "prompt": "duck"})
    assert second.image == first.image


async def test_another_request_with_the_key_is_refused(harness: ServiceHarness) -> None:
    await keyed(harness, "k")
    with pytest.raises(errors.IdempotencyKeyReusedError):
        await keyed(harness, "k", {"prompt": "duck", "size": "1x1"})
    assert len(harness.generator.requests) == 1


async def test_a_key_belongs_to_its_caller_and_anonymous_is_one_caller(harness: ServiceHarness) -> None:
    images = {(await keyed(harness, "k", viewer=viewer)).image.guid for viewer in ("alice", "bob", None, None)}
    assert len(images) == 3
    assert len(harness.generator.requests) == 3


async def test_repeats_join_the_first_while_it_runs(harness: ServiceHarness) -> None:
    harness.generator.gate = asyncio.Event()
    tasks = [asyncio.create_task(keyed(harness, "k")) for _ in range(10)]
    while not harness.generator.requests:
        await asyncio.sleep(0)
    harness.generator.gate.set()
    results = await asyncio.gather(*tasks)
    assert len({result.image.guid for result in results}) == 1
    assert sorted(result.replayed for result in results) == [False] + [True] * 9
    assert len(harness.generator.requests) == 1


async def test_a_repeat_waits_for_a_generation_of_another_process(harness: ServiceHarness) -> None:
    harness.generator.gate = asyncio.Event()
    first = asyncio.create_task(keyed(harness, "k"))
    while not harness.generator.requests:
        await asyncio.sleep(0)
    # A generation of another process has no task here.
    harness.generations._tasks_by_guid.clear()
    second = asyncio.create_task(keyed(harness, "k"))
    await asyncio.sleep(0.01)
    harness.generator.gate.set()
    assert (await second).image == (await first).image


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (errors.PromptRejectedError("not a duck"), 1),
        (errors.GeneratorRequestError("no such size"), 1),
        (errors.GeneratorTimeoutError("too slow"), 1),
        (errors.GeneratorConnectionLostError("reset"), 1),
        (errors.GeneratorResponseError("nonsense"), 1),
        (errors.GeneratorQuotaError("no credit"), 2),
        (errors.GeneratorCredentialsError("no"), 2),
        (errors.GeneratorUnavailableError("down"), 2),
    ],
)
async def test_a_failure_is_replayed_unless_nothing_was_paid(
    harness: ServiceHarness, error: errors.GeneratorError, calls: int
) -> None:
    harness.generator.outcome = error
    with pytest.raises(type(error)) as first:
        await keyed(harness, "k")
    first_guid = first.value.guid
    with pytest.raises(type(error)) as second:
        await keyed(harness, "k")
    assert len(harness.generator.requests) == calls
    assert second.value.replayed is (calls == 1)
    assert (second.value.guid == first_guid) is (calls == 1)
    assert second.value.message == error.message


async def test_a_call_that_does_not_wait_returns_the_generating_image(harness: ServiceHarness) -> None:
    harness.generator.gate = asyncio.Event()
    begun = await keyed(harness, "k", wait=False)
    assert begun.image.status is Status.GENERATING
    again = await keyed(harness, "k", wait=False)
    assert (again.image.guid, again.replayed) == (begun.image.guid, True)
    harness.generator.gate.set()
    assert (await keyed(harness, "k")).image.status is Status.READY
    assert len(harness.generator.requests) == 1


async def test_a_key_is_free_again_after_the_database_was_lost_before_the_call(harness: ServiceHarness) -> None:
    harness.images.away = {"add"}
    with pytest.raises(errors.DBConnectionError):
        await keyed(harness, "k")
    harness.images.away = set()
    await harness.generations.maintain()
    assert (await keyed(harness, "k")).replayed is False


async def test_a_failure_is_a_pending_write_while_the_database_is_away(harness: ServiceHarness) -> None:
    harness.images.away = {"mark_failed"}
    harness.generator.outcome = errors.PromptRejectedError("not a duck")
    with pytest.raises(errors.PromptRejectedError):
        await keyed(harness, "k")
    assert harness.generations.pending_writes == 1
    harness.images.away = set()
    await harness.generations.maintain()
    assert harness.generations.pending_writes == 0
    assert (await only_image(harness)).status is Status.FAILED


async def test_a_ready_image_is_a_pending_write_while_the_database_is_away(harness: ServiceHarness) -> None:
    harness.images.away = {"mark_ready"}
    with pytest.raises(errors.DBConnectionError) as caught:
        await keyed(harness, "k")
    harness.images.away = set()
    await harness.generations.maintain()
    assert (await harness.service.get("alice", caught.value.guid or "")).status is Status.READY
    assert (await keyed(harness, "k")).replayed is True


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "a\n", "\x7f"])
def test_a_bad_key_is_refused(key: str) -> None:
    with pytest.raises(errors.DataValidationError, match="visible ASCII"):
        claim_of(None, key, DUCK)


@pytest.mark.parametrize("key", ["a", "!~", "x" * 255])
def test_a_valid_key_is_accepted(key: str) -> None:
    claim = claim_of(None, key, DUCK)
    assert (claim.caller, claim.key, len(claim.fingerprint)) == ("", key, 64)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"seed": 1}, {"seed": 1.0}, True),
        ({"seed": -0.0}, {"seed": 0}, True),
        ({"a": {"b": [7.0, {"c": 1e3}]}}, {"a": {"b": [7, {"c": 1000}]}}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"seed": 1}, {"seed": "1"}, False),
        ({"seed": 1}, {"seed": True}, False),
        ({"seed": 1.5}, {"seed": 1}, False),
        ({"seed": 1e300}, {"seed": 1.1e300}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
    ],
    ids=str,
)
def test_the_way_in_which_numbers_are_written_makes_no_difference(
    one: dict[str, object], other: dict[str, object], same: bool
) -> None:
    assert (claim_of(None, None, one) == claim_of(None, None, other)) == same


def test_the_fingerprint_of_an_ordinary_request_never_changes() -> None:
    """Rows of before must match: their fingerprints are recorded."""
    request = {"prompt": "a duck", "model": "m", "size": "1x1", "n": 2, "deep": {"b": [1, 2.5, None, True]}}
    canonical = '{"deep":{"b":[1,2.5,null,true]},"model":"m","n":2,"prompt":"a duck","size":"1x1"}'
    assert claim_of(None, None, request).fingerprint == hashlib.sha256(canonical.encode()).hexdigest()
