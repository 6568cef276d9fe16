"""The use cases of teachers and administrators around budgets."""

from pixyproxy.application.commands import SetBudget, validate
from pixyproxy.application.money.budget_service import BudgetService, parse_usd
from pixyproxy.domain.accounts import authority
from pixyproxy.domain.errors import DataValidationError, PermissionDeniedError, UserNotFoundError
from pixyproxy.domain.money.amounts import format_usd
from pixyproxy.domain.money.budgets import Balance, Budget, Per, span_of
from pixyproxy.domain.money.charges import Amounts
from pixyproxy.domain.user import Role, User, compose
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.money.ledger import Ledger

_AT_ONCE = 1000


class StaffBudgets:
    """Budgets as a viewer may see and set them: a teacher sets those of the students of the own class."""

    def __init__(self, budgets: BudgetService, ledger: Ledger, users: UserRepository, clock: Clock) -> None:
        self._budgets = budgets
        self._ledger = ledger
        self._users = users
        self._clock = clock

    async def visible_to(self, viewer: User | None) -> tuple[Balance, ...]:
        """Return the budgets that a viewer may see, in the order of their scopes.

        Everybody sees those that apply to themselves, a teacher also those of the class and its students, and an
        administrator all. `each:KEY` is there once for each user of whom the viewer sees it.
        """
        own = await self._budgets.balances_of(None if viewer is None else viewer.username)
        if viewer is None or not authority.is_staff(viewer):
            return own
        everything = await self._budgets.all_balances()
        if authority.is_admin(viewer):
            return everything
        if viewer.class_key is None:
            return own
        scopes = {f"class:{viewer.class_key}", f"each:{viewer.class_key}"}
        scopes |= {f"user:{name}" for name in await self._students(viewer.class_key)}
        found = {(balance.budget.scope, balance.holder): balance for balance in own}
        found |= {
            (one.budget.scope, one.holder): one
            for one in everything
            if one.budget.scope in scopes and (one.holder or not one.budget.scope.startswith("each:"))
        }
        return tuple(balance for _, balance in sorted(found.items()))

    async def set(self, viewer: User, scope: str, data: object) -> Balance:
        """Set the budget of a scope, as `SetBudget` says, and return it with what has been taken of it.

        Raises:
            PermissionDeniedError: The viewer may not set budgets of this kind.
            UserNotFoundError: The viewer may not act on this user, or there is none, for a teacher.
            DataValidationError: The scope or the amount is not valid, or above the cap of a teacher's class.
        """
        scope = compose(scope)
        await self._require_scope(viewer, scope)
        command = validate(SetBudget, data)
        per = command.per or Per.MONTH
        if not authority.is_admin(viewer):
            await self._require_within_class(viewer, command.cap_usd)
        budget = await self._budgets.set(scope, command.cap_usd, per, by=viewer.username)
        return await self._balance(budget)

    async def remove(self, viewer: User, scope: str) -> None:
        """Remove the budget of a scope.

        Raises:
            PermissionDeniedError, UserNotFoundError: as for `set`.
            BudgetNotFoundError: It has none.
        """
        scope = compose(scope)
        await self._require_scope(viewer, scope)
        await self._budgets.remove(scope, by=viewer.username)

    async def _require_scope(self, viewer: User, scope: str) -> None:
        authority.require_staff(viewer)
        if authority.is_admin(viewer):
            return
        kind, _, name = scope.partition(":")
        if kind != "user":
            raise PermissionDeniedError("A teacher sets the budgets of students of the own class: user:NAME.")
        try:
            user = await self._users.get(name)
        except UserNotFoundError:
            user = User(name)
        authority.require_staff_of(viewer, user)

    async def _require_within_class(self, viewer: User, cap_usd: str) -> None:
        scope = f"class:{viewer.class_key}"
        for budget in await self._ledger.budgets():
            if budget.scope == scope and parse_usd(cap_usd, "cap_usd") > budget.cap_usd:
                cap = format_usd(budget.cap_usd)
                raise DataValidationError.at(("cap_usd",), f"must be at most {cap}, the cap of the class")

    async def _students(self, class_key: str) -> list[str]:
        names: list[str] = []
        while True:
            after = names[-1] if names else None
            page = await self._users.page(after=after, limit=_AT_ONCE, class_key=class_key, role=Role.STUDENT)
            names += [user.username for user in page]
            if len(page) < _AT_ONCE:
                return names

    async def _balance(self, budget: Budget) -> Balance:
        """Return a budget with what has been taken; that of each user of a class has no sum of its own."""
        for balance in await self._budgets.all_balances():
            if balance.budget.scope == budget.scope and not balance.holder:
                return balance
        return Balance(budget, Amounts(), span_of(budget.per, self._clock.now()).ends_at)
