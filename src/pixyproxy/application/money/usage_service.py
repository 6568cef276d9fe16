"""The use case that sums up usage: pictures, tokens and money by user, class, model or day."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from pixyproxy.application.commands import GetUsage, validate
from pixyproxy.domain.accounts.authority import is_admin, is_staff_of_class, require_staff_of_class
from pixyproxy.domain.errors import PermissionDeniedError
from pixyproxy.domain.money.daily_sums import FIRST_DAY, Grouping, Tally, UsageQuery, UsageRow
from pixyproxy.domain.user import User
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.money.ledger import Ledger


class UsageReport(NamedTuple):
    """The days that were asked about, the grouping, and a row for each group."""

    first: date
    last: date
    by: Grouping
    rows: tuple[UsageRow, ...]


class OwnTotals(NamedTuple):
    """The sums of one user: of today, of this month, and of all time."""

    today: Tally
    month: Tally
    ever: Tally


class UsageService:
    """Sums up usage for those who may see it."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def usage(self, viewer: User | None, data: object) -> UsageReport:
        """Return the usage that a viewer may see; that of anonymous callers, who share none, is empty.

        Users see their own, teachers also that of their class, and administrators all.

        Raises:
            DataValidationError: The question is not valid.
            PermissionDeniedError: It is about others.
        """
        query = self._query(validate(GetUsage, data))
        if viewer is None:
            return UsageReport(query.first, query.last, query.by, ())
        return await self._report(_permitted(viewer, query))

    async def totals_of(self, user: User) -> OwnTotals:
        """Return the sums of what a user caused; days and months are those of UTC."""
        today = self._clock.now().date()

        async def since(first: date) -> Tally:
            rows = await self._ledger.usage(UsageQuery(Grouping.USER, first, today, user.username))
            return next((row.tally for row in rows), Tally())

        return OwnTotals(await since(today), await since(today.replace(day=1)), await since(FIRST_DAY))

    async def all_usage(self, data: object) -> UsageReport:
        """Return the usage of everybody; raise DataValidationError if the question is not valid."""
        return await self._report(self._query(validate(GetUsage, data)))

    def rebuild(self) -> AsyncIterator[date]:
        """Make the daily sums anew from the charges and yield each day; a service may run meanwhile."""
        return self._ledger.rebuild_usage()

    async def differing_days(self) -> tuple[date, ...]:
        """Return the days whose sums are not those of their charges."""
        return await self._ledger.differing_days()

    async def _report(self, query: UsageQuery) -> UsageReport:
        return UsageReport(query.first, query.last, query.by, await self._ledger.usage(query))

    def _query(self, asked: GetUsage) -> UsageQuery:
        """Return the question, by default about the month of its last day, which by default is today."""
        last = asked.to or self._clock.now().date()
        if asked.to is None and asked.from_ is not None:
            last = max(last, asked.from_)
        return UsageQuery(Grouping(asked.by), asked.from_ or last.replace(day=1), last, asked.user, asked.class_key)


def _permitted(viewer: User, query: UsageQuery) -> UsageQuery:
    """Return the part of a question that a viewer may ask; raise PermissionDeniedError if it is about others."""
    asks_for_self = query.class_key is None and query.caller == viewer.username
    if is_admin(viewer) or asks_for_self:
        return query
    if is_staff_of_class(viewer, viewer.class_key):
        class_key = query.class_key or viewer.class_key
        require_staff_of_class(viewer, class_key)
        return replace(query, class_key=class_key)
    if query.class_key is not None or query.caller is not None:
        raise PermissionDeniedError("You see your own usage only: leave out `user` and `class`.")
    return replace(query, caller=viewer.username)
