"""The ledger in memory; sums are made of the charges each time."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice

from pixyproxy.adapters.memory.storage import MemoryRepository, MemoryStorage
from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.image import SETTLED, Image, Status
from pixyproxy.domain.money.budgets import Balance, Budget, Per, reservations_of, scopes_of, span_of
from pixyproxy.domain.money.charges import (
    Amounts,
    Charge,
    ChargeState,
    charged_image,
    require_unsettled,
    settled_image,
)
from pixyproxy.domain.money.daily_sums import UsageQuery, UsageRow, key_of, tally_of, usage_rows
from pixyproxy.domain.money.highest_costs import Choice
from pixyproxy.ports.money.ledger import HELD_LIMIT, Discrepancy, Held, Ledger


class MemoryLedger(MemoryRepository, Ledger):
    """Keeps charges and budgets in a storage object."""

    async def budgets(self) -> tuple[Budget, ...]:
        return tuple(budget for _, budget in sorted(self._storage.budgets.items()))

    async def set_budget(self, budget: Budget, now: datetime) -> None:
        self._storage.budgets[budget.scope] = budget

    async def remove_budget(self, scope: str) -> bool:
        return self._storage.budgets.pop(scope, None) is not None

    async def balances(self, caller: str | None, now: datetime) -> tuple[Balance, ...]:
        scopes = scopes_of(caller, _class_key(self._storage, caller))
        return tuple(
            Balance(budget, _taken(self._storage, budget, holder, now), span_of(budget.per, now).ends_at, holder)
            for budget in await self.budgets()
            if (holder := scopes.get(budget.scope)) is not None
        )

    async def all_balances(self, now: datetime) -> tuple[Balance, ...]:
        balances: list[Balance] = []
        for budget in await self.budgets():
            ends_at = span_of(budget.per, now).ends_at
            holders = sorted(
                {
                    charge.caller
                    for charge in self._storage.charges.values()
                    if charge.caller is not None and _counts(charge, budget, charge.caller, now)
                }
            )
            balances += [
                Balance(budget, _taken(self._storage, budget, holder, now), ends_at, holder)
                for holder in (holders if budget.scope.startswith("each:") else []) or [""]
            ]
        return tuple(balances)

    async def spending(self, callers: Sequence[str], now: datetime) -> dict[str, Amounts]:
        month, found = span_of(Per.MONTH, now), dict[str, Amounts]()
        for charge in self._storage.charges.values():
            caller = charge.caller
            if caller is not None and caller in callers and span_of(Per.MONTH, charge.reserved_at) == month:
                found[caller] = found.get(caller, Amounts()).plus(charge.amounts)
        return found

    async def charges(self, guids: Sequence[str]) -> dict[str, Charge]:
        return {guid: self._storage.charges[guid] for guid in guids if guid in self._storage.charges}

    async def held(self, state: ChargeState) -> Held:
        found = islice((charge for charge in self._storage.charges.values() if charge.state is state), HELD_LIMIT)
        reserved = [charge.reserved_usd or Decimal(0) for charge in found]
        return Held(len(reserved), sum(reserved, Decimal(0)))

    async def settle(self, guid: str, billed_usd: Decimal, now: datetime) -> Image | None:
        image, charge = self._storage.images.get(guid), self._storage.charges.get(guid)
        charge = self._storage.charges[guid] = require_unsettled(image, charge).settled(billed_usd)
        if image is None:
            return None
        if not billed_usd:
            self._storage.claims.pop(guid, None)
        settled = self._storage.images[guid] = settled_image(image, charge, now)
        return settled

    async def hold_orphans(self, reserved_before: datetime) -> int:
        orphans = [
            charge
            for charge in self._storage.charges.values()
            if charge.state is ChargeState.RESERVED
            and charge.reserved_at < reserved_before
            and charge.guid not in self._storage.images
        ]
        self._storage.charges.update({charge.guid: charge.failed(Status.UNKNOWN) for charge in orphans})
        return len(orphans)

    async def end_overlooked(self) -> int:
        ended = 0
        for guid, charge in self._storage.charges.items():
            image = self._storage.images.get(guid)
            if charge.state is not ChargeState.RESERVED or image is None or image.status not in SETTLED:
                continue
            charge = self._storage.charges[guid] = charge.ended_as(image)
            self._storage.images[guid] = charged_image(image, charge)
            ended += 1
        return ended

    async def discrepancies(self) -> tuple[Discrepancy, ...]:
        return ()

    async def highest_cost(self, choice: Choice) -> Decimal | None:
        return self._storage.highest_costs.get(choice)

    async def usage(self, query: UsageQuery) -> tuple[UsageRow, ...]:
        return usage_rows(((key_of(charge), tally_of(charge)) for charge in self._storage.charges.values()), query)

    async def rebuild_usage(self) -> AsyncIterator[date]:
        """Yield the days; there is nothing to make."""
        for day in sorted({key_of(charge).day for charge in self._storage.charges.values()}):
            yield day

    async def differing_days(self) -> tuple[date, ...]:
        return ()


def reserve(storage: MemoryStorage, drafts: Sequence[ImageDraft]) -> None:
    """Add the charges of new images, all or none, if every budget that applies allows it."""
    made = [draft.charge(_class_key(storage, draft.request.author)) for draft in drafts]
    charges = [charge for charge in made if charge is not None]
    for account, usd in sorted(reservations_of(charges, storage.budgets).items()):
        budget, at = storage.budgets[account.scope], charges[0].reserved_at
        amounts = _taken(storage, budget, account.holder, at)
        if usd > 0 and amounts.total + usd > budget.cap_usd:
            raise budget.exceeded(amounts, usd, at)
    storage.charges.update({charge.guid: charge for charge in charges})


def _class_key(storage: MemoryStorage, caller: str | None) -> str | None:
    user = None if caller is None else storage.users.get(caller)
    return None if user is None else user.class_key


def _taken(storage: MemoryStorage, budget: Budget, holder: str, at: datetime) -> Amounts:
    total = Amounts()
    for charge in storage.charges.values():
        if _counts(charge, budget, holder, at):
            total = total.plus(charge.amounts)
    return total


def _counts(charge: Charge, budget: Budget, holder: str, at: datetime) -> bool:
    """Return whether a charge counts in the account of this holder at this time."""
    scopes = scopes_of(charge.caller, charge.class_key)
    in_period = span_of(budget.per, charge.reserved_at).name == span_of(budget.per, at).name
    return in_period and scopes.get(budget.scope) == (holder if budget.scope.startswith("each:") else "")
