"""The use cases around budgets, and a person's word on what was billed."""

import logging
from decimal import Decimal, InvalidOperation

from pixyproxy.application.commands import SettleImage, shown, validate
from pixyproxy.domain.accounts.authority import require_admin
from pixyproxy.domain.errors import BudgetNotFoundError, DataValidationError
from pixyproxy.domain.image import Image, parse_guid
from pixyproxy.domain.money.amounts import MAX_USD, format_usd, is_amount
from pixyproxy.domain.money.budgets import Balance, Budget, Per
from pixyproxy.domain.user import COMMAND_LINE, User, compose
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.money.ledger import Discrepancy, Ledger

logger = logging.getLogger(__name__)


class BudgetService:
    """Sets, removes and shows budgets, and settles what the upstream left open."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def balances_of(self, viewer: str | None) -> tuple[Balance, ...]:
        """Return the budgets that apply to a viewer, with what has been taken of each."""
        return await self._ledger.balances(viewer, self._clock.now())

    async def all_balances(self) -> tuple[Balance, ...]:
        """Return all budgets with what has been taken of each."""
        return await self._ledger.all_balances(self._clock.now())

    async def set(self, scope: str, cap_usd: str, per: Per, *, by: str = COMMAND_LINE) -> Budget:
        """Set the budget of a scope; `by` says who does so.

        Raises:
            DataValidationError: The scope or the amount, decimal text, is not valid.
        """
        scope = compose(scope)
        budget = Budget(scope, per, parse_usd(cap_usd, "cap_usd"))
        await self._ledger.set_budget(budget, self._clock.now())
        cap = format_usd(budget.cap_usd)
        logger.info("%s set the budget %s: %s USD per %s", shown(by), shown(scope), cap, budget.per)
        return budget

    async def remove(self, scope: str, *, by: str = COMMAND_LINE) -> None:
        """Remove the budget of a scope; raises BudgetNotFoundError if it has none."""
        scope = compose(scope)
        if not await self._ledger.remove_budget(scope):
            raise BudgetNotFoundError(f"There is no budget {scope!r:.300}.")
        logger.info("%s removed the budget %s", shown(by), shown(scope))

    async def settle_for(self, viewer: User, guid: str, data: object) -> Image | None:
        """Record what was billed for an `unknown` image, as `settle` does, in the name of an administrator.

        Raises:
            PermissionDeniedError: The viewer is no administrator.
            ImageNotFoundError, ConstraintViolationError, DataValidationError: as `settle`.
        """
        require_admin(viewer)
        return await self.settle(guid, validate(SettleImage, data).billed_usd, by=viewer.username)

    async def settle(self, guid: str, billed_usd: str, *, by: str = COMMAND_LINE) -> Image | None:
        """Record what was billed for an `unknown` image, decimal text; 0 means nothing. `by` says who settles it.

        Return the image, or None if it was deleted and only its charge is left.

        Raises:
            ImageNotFoundError: There is no such image.
            ConstraintViolationError: The image is not `unknown`.
            DataValidationError: The amount is not valid.
        """
        guid, usd = parse_guid(guid), parse_usd(billed_usd, "billed_usd")
        image = await self._ledger.settle(guid, usd, self._clock.now())
        logger.info("%s settled image %s: %s USD", shown(by), guid, format_usd(usd))
        return image

    async def discrepancies(self) -> tuple[Discrepancy, ...]:
        """Return the accounts whose sums are not those of their charges."""
        return await self._ledger.discrepancies()


def parse_usd(text: str, name: str) -> Decimal:
    """Return the amount that decimal text gives; raises DataValidationError, which names the field, for any other."""
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal("NaN")
    if not is_amount(usd):
        rule = f"must be an amount from 0 to {MAX_USD} US dollars, such as 12.50, with at most six decimal places"
        raise DataValidationError.at((name,), rule)
    return usd
