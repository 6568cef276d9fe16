"""The port to the ledger: charges, the budgets that are derived from them, and a person's word on a charge."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from pixyproxy.domain.image import Image
from pixyproxy.domain.money.budgets import Account, Balance, Budget
from pixyproxy.domain.money.charges import Amounts, Charge, ChargeState
from pixyproxy.domain.money.daily_sums import UsageQuery, UsageRow
from pixyproxy.domain.money.highest_costs import Choice
from pixyproxy.ports.resource import Resource

HELD_LIMIT = 100_000
"""The number up to which charges are counted for a survey."""


class Discrepancy(NamedTuple):
    """An account whose sums are not those of its charges."""

    account: Account
    kept: Amounts
    charged: Amounts


class Held(NamedTuple):
    """A number of charges and the sum of what they reserved."""

    charges: int
    usd: Decimal


class Ledger(Resource):
    """Keeps charges and budgets, with the same transactions, outages and durability as `ImageRepository`.

    `ImageRepository.add_batch` reserves, and `mark_ready` and `mark_failed` end a charge, in the transaction that
    changes the image. A charge stays when its image or its caller is deleted. It belongs to the day and the month of
    its reservation.
    """

    @abstractmethod
    async def budgets(self) -> tuple[Budget, ...]:
        """Return all budgets, in the order of their scopes."""

    @abstractmethod
    async def set_budget(self, budget: Budget, now: datetime) -> None:
        """Set the budget of a scope, in place of the one that it had.

        The charges of its current period count, those of calls that are under way too.
        """

    @abstractmethod
    async def remove_budget(self, scope: str) -> bool:
        """Remove the budget of a scope; return whether it had one."""

    @abstractmethod
    async def balances(self, caller: str | None, now: datetime) -> tuple[Balance, ...]:
        """Return the budgets that apply to a caller (None: an anonymous one), in the order of their scopes.

        Each has the sums of the period in which `now` is. A user's class is the one that the roster has now.
        """

    @abstractmethod
    async def all_balances(self, now: datetime) -> tuple[Balance, ...]:
        """Return all budgets with their sums; `each:KEY` once for each user who was charged in the period."""

    @abstractmethod
    async def spending(self, callers: Sequence[str], now: datetime) -> dict[str, Amounts]:
        """Return the sums of the charges of callers (500 at most) in the month in which `now` is, by caller.

        Callers without charges are left out.
        """

    @abstractmethod
    async def charges(self, guids: Sequence[str]) -> dict[str, Charge]:
        """Return the charges (of at most 500 images) that exist, by the GUID of their image."""

    @abstractmethod
    async def held(self, state: ChargeState) -> Held:
        """Return the number and the reserved sum of the charges in a state, of `HELD_LIMIT` if there are more."""

    @abstractmethod
    async def settle(self, guid: str, billed_usd: Decimal, now: datetime) -> Image | None:
        """Record what a person says was billed for an `unknown` image; 0 means nothing.

        With 0 the image becomes `failed` and releases its claim, else it stays `unknown` at this cost. Return the
        image, or None if only its charge is left.

        Raises:
            ImageNotFoundError: There is neither such an image nor such a charge.
            ConstraintViolationError: The image is not `unknown`; nothing was changed.
        """

    @abstractmethod
    async def hold_orphans(self, reserved_before: datetime) -> int:
        """Turn charges into `possibly-billed` that are still reserved, from before this time, and whose image is gone.

        Return how many there were. Nobody else ends them: whoever deleted the image by hand could not know.
        """

    @abstractmethod
    async def end_overlooked(self) -> int:
        """End charges that are still reserved and whose image has ended, by its status; return how many there were.

        A program that knows no charges ended these images, beside this one during an upgrade. They get their cost.
        """

    @abstractmethod
    async def discrepancies(self) -> tuple[Discrepancy, ...]:
        """Compare every account with its charges, as of one moment."""

    @abstractmethod
    async def highest_cost(self, choice: Choice) -> Decimal | None:
        """Return the highest cost of a picture of this choice that was above its reservation, None if none was.

        A picture without a reserved price counts too. Costs that are estimated or settled by a person do not.
        """

    @abstractmethod
    async def usage(self, query: UsageQuery) -> tuple[UsageRow, ...]:
        """Return the sums of charges that a question is about, by their keys in order, the one that is None last.

        A charge counts on the day (UTC) of its reservation, for its caller and the class of that time.
        """

    @abstractmethod
    def rebuild_usage(self) -> AsyncIterator[date]:
        """Make the daily sums anew from the charges, day by day, and yield each day; others may change charges."""

    @abstractmethod
    async def differing_days(self) -> tuple[date, ...]:
        """Return the days whose sums are not those of their charges, each compared as of one moment."""
