"""A class as its page shows it: users with spending against caps, and what they made lately."""

import asyncio
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from pixyproxy.application.accounts.roster_service import Member, RosterService
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.money.staff_budgets import StaffBudgets
from pixyproxy.domain.access import Viewer, viewer_of
from pixyproxy.domain.accounts import authority
from pixyproxy.domain.image import Image
from pixyproxy.domain.money.budgets import Balance, Budget, Per
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.pages.picture import present_picture
from pixyproxy.entrypoints.http.pages.spending import present_budget
from pixyproxy.entrypoints.http.pages.texts import usd_text
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.ports.clock import Clock

_USERS = 50
_PICTURES = 24
_OF_EACH = 6
_PER = {Per.DAY: "a day", Per.MONTH: "a month", Per.TOTAL: "in all"}


class ClassPage:
    """Collects what the page of a class shows to its staff."""

    def __init__(
        self, roster: RosterService, budgets: StaffBudgets, images: ImageService, links: Links, clock: Clock
    ) -> None:
        self._roster = roster
        self._budgets = budgets
        self._images = images
        self._links = links
        self._clock = clock

    async def values(self, user: User, class_key: str | None, cursor: str | None) -> dict[str, Any]:
        """Return what the template shows of a class, or of all users where an administrator names none.

        Raises:
            PermissionDeniedError: The user is no staff of the class.
            DataValidationError: The cursor is none.
        """
        query = {"limit": _USERS, "class_key": class_key, "cursor": cursor}
        page = await self._roster.list(user, {name: value for name, value in query.items() if value is not None})
        if class_key is None and not authority.is_admin(user):
            class_key = user.class_key
        balances = await self._budgets.visible_to(user)
        budgets = {one.budget.scope: one for one in balances if not one.holder}
        of_each = {one.budget.scope: one.budget for one in balances}
        return {
            "class_key": class_key,
            "members": [self._present_member(member, budgets, of_each) for member in page.members],
            "limits": list(self._limits(authority.is_admin(user), class_key, budgets, of_each)),
            "next": page.next_cursor,
            "is_first": cursor is None,
            "pictures": await self._lately(viewer_of(user), [member.user.username for member in page.members]),
            "pers": [(per.value, text) for per, text in _PER.items()],
        }

    def _limits(
        self, is_admin: bool, class_key: str | None, balances: Mapping[str, Balance], budgets: Mapping[str, Budget]
    ) -> Iterable[dict[str, Any]]:
        """Return the budgets of the class, or of the service: an administrator sets them, also where there is none."""
        whole = f"class:{class_key}", "The whole class"
        scopes = [whole, (f"each:{class_key}", "Every user of the class")] if class_key else [("service", "Everybody")]
        for scope, title in scopes:
            budget, balance = budgets.get(scope), balances.get(scope)
            if budget is None and not is_admin:
                continue
            yield {
                "title": title,
                "scope": scope if is_admin else "",
                "text": self._cap_text(budget),
                # That of every user has no sum of its own.
                "balance": None if balance is None or scope.startswith("each:") else present_budget(balance),
                "usd": "" if budget is None else f"{budget.cap_usd.normalize():f}",
                "per": Per.MONTH.value if budget is None else budget.per.value,
            }

    def _present_member(
        self, member: Member, budgets: Mapping[str, Balance], of_each: Mapping[str, Budget]
    ) -> dict[str, Any]:
        """Return a line of the table; `own` and `each` are the budgets of this user and of every one."""
        user, month = member
        own = budgets.get(f"user:{user.username}")
        each = of_each.get(f"each:{user.class_key}")
        has_ended = user.valid_until is not None and user.valid_until <= self._clock.now()
        ends = None if user.valid_until is None else f"{user.valid_until:%-d %b %Y}"
        open_usd = month.reserved + month.possibly
        return {
            "username": user.username,
            "class_key": user.class_key,
            "role": user.role.value,
            "paused": user.paused,
            "has_ended": has_ended,
            "ends": ends,
            "spent": usd_text(month.spent),
            "open": usd_text(open_usd) if open_usd else "",
            "own": None if own is None else present_budget(own),
            "own_usd": "" if own is None else f"{own.budget.cap_usd.normalize():f}",
            "own_per": Per.MONTH.value if own is None else own.budget.per.value,
            "limit": self._limit_text(own, each),
        }

    def _limit_text(self, own: Balance | None, each: Budget | None) -> str:
        """Return what is left of the user's own budget, or the budget that every user of the class has."""
        if own is not None:
            return f"{usd_text(own.left_usd)} left of {self._cap_text(own.budget)}"
        if each is None:
            return "no cap"
        return f"of {self._cap_text(each)}" if each.per is Per.MONTH else f"at most {self._cap_text(each)}"

    def _cap_text(self, budget: Budget | None) -> str:
        return "" if budget is None else f"{usd_text(Decimal(budget.cap_usd))} {_PER[budget.per]}"

    async def _lately(self, viewer: Viewer, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return the newest pictures of these authors that the viewer may see."""
        pages = await asyncio.gather(
            *(self._images.search(viewer, {"author": name, "limit": _OF_EACH}) for name in names)
        )
        found: list[Image] = [image for page in pages for image in page.items]
        found.sort(key=lambda image: image.request.created_at, reverse=True)
        return [present_picture(image, self._links, viewer) for image in found[:_PICTURES]]
