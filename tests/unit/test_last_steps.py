"""Steps that only a rare accident needs: a commit whose answer was lost, and bytes that nobody flushed."""

from collections.abc import Sequence

import pytest

from pixyproxy.domain import errors
from pixyproxy.domain.image import Image, ImageDraft, Status
from tests.unit.test_image_service import House, house, only_image
from tests.unit.test_reconciler import Ruin, ruin

__all__ = ["house", "ruin"]


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
    await house.generations.keep_up()
    assert (await only_image(house)).status is Status.FAILED
    assert house.generator.requests == []
    again = await house.service.create("alice", {"prompt": "duck"}, idempotency_key="k")
    assert (again.replayed, again.image.status) == (False, Status.READY)
    assert len(house.generator.requests) == 1


async def test_what_is_adopted_is_made_durable_before_its_row_says_ready(
    ruin: Ruin, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await ruin.row()
    await ruin.store(image)
    statuses: list[Status] = []

    async def look_at_the_row(guid: str) -> None:
        statuses.append((await ruin.images.get(guid)).status)

    monkeypatch.setattr(ruin.stored, "make_durable", look_at_the_row)
    await ruin.tidy()
    assert statuses == [Status.GENERATING]
    assert (await ruin.images.get(image.guid)).status is Status.READY
