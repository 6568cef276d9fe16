"""The use cases around budgets, and a person's word on what was billed."""

import logging
from decimal import Decimal, InvalidOperation

from pixyproxy.application.commands import SettleImage, shown, validate
from pixyproxy.domain.accounts.authority import require_admin
from pixyproxy.domain.errors import BudgetNotFoundError, DataValidationError
from pixyproxy.domain.image import Image, parse_guid
from pixyproxy.domain.money.amounts import MAX_USD, is_amount
from pixyproxy.domain.money.budgets import Balance, Budget, Per
from pixyproxy.domain.user import User
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

    async def set(self, scope: str, cap_usd: str, per: Per) -> Budget:
        """Set the budget of a scope.

        Raises:
            DataValidationError: The scope or the amount, decimal text, is not valid.
        """
        budget = Budget(scope, per, parse_usd(cap_usd, "cap_usd"))
        await self._ledger.set_budget(budget, self._clock.now())
        return budget

    async def remove(self, scope: str) -> None:
        """Remove the budget of a scope; raises BudgetNotFoundError if it has none."""
        if not await self._ledger.remove_budget(scope):
            raise BudgetNotFoundError(f"There is no budget {scope!r:.300}.")

    async def settle_for(self, viewer: User, guid: str, data: object) -> Image | None:
        """Record what was billed for an `unknown` image, as `settle` does, in the name of an administrator.

        Raises:
            PermissionDeniedError: The viewer is no administrator.
            ImageNotFoundError, ConstraintViolationError, DataValidationError: as `settle`.
        """
        require_admin(viewer)
        image = await self.settle(guid, validate(SettleImage, data).billed_usd)
        logger.info("%s settled image %s", shown(viewer.username), parse_guid(guid))
        return image

    async def settle(self, guid: str, billed_usd: str) -> Image | None:
        """Record what was billed for an `unknown` image, decimal text; 0 means nothing.

        Return the image, or None if it was deleted and only its charge is left.

        Raises:
            ImageNotFoundError: There is no such image.
            ConstraintViolationError: The image is not `unknown`.
            DataValidationError: The amount is not valid.
        """
        return await self._ledger.settle(parse_guid(guid), parse_usd(billed_usd, "billed_usd"), self._clock.now())

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
