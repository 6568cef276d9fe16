"""Contract tests for every ledger, with the image repository that writes charges."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pixyproxy.domain.errors import (
    BudgetExceededError,
    ConstraintViolationError,
    ImageNotFoundError,
    PixyProxyException,
    UnpricedModelError,
)
from pixyproxy.domain.generation import IdempotencyClaim, ImageDraft
from pixyproxy.domain.image import Failure, Image, Status, new_guid
from pixyproxy.domain.money.budgets import Balance, Budget, Per
from pixyproxy.domain.money.charges import Amounts, ChargeState, Reservation
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.domain.user import User
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from pixyproxy.ports.money.ledger import Held, Ledger
from tests.fixtures.images import NOW, make_draft, make_image, make_result

FAILURE = Failure("generator-unavailable", "No answer.")
COST = Cost(Decimal("0.02"), CostState.PRICED, "test", date(2026, 11, 21))


class LedgerStorage(ABC):
    """Storage under test: makes a ledger and the repositories on it."""

    @abstractmethod
    def ledger(self) -> Ledger:
        """Return a new, unopened ledger on this storage."""

    @abstractmethod
    def images(self) -> ImageRepository:
        """Return a new, unopened image repository on this storage."""

    @abstractmethod
    def users(self) -> UserRepository:
        """Return a new, unopened user repository on this storage."""

    @abstractmethod
    def maintenance(self) -> MaintenanceRepository:
        """Return a new, unopened maintenance repository on this storage."""

    @abstractmethod
    def delete_images_by_hand(self) -> None:
        """Delete all images without the adapter."""

    @abstractmethod
    def forget_ends(self) -> None:
        """Leave the charges as an older program does that ends images: reserved, in no sum, and no image has a cost."""


def draft_of(usd: str | None, author: str | None = "alice", **values: Any) -> ImageDraft:
    """Return a draft whose picture may cost this much."""
    reservation = Reservation(None if usd is None else Decimal(usd), "test")
    return replace(make_draft(author=author, **values), reservation=reservation)


def amounts(spent: str = "0", reserved: str = "0", possibly: str = "0") -> Amounts:
    return Amounts(Decimal(spent), Decimal(reserved), Decimal(possibly))


def budget(scope: str, cap: str, per: Per = Per.MONTH) -> Budget:
    return Budget(scope, per, Decimal(cap))


class LedgerContract:
    """Tests for a subclass that sets `adapter` and defines the fixture `storage`."""

    adapter: type[Ledger]
    database: type | None = None

    @pytest.fixture
    async def ledger(self, storage: LedgerStorage) -> AsyncIterator[Ledger]:
        ledger = storage.ledger()
        assert type(ledger) is self.adapter
        assert self.database is None or type(ledger._database) is self.database
        await ledger.open()
        yield ledger
        assert await ledger.discrepancies() == ()
        assert await ledger.differing_days() == ()
        await ledger.close()

    @pytest.fixture
    async def images(self, storage: LedgerStorage, ledger: Ledger) -> AsyncIterator[ImageRepository]:
        images, users = storage.images(), storage.users()
        await images.open()
        await users.open()
        await users.add(User("alice", "9a", "hash"))
        await users.add(User("bob", "9a", "hash"))
        await users.add(User("carol", None, "hash"))
        yield images
        await users.close()
        await images.close()

    # Charges

    async def test_a_draft_with_a_reservation_has_a_charge(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of("0.25", model="model-1")
        await images.add(draft)
        charge = (await ledger.charges([draft.guid, new_guid()]))[draft.guid]
        assert (charge.caller, charge.class_key, charge.model) == ("alice", "9a", "model-1")
        assert (charge.reserved_at, charge.reserved_usd, charge.source) == (NOW, Decimal("0.25"), "test")
        assert (charge.state, charge.cost, charge.amounts) == (ChargeState.RESERVED, None, amounts(reserved="0.25"))

    async def test_a_draft_without_a_reservation_has_no_charge(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = make_draft()
        await images.add(draft)
        assert await ledger.charges([draft.guid]) == {}
        assert await ledger.charges([]) == {}

    async def test_the_spending_of_callers_in_a_month(self, ledger: Ledger, images: ImageRepository) -> None:
        month = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        before = month - timedelta(microseconds=1)
        charged = [("alice", "0.25", NOW), ("alice", "0.5", month), ("alice", "4", before), ("bob", "1", NOW)]
        for author, usd, at in [*charged, (None, "8", NOW)]:
            await images.add(draft_of(usd, author, created_at=at))
        done = draft_of("0.25")
        await images.add(done)
        await images.mark_ready(done.guid, make_result(cost=COST), NOW)
        held, freed = draft_of("0.125", "carol"), draft_of("0.125", "carol")
        for draft, status in ((held, Status.UNKNOWN), (freed, Status.FAILED)):
            await images.add(draft)
            await images.mark_failed(draft.guid, status, FAILURE, NOW)
        everybody = ["alice", "bob", "carol", "nobody", "al", "alice "]
        assert await ledger.spending(everybody, NOW) == {
            "alice": amounts("0.02", reserved="0.75"),
            "bob": amounts(reserved="1"),
            "carol": amounts(possibly="0.125"),
        }
        assert await ledger.spending(["alice"], before) == {"alice": amounts(reserved="4")}
        assert await ledger.spending(["nobody"] * 500, NOW) == {}
        assert await ledger.spending([], NOW) == {}

    @pytest.mark.parametrize("author", ["carol", None, "nobody on the roster"])
    async def test_a_caller_may_be_in_no_class(
        self, author: str | None, ledger: Ledger, images: ImageRepository
    ) -> None:
        draft = draft_of("0.25", author)
        await images.add(draft)
        charge = (await ledger.charges([draft.guid]))[draft.guid]
        assert (charge.caller, charge.class_key) == (author, None)

    async def test_a_ready_image_has_its_cost(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of("0.25")
        await images.add(draft)
        image = await images.mark_ready(draft.guid, make_result(cost=COST), NOW)
        assert image.cost == COST
        assert (await images.get(draft.guid)).cost == COST
        charge = (await ledger.charges([draft.guid]))[draft.guid]
        assert (charge.state, charge.cost, charge.amounts) == (ChargeState.PRICED, COST, amounts("0.02"))
        # Repeating it changes nothing.
        assert await images.mark_ready(draft.guid, make_result(cost=COST), NOW + timedelta(1)) == image

    async def test_an_unknown_cost_is_what_was_reserved(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of("0.25")
        await images.add(draft)
        image = await images.mark_ready(draft.guid, make_result(), NOW)
        assert image.cost == Cost(Decimal("0.25"), CostState.ESTIMATED, "test", NOW.date())
        assert (await images.get(draft.guid)).cost == image.cost
        assert await images.mark_ready(draft.guid, make_result(), NOW + timedelta(1)) == image

    async def test_a_model_without_a_price_is_unpriced(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of(None)
        await images.add(draft)
        image = await images.mark_ready(draft.guid, make_result(), NOW)
        assert image.cost == Cost(None, CostState.UNPRICED)
        assert (await ledger.charges([draft.guid]))[draft.guid].amounts == amounts()

    async def test_a_failed_image_frees_its_reservation(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of("0.25")
        await images.add(draft)
        image = await images.mark_failed(draft.guid, Status.FAILED, FAILURE, NOW)
        assert image.cost is None
        charge = (await ledger.charges([draft.guid]))[draft.guid]
        assert (charge.state, charge.amounts) == (ChargeState.RELEASED, amounts())

    async def test_an_unknown_image_may_have_been_billed(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of("0.25")
        await images.add(draft)
        image = await images.mark_failed(draft.guid, Status.UNKNOWN, FAILURE, NOW)
        assert image.cost == Cost(Decimal("0.25"), CostState.POSSIBLY_BILLED, "test", NOW.date())
        assert (await images.get(draft.guid)) == image
        assert (await ledger.charges([draft.guid]))[draft.guid].amounts == amounts(possibly="0.25")

    async def test_an_adopted_picture_is_charged_at_its_cost(self, ledger: Ledger, images: ImageRepository) -> None:
        for status in (Status.UNKNOWN, Status.FAILED):
            draft = draft_of("0.25")
            await images.add(draft)
            await images.mark_failed(draft.guid, status, FAILURE, NOW)
            image = await images.mark_ready(draft.guid, make_result(cost=COST), NOW)
            assert image.cost == COST
            assert (await ledger.charges([draft.guid]))[draft.guid].amounts == amounts("0.02")

    async def test_charges_outlive_images(
        self, storage: LedgerStorage, ledger: Ledger, images: ImageRepository
    ) -> None:
        drafts = [draft_of("0.25") for _ in range(3)]
        await images.add_batch(drafts)
        await images.mark_ready(drafts[0].guid, make_result(cost=COST), NOW)
        await images.delete(drafts[0].guid)
        storage.delete_images_by_hand()
        # The generations end after their rows were deleted.
        with pytest.raises(ImageNotFoundError):
            await images.mark_ready(drafts[1].guid, make_result(cost=COST), NOW)
        with pytest.raises(ImageNotFoundError):
            await images.mark_failed(drafts[2].guid, Status.UNKNOWN, FAILURE, NOW)
        charges = await ledger.charges([draft.guid for draft in drafts])
        assert [charges[draft.guid].amounts for draft in drafts] == [
            amounts("0.02"),
            amounts("0.02"),
            amounts(possibly="0.25"),
        ]

    async def test_charges_of_deleted_images_are_held_in_the_end(
        self, storage: LedgerStorage, ledger: Ledger, images: ImageRepository
    ) -> None:
        await ledger.set_budget(budget("service", "9"), NOW)
        orphan, running = draft_of("0.25"), draft_of("0.5")
        await images.add(orphan)
        storage.delete_images_by_hand()
        await images.add(running)
        assert await ledger.hold_orphans(NOW) == 0
        assert await ledger.hold_orphans(NOW + timedelta(microseconds=1)) == 1
        assert await ledger.hold_orphans(NOW + timedelta(microseconds=1)) == 0
        (balance,) = await ledger.balances(None, NOW)
        assert balance.amounts == amounts(reserved="0.5", possibly="0.25")

    async def test_charges_whose_end_was_overlooked_are_ended(
        self, storage: LedgerStorage, ledger: Ledger, images: ImageRepository
    ) -> None:
        ready, failed, unknown, running = drafts = [draft_of("0.25") for _ in range(4)]
        for draft in drafts:
            await images.add(draft)
        await images.mark_ready(ready.guid, make_result(), NOW)
        await images.mark_failed(failed.guid, Status.FAILED, FAILURE, NOW)
        await images.mark_failed(unknown.guid, Status.UNKNOWN, FAILURE, NOW)
        before = [await images.get(draft.guid) for draft in drafts]
        storage.forget_ends()
        assert (await images.get(ready.guid)).cost is None
        await ledger.set_budget(budget("service", "9"), NOW)
        assert (await ledger.balances(None, NOW))[0].amounts == amounts(reserved="1")
        assert await ledger.end_overlooked() == 3
        assert await ledger.end_overlooked() == 0
        assert (await ledger.balances(None, NOW))[0].amounts == amounts("0.25", "0.25", "0.25")
        assert [await images.get(draft.guid) for draft in drafts] == before
        await images.mark_failed(running.guid, Status.FAILED, FAILURE, NOW)

    async def test_restored_images_are_charged_once(
        self, storage: LedgerStorage, ledger: Ledger, images: ImageRepository
    ) -> None:
        maintenance = storage.maintenance()
        await maintenance.open()
        await ledger.set_budget(budget("user:alice", "9"), NOW)
        image = make_image(author="alice", cost=COST)
        assert await maintenance.restore(image)
        assert (await images.get(image.guid)).cost == COST
        assert (await ledger.charges([image.guid]))[image.guid].amounts == amounts("0.02")
        storage.delete_images_by_hand()
        assert await maintenance.restore(image)
        (balance,) = await ledger.balances("alice", NOW)
        assert balance.amounts == amounts("0.02")
        await maintenance.close()

    # Budgets

    async def test_budgets_are_set_replaced_and_removed(self, ledger: Ledger) -> None:
        assert await ledger.budgets() == ()
        await ledger.set_budget(budget("service", "5"), NOW)
        await ledger.set_budget(budget("class:9a", "2", Per.DAY), NOW)
        await ledger.set_budget(budget("service", "7.000001", Per.TOTAL), NOW)
        assert await ledger.budgets() == (budget("class:9a", "2", Per.DAY), budget("service", "7.000001", Per.TOTAL))
        assert await ledger.remove_budget("service")
        assert not await ledger.remove_budget("service")
        assert await ledger.budgets() == (budget("class:9a", "2", Per.DAY),)

    @pytest.mark.parametrize(
        ("scope", "applies_to"),
        [
            ("service", {"alice", "bob", "carol", None}),
            ("class:9a", {"alice", "bob"}),
            ("user:alice", {"alice"}),
            ("each:9a", {"alice", "bob"}),
            ("class:9b", set()),
            ("user:dora", set()),
        ],
    )
    async def test_a_budget_caps_those_it_applies_to(
        self, scope: str, applies_to: set[str | None], ledger: Ledger, images: ImageRepository
    ) -> None:
        await ledger.set_budget(budget(scope, "0.5"), NOW)
        for author in ("alice", "bob", "carol", None):
            draft = draft_of("0.6", author)
            if author in applies_to:
                with pytest.raises(BudgetExceededError, match=f"{scope}.*0.500000 USD left.*0.600000 USD.*2026-12-01"):
                    await images.add(draft)
                with pytest.raises(ImageNotFoundError):
                    await images.get(draft.guid)
                assert await ledger.charges([draft.guid]) == {}
            else:
                await images.add(draft)

    async def test_a_cap_is_reached_to_the_micro_dollar(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("user:alice", "0.000003"), NOW)
        await images.add(draft_of("0.000002"))
        with pytest.raises(BudgetExceededError):
            await images.add(draft_of("0.000002"))
        await images.add(draft_of("0.000001"))
        (balance,) = await ledger.balances("alice", NOW)
        assert (balance.amounts, balance.left_usd) == (amounts(reserved="0.000003"), Decimal(0))
        await images.add(draft_of("0"))

    async def test_all_budgets_are_reserved_or_none(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("class:9a", "9"), NOW)
        await ledger.set_budget(budget("user:alice", "0.5"), NOW)
        with pytest.raises(BudgetExceededError):
            await images.add(draft_of("0.6"))
        assert [balance.amounts for balance in await ledger.balances("alice", NOW)] == [amounts(), amounts()]
        await images.add(draft_of("0.4"))
        taken = amounts(reserved="0.4")
        assert [balance.amounts for balance in await ledger.balances("alice", NOW)] == [taken, taken]
        assert [balance.amounts for balance in await ledger.balances("bob", NOW)] == [taken]

    async def test_the_pictures_of_a_batch_are_reserved_together(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("service", "0.5"), NOW)
        with pytest.raises(BudgetExceededError):
            await images.add_batch([draft_of("0.3"), draft_of("0.3")])
        await images.add_batch([draft_of("0.25"), draft_of("0.25")])

    async def test_each_user_of_a_class_has_an_own_sum(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("each:9a", "0.5"), NOW)
        await images.add(draft_of("0.4", "alice"))
        await images.add(draft_of("0.3", "bob"))
        with pytest.raises(BudgetExceededError):
            await images.add(draft_of("0.3", "bob"))
        found = [(balance.holder, balance.amounts) for balance in await ledger.all_balances(NOW)]
        assert found == [("alice", amounts(reserved="0.4")), ("bob", amounts(reserved="0.3"))]

    async def test_the_end_of_a_generation_changes_the_sums(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("user:alice", "1"), NOW)
        ready, failed, unknown = drafts = [draft_of("0.3") for _ in range(3)]
        for draft in drafts:
            await images.add(draft)
        with pytest.raises(BudgetExceededError):
            await images.add(draft_of("0.3"))
        await images.mark_ready(ready.guid, make_result(cost=COST), NOW)
        await images.mark_failed(failed.guid, Status.FAILED, FAILURE, NOW)
        await images.mark_failed(unknown.guid, Status.UNKNOWN, FAILURE, NOW)
        (balance,) = await ledger.balances("alice", NOW)
        assert balance.amounts == amounts("0.02", possibly="0.3")
        await images.add(draft_of("0.68"))

    async def test_a_cost_above_its_reservation_is_recorded_whole(
        self, ledger: Ledger, images: ImageRepository
    ) -> None:
        await ledger.set_budget(budget("user:alice", "0.01"), NOW)
        draft = draft_of("0.01")
        await images.add(draft)
        await images.mark_ready(draft.guid, make_result(cost=COST), NOW)
        (balance,) = await ledger.balances("alice", NOW)
        assert (balance.amounts, balance.left_usd) == (amounts("0.02"), Decimal(0))
        with pytest.raises(BudgetExceededError):
            await images.add(draft_of("0.000001"))

    async def test_a_new_budget_counts_its_current_period(self, ledger: Ledger, images: ImageRepository) -> None:
        before = draft_of("0.1", created_at=NOW - timedelta(days=30))
        ready, running = draft_of("0.3"), draft_of("0.4")
        for draft in (before, ready, running):
            await images.add(draft)
        await images.mark_ready(ready.guid, make_result(cost=COST), NOW)
        await ledger.set_budget(budget("user:alice", "0.5"), NOW)
        (balance,) = await ledger.balances("alice", NOW)
        assert balance.amounts == amounts("0.02", reserved="0.4")
        with pytest.raises(BudgetExceededError):
            await images.add(draft_of("0.09"))
        await images.add(draft_of("0.08"))
        await images.mark_failed(running.guid, Status.FAILED, FAILURE, NOW)
        await ledger.set_budget(budget("user:alice", "0.5", Per.TOTAL), NOW)
        (balance,) = await ledger.balances("alice", NOW)
        assert balance == Balance(budget("user:alice", "0.5", Per.TOTAL), amounts("0.02", reserved="0.18"), None, "")

    @pytest.mark.parametrize(
        ("per", "last", "first"),
        [
            (Per.MONTH, datetime(2026, 11, 30, 23, 59, 59, 999_999, UTC), datetime(2026, 12, 1, tzinfo=UTC)),
            (Per.DAY, datetime(2028, 2, 28, 23, 59, 59, 999_999, UTC), datetime(2028, 2, 29, tzinfo=UTC)),
        ],
    )
    async def test_a_charge_belongs_to_the_period_of_its_reservation(
        self, per: Per, last: datetime, first: datetime, ledger: Ledger, images: ImageRepository
    ) -> None:
        await ledger.set_budget(budget("user:alice", "0.5", per), last)
        old = draft_of("0.4", created_at=last)
        await images.add(old)
        await images.add(draft_of("0.3", created_at=first))
        await images.mark_ready(old.guid, make_result(cost=COST), first)
        (before,) = await ledger.balances("alice", last)
        (after,) = await ledger.balances("alice", first)
        assert (before.amounts, before.resets_at) == (amounts("0.02"), first)
        assert after.amounts == amounts(reserved="0.3")
        # A clock that jumps back reserves in the period that it shows.
        with pytest.raises(BudgetExceededError):
            await images.add(draft_of("0.49", created_at=last))

    async def test_a_model_without_a_price_needs_no_budget(self, ledger: Ledger, images: ImageRepository) -> None:
        await images.add(draft_of(None, model="model-1"))
        await ledger.set_budget(budget("user:alice", "0"), NOW)
        await images.add(draft_of(None, "bob"))
        with pytest.raises(UnpricedModelError, match=r"model-1.*user:alice"):
            await images.add(draft_of(None, model="model-1"))

    async def test_parallel_reservations_never_exceed_a_cap(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("class:9a", "1"), NOW)
        await ledger.set_budget(budget("service", "9"), NOW)

        async def add(number: int) -> str | None:
            draft = draft_of("0.1", "alice" if number % 2 else "bob")
            try:
                return (await images.add(draft)).guid
            except BudgetExceededError:
                return None

        added = [guid for guid in await asyncio.gather(*map(add, range(24))) if guid]
        assert len(added) == 10
        ended = [images.mark_ready(guid, make_result(cost=COST), NOW) for guid in added]
        more = [add(number) for number in range(12)]
        results: list[Any] = await asyncio.gather(*ended, *more)
        running = len([guid for guid in results[10:] if guid])
        for balance in await ledger.balances("alice", NOW):
            assert balance.amounts == amounts("0.2", reserved=f"{running / 10}")

    async def test_budgets_may_change_while_generations_run(self, ledger: Ledger, images: ImageRepository) -> None:
        async def generate(number: int) -> None:
            draft = draft_of("0.01", "alice" if number % 2 else "bob")
            await images.add(draft)
            if number % 3:
                await images.mark_ready(draft.guid, make_result(cost=COST), NOW)

        async def change() -> None:
            for cap in range(5, 12):
                await ledger.set_budget(budget("class:9a", str(cap)), NOW)
                await ledger.set_budget(budget("each:9a", str(cap), Per.DAY), NOW)

        await asyncio.gather(*map(generate, range(30)), change())
        assert await ledger.discrepancies() == ()
        (by_class, _) = await ledger.balances("alice", NOW)
        assert by_class.amounts == amounts("0.4", reserved="0.1")

    # Settling

    async def _unknown(self, images: ImageRepository, **values: Any) -> Image:
        claim = IdempotencyClaim("alice", "key-1", "ab" * 32)
        draft = draft_of("0.25", claim=claim, **values)
        await images.add(draft)
        return await images.mark_failed(draft.guid, Status.UNKNOWN, FAILURE, NOW)

    async def test_held_charges_are_those_of_one_state(self, ledger: Ledger, images: ImageRepository) -> None:
        assert await ledger.held(ChargeState.RESERVED) == Held(0, Decimal(0))
        for usd in ("0.25", "0.000001", None):
            await images.add(draft_of(usd))
        unknown = await images.add(draft_of("0.5"))
        await images.mark_failed(unknown.guid, Status.UNKNOWN, FAILURE, NOW)
        assert await ledger.held(ChargeState.RESERVED) == Held(3, Decimal("0.250001"))
        assert await ledger.held(ChargeState.POSSIBLY_BILLED) == Held(1, Decimal("0.5"))
        assert await ledger.held(ChargeState.RELEASED) == Held(0, Decimal(0))

    async def test_an_unknown_image_is_settled_as_billed(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("user:alice", "9"), NOW)
        image = await self._unknown(images)
        settled = await ledger.settle(image.guid, Decimal("0.2"), NOW)
        assert settled is not None
        assert (settled.status, settled.failure) == (Status.UNKNOWN, FAILURE)
        assert settled.cost is not None
        assert (settled.cost.usd, settled.cost.state) == (Decimal("0.2"), CostState.SETTLED)
        assert await images.get(image.guid) == settled
        (balance,) = await ledger.balances("alice", NOW)
        assert balance.amounts == amounts("0.2")
        # A picture that is found later costs what the person said.
        assert (await images.mark_ready(image.guid, make_result(cost=COST), NOW)).cost == settled.cost

    async def test_an_unknown_image_is_settled_as_unbilled(self, ledger: Ledger, images: ImageRepository) -> None:
        await ledger.set_budget(budget("user:alice", "9"), NOW)
        image = await self._unknown(images)
        settled = await ledger.settle(image.guid, Decimal(0), NOW)
        assert settled is not None
        assert (settled.status, settled.cost and settled.cost.usd) == (Status.FAILED, Decimal(0))
        assert await images.get(image.guid) == settled
        assert await images.find_claimed("alice", "key-1") is None
        (balance,) = await ledger.balances("alice", NOW)
        assert balance.amounts == amounts()

    async def test_only_unknown_images_are_settled(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = draft_of("0.25")
        await images.add(draft)
        with pytest.raises(ConstraintViolationError, match="generating"):
            await ledger.settle(draft.guid, Decimal(0), NOW)
        await images.mark_ready(draft.guid, make_result(cost=COST), NOW)
        with pytest.raises(ConstraintViolationError, match="ready"):
            await ledger.settle(draft.guid, Decimal(0), NOW)
        with pytest.raises(ImageNotFoundError):
            await ledger.settle(new_guid(), Decimal(0), NOW)

    async def test_an_image_of_before_charges_is_settled(self, ledger: Ledger, images: ImageRepository) -> None:
        draft = make_draft(author="alice")
        await images.add(draft)
        await images.mark_failed(draft.guid, Status.UNKNOWN, FAILURE, NOW)
        await ledger.settle(draft.guid, Decimal("0.2"), NOW)
        assert (await ledger.charges([draft.guid]))[draft.guid].amounts == amounts("0.2")

    async def test_the_charge_of_a_deleted_image_is_settled(
        self, storage: LedgerStorage, ledger: Ledger, images: ImageRepository
    ) -> None:
        image = await self._unknown(images)
        storage.delete_images_by_hand()
        assert await ledger.settle(image.guid, Decimal("0.2"), NOW) is None
        with pytest.raises(PixyProxyException):
            await ledger.settle(image.guid, Decimal("0.2"), NOW)
