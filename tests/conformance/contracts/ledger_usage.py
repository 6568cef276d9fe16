"""Contract tests for every ledger, continued: the daily sums of its charges."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pixyproxy.domain.errors import BudgetExceededError
from pixyproxy.domain.image import Status, new_guid
from pixyproxy.domain.money.budgets import Per
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.domain.money.daily_sums import FIRST_DAY, Grouping, Tally, UsageQuery, UsageRow
from pixyproxy.domain.money.highest_costs import Choice
from pixyproxy.domain.user import User
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.money.ledger import Ledger
from tests.conformance.contracts.ledger import COST, FAILURE, LedgerContract, LedgerStorage, budget, draft_of
from tests.fixtures.images import NOW, make_image, make_result

TODAY = NOW.date()
TOKENS = {"input_tokens": 12, "output_tokens": 1056, "total_tokens": 1068}
MADE = Tally(pictures=1, tokens_in=12, tokens_out=1056, spent=Decimal("0.02"))


async def by(ledger: Ledger, grouping: Grouping, **values: Any) -> dict[str | None, Tally]:
    """Return the usage of this day, or of the days that are given, by its keys."""
    rows = await ledger.usage(UsageQuery(grouping, **{"first": TODAY, "last": TODAY, **values}))
    return {row.key: row.tally for row in rows}


class LedgerUsageContract(LedgerContract):
    """Tests for a subclass as `LedgerContract` describes it."""

    async def _make(self, images: ImageRepository, author: str | None = "alice", **values: Any) -> str:
        draft = draft_of("0.25", author, **values)
        await images.add(draft)
        await images.mark_ready(draft.guid, make_result(cost=COST, usage=TOKENS, model="model-1"), NOW)
        return draft.guid

    async def test_without_charges_there_is_no_usage(self, ledger: Ledger) -> None:
        assert await ledger.usage(UsageQuery(Grouping.USER, TODAY, TODAY)) == ()
        assert [day async for day in ledger.rebuild_usage()] == []

    async def test_a_charge_counts_by_its_state(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of("0.25")
        await images.add(draft)
        assert await by(ledger, Grouping.USER) == {"alice": Tally(reserved=Decimal("0.25"))}
        await images.mark_failed(draft.guid, Status.UNKNOWN, FAILURE, NOW)
        assert await by(ledger, Grouping.USER) == {"alice": Tally(unknown=1, possibly=Decimal("0.25"))}
        await images.mark_failed(draft.guid, Status.FAILED, FAILURE, NOW)
        assert await by(ledger, Grouping.USER) == {"alice": Tally(failed=1)}
        # Its picture is found after all.
        for _ in range(2):
            await images.mark_ready(draft.guid, make_result(cost=COST, usage=TOKENS), NOW)
            assert await by(ledger, Grouping.USER) == {"alice": MADE}
        await images.delete(draft.guid)
        assert await by(ledger, Grouping.USER) == {"alice": MADE}

    async def test_a_settled_charge_counts_as_the_person_said(self, ledger: Ledger, images: ImageRepository) -> None:
        for billed in ("0", "0.2"):
            draft = draft_of("0.25")
            await images.add(draft)
            await images.mark_failed(draft.guid, Status.UNKNOWN, FAILURE, NOW)
            await ledger.settle(draft.guid, Decimal(billed), NOW)
        assert await by(ledger, Grouping.USER) == {"alice": Tally(failed=1, unknown=1, spent=Decimal("0.2"))}

    async def test_a_picture_without_a_price_is_counted_as_such(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of(None)
        await images.add(draft)
        assert await by(ledger, Grouping.USER) == {"alice": Tally()}
        await images.mark_ready(draft.guid, make_result(cost=Cost(None, CostState.UNPRICED)), NOW)
        assert await by(ledger, Grouping.USER) == {"alice": Tally(pictures=1, unpriced=1)}

    async def test_tokens_that_cannot_be_meant_are_not_counted(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of("0.25")
        await images.add(draft)
        usage = {"input_tokens": -1, "output_tokens": 10**30, "total_tokens": "many"}
        await images.mark_ready(draft.guid, make_result(cost=COST, usage=usage), NOW)
        assert await by(ledger, Grouping.USER) == {"alice": Tally(pictures=1, spent=Decimal("0.02"))}

    async def test_usage_is_grouped_by_user_class_model_and_day(self, ledger: Ledger, images: ImageRepository) -> None:
        await self._make(images, "alice", model="model-2")
        for author in ("bob", "carol", None):
            await self._make(images, author)
        await images.add(draft_of("0.25", "bob"))
        running = Tally(reserved=Decimal("0.25"))
        twice = MADE.plus(MADE)
        assert list((await by(ledger, Grouping.USER)).items()) == [
            ("alice", MADE),
            ("bob", MADE.plus(running)),
            ("carol", MADE),
            (None, MADE),
        ]
        assert await by(ledger, Grouping.CLASS) == {"9a": twice.plus(running), None: twice}
        # A request that names no model has that of its picture, once there is one.
        assert await by(ledger, Grouping.MODEL) == {"model-1": twice.plus(MADE), "model-2": MADE, None: running}
        assert await by(ledger, Grouping.DAY) == {"2026-11-21": twice.plus(twice).plus(running)}

    async def test_usage_is_that_of_a_user_or_of_a_class(self, ledger: Ledger, images: ImageRepository) -> None:
        for author in ("alice", "bob", "carol", None):
            await self._make(images, author)
            await images.add(draft_of("0.25", author))
        each = MADE.plus(Tally(reserved=Decimal("0.25")))
        assert await by(ledger, Grouping.USER, caller="alice") == {"alice": each}
        assert await by(ledger, Grouping.CLASS, caller="carol") == {None: each}
        assert await by(ledger, Grouping.USER, class_key="9a") == {"alice": each, "bob": each}
        assert await by(ledger, Grouping.USER, class_key="9a", caller="carol") == {}
        assert await by(ledger, Grouping.USER, caller="alice ") == {}

    async def test_names_that_differ_in_trailing_spaces_differ(self, ledger: Ledger, images: ImageRepository) -> None:
        for model in ("model-1", "model-1 "):
            await self._make(images, model=model)
        assert await by(ledger, Grouping.MODEL) == {"model-1": MADE, "model-1 ": MADE}
        assert await ledger.differing_days() == ()
        assert [day async for day in ledger.rebuild_usage()] == [TODAY]
        assert await by(ledger, Grouping.MODEL) == {"model-1": MADE, "model-1 ": MADE}

    async def test_a_charge_counts_in_the_class_of_its_time(
        self, storage: LedgerStorage, ledger: Ledger, images: ImageRepository
    ) -> None:
        guid = await self._make(images)
        users = storage.users()
        await users.open()
        await users.remove("bob")
        await users.add(User("dora", "9b", "hash"))
        await users.close()
        await self._make(images, "dora")
        assert await by(ledger, Grouping.CLASS) == {"9a": MADE, "9b": MADE}
        await images.delete(guid)
        assert await by(ledger, Grouping.CLASS, class_key="9a") == {"9a": MADE}

    async def test_a_charge_counts_on_the_day_of_its_reservation(self, ledger: Ledger, images: ImageRepository) -> None:
        midnight = datetime(2026, 12, 1, tzinfo=UTC)
        last, first = (draft_of("0.25", created_at=at) for at in (midnight - timedelta(microseconds=1), midnight))
        for draft in (last, first):
            await images.add(draft)
        days = {"first": date(2026, 11, 1), "last": date(2026, 12, 31)}
        running = Tally(reserved=Decimal("0.25"))
        assert await by(ledger, Grouping.DAY, **days) == {"2026-11-30": running, "2026-12-01": running}
        for draft in (last, first):
            await images.mark_ready(draft.guid, make_result(cost=COST, usage=TOKENS), midnight + timedelta(days=1))
        assert await by(ledger, Grouping.DAY, **days) == {"2026-11-30": MADE, "2026-12-01": MADE}
        assert await by(ledger, Grouping.USER, first=date(2026, 11, 30), last=date(2026, 11, 30)) == {"alice": MADE}
        assert await by(ledger, Grouping.USER, first=date(2026, 11, 1), last=date(2026, 11, 29)) == {}

    async def test_restored_images_count_once(
        self, storage: LedgerStorage, ledger: Ledger, images: ImageRepository
    ) -> None:
        maintenance = storage.maintenance()
        await maintenance.open()
        image = make_image(author="alice", cost=COST, usage=TOKENS)
        for _ in range(2):
            assert await maintenance.restore(image)
            storage.delete_images_by_hand()
        assert await by(ledger, Grouping.USER) == {"alice": MADE}
        await maintenance.close()

    async def test_charges_of_deleted_images_count_when_they_are_held(
        self, storage: LedgerStorage, ledger: Ledger, images: ImageRepository
    ) -> None:
        await images.add(draft_of("0.25"))
        storage.delete_images_by_hand()
        assert await ledger.hold_orphans(NOW + timedelta(days=1)) == 1
        assert await by(ledger, Grouping.USER) == {"alice": Tally(unknown=1, possibly=Decimal("0.25"))}

    async def test_parallel_ends_all_count(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("user:alice", "9", Per.DAY), NOW)

        async def generate(number: int) -> None:
            if number % 3:
                await self._make(images, ("alice", "bob")[number % 2])
                return
            draft = draft_of("0.25")
            await images.add(draft)
            await images.mark_failed(draft.guid, Status.FAILED, FAILURE, NOW)

        async def rebuild() -> None:
            for _ in range(5):
                assert [day async for day in ledger.rebuild_usage()] in ([], [TODAY])

        await asyncio.gather(*map(generate, range(48)), rebuild())
        total = (await by(ledger, Grouping.DAY))[TODAY.isoformat()]
        assert (total.pictures, total.failed, total.spent) == (32, 16, Decimal("0.64"))
        assert (total.tokens_in, total.tokens_out) == (32 * 12, 32 * 1056)

    async def test_a_refused_picture_counts_nowhere(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("service", "0"), NOW)
        with pytest.raises(BudgetExceededError):
            await images.add(draft_of("0.25"))
        assert await ledger.usage(UsageQuery(Grouping.USER, TODAY, TODAY)) == ()

    async def test_one_caller_is_summed_up_over_all_time(self, ledger: Ledger, images: ImageRepository) -> None:
        for year in (1971, 1999, 2026):
            await self._make(images, guid=new_guid(), created_at=datetime(year, 6, 1, tzinfo=UTC))
        [row] = await ledger.usage(UsageQuery(Grouping.USER, FIRST_DAY, TODAY, "alice"))
        assert row.tally.pictures == 3

    async def test_rebuilding_changes_nothing_that_agrees(self, ledger: Ledger, images: ImageRepository) -> None:
        for day in (date(2026, 1, 31), date(2026, 11, 20), TODAY):
            await self._make(images, created_at=datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
            draft = draft_of("0.25", "bob", guid=new_guid(), created_at=NOW)
            await images.add(draft)
            await images.mark_failed(draft.guid, Status.UNKNOWN, FAILURE, NOW)
        query = UsageQuery(Grouping.DAY, date(2026, 1, 1), TODAY)
        before = await ledger.usage(query)
        assert before[0] == UsageRow("2026-01-31", MADE)
        assert [day async for day in ledger.rebuild_usage()] == [date(2026, 1, 31), date(2026, 11, 20), TODAY]
        assert await ledger.usage(query) == before

    # Highest costs

    async def test_a_cost_above_its_reservation_is_remembered(self, ledger: Ledger, images: ImageRepository) -> None:
        async def make(
            reserved: str | None, usd: str | None, state: CostState = CostState.PRICED, **values: Any
        ) -> None:
            draft = draft_of(reserved, **values)
            await images.add(draft)
            cost = Cost(None if usd is None else Decimal(usd), state, "test")
            for _ in range(2):
                await images.mark_ready(draft.guid, make_result(cost=cost, model="model-1"), NOW)

        plain = Choice("model-1", None, None)
        await make("0.25", "0.25")
        await make("0.25", "0.9", CostState.ESTIMATED)
        await make(None, None, CostState.UNPRICED)
        assert await ledger.highest_cost(plain) is None
        await make("0.25", "0.250001")
        assert await ledger.highest_cost(plain) == Decimal("0.250001")
        await make(None, "0.5", parameters={"size": "auto", "quality": 7})
        await make("0.25", "0.3")
        assert await ledger.highest_cost(plain) == Decimal("0.5")
        await make("0.25", "0.7", model="model-2", parameters={"size": "1024x1024", "quality": "high"})
        assert await ledger.highest_cost(Choice("model-2", "1024x1024", "high")) == Decimal("0.7")
        for other in (("model-2", "1024x1024", None), ("model-2", None, "high"), ("model-1", "1024x1024", "high")):
            assert await ledger.highest_cost(Choice(*other)) is None

    async def test_the_highest_cost_of_pictures_that_end_together(
        self, ledger: Ledger, images: ImageRepository
    ) -> None:
        drafts = [draft_of("0.1", model="model-1") for _ in range(20)]
        await images.add_batch(drafts)
        costs = [Cost(Decimal(number) / 10, CostState.PRICED) for number in range(20)]
        await asyncio.gather(
            *(
                images.mark_ready(draft.guid, make_result(cost=cost), NOW)
                for draft, cost in zip(drafts, costs, strict=True)
            )
        )
        assert await ledger.highest_cost(Choice("model-1", None, None)) == Decimal("1.9")
