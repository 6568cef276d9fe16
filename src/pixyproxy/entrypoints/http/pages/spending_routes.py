"""The page of a user's own spending."""

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from pixyproxy.application.money.budget_service import BudgetService
from pixyproxy.application.money.usage_service import UsageReport, UsageService
from pixyproxy.domain.money.daily_sums import FIRST_DAY
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.pages.spending import (
    last_of,
    month_of,
    month_text,
    present_budget,
    present_days,
    present_sum,
)
from pixyproxy.entrypoints.usage_table import usage_as_csv
from pixyproxy.ports.clock import Clock


def build_spending_router(
    pages: PageRenderer, usage: UsageService, budgets: BudgetService, policy: AccessPolicy, clock: Clock
) -> APIRouter:
    """Build the routes of the page and of its table for spreadsheets, for users who are logged in."""
    router = direct_router("pages", in_schema=False)

    @router.get("/spending")
    async def show_spending(request: Request) -> Response:
        user: User | None = request.state.user
        if user is None:
            return pages.to_login("/spending")
        report = await report_of(request, user)
        totals = await usage.totals_of(user)
        sums = (("Today", totals.today), ("This month", totals.month), ("In all", totals.ever))
        this_month, next_month = clock.now().date().replace(day=1), report.last + timedelta(days=1)
        return pages.render(
            request,
            "spending.html",
            sums=[present_sum(label, total) for label, total in sums],
            budgets=[present_budget(balance) for balance in await budgets.balances_of(user.username)],
            month=month_text(report.first),
            month_name=f"{report.first:%B %Y}",
            earlier=report.first - timedelta(days=1) if report.first > FIRST_DAY else None,
            later=next_month if next_month <= this_month else None,
            **present_days(report),
        )

    @router.get("/spending.csv")
    async def get_table(request: Request) -> Response:
        report = await report_of(request, policy.require_user(request))
        headers = {
            "Cache-Control": "private, no-store",
            "Content-Disposition": f'attachment; filename="spending-{month_text(report.first)}.csv"',
        }
        return Response(usage_as_csv(report), headers=headers, media_type="text/csv")

    async def report_of(request: Request, user: User) -> UsageReport:
        month = month_of(request.query_params.get("month", ""), clock.now().date())
        # Staff see their own here too.
        days = {"from": month.isoformat(), "to": last_of(month).isoformat(), "user": user.username}
        return await usage.usage(user, {"by": "day", **days})

    return router
