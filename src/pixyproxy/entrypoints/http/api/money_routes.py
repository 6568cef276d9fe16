"""The routes about money: prices and budgets."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from pixyproxy.application.commands import PriceImages, SetBudget
from pixyproxy.application.money.budget_service import BudgetService
from pixyproxy.application.money.pricing import Pricing
from pixyproxy.application.money.staff_budgets import StaffBudgets
from pixyproxy.domain.access import username_of
from pixyproxy.domain.money.amounts import format_usd
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import read_json
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.budget_detail import present_balance
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.openapi import LOGIN, SECURITY, problems, request_body
from pixyproxy.entrypoints.http.representation.schemas import BudgetDetail, PriceDetail

Scope = Annotated[str, Path(description="`service`, `class:KEY`, `user:NAME`, or `each:KEY` for each user of a class.")]


def build_money_router(
    pricing: Pricing, budgets: BudgetService, staff: StaffBudgets, policy: AccessPolicy
) -> APIRouter:
    """Build the routes for callers who may read; staff set and remove budgets."""
    router = direct_router("money")

    @router.post(
        "/price",
        response_model=PriceDetail,
        summary="Tell the price of a picture without making it",
        response_description="The price. Nothing is made, recorded or paid.",
        responses=problems(400, 403, 404, 409, 413, 415, 422),
        openapi_extra={"security": SECURITY, **request_body(PriceImages, {"prompt": "a rubber duck on a sink"})},
    )
    async def price_image(request: Request) -> Response:
        viewer = policy.require_reader(request)
        price = await pricing.price(viewer, await read_json(request))
        return json_response(
            {
                "usd_max": format_usd(price.usd_max),
                "usd_typical": format_usd(price.usd_typical),
                "state": price.state,
                "source": price.source,
                "budgets": [present_balance(balance) for balance in await budgets.balances_of(username_of(viewer))],
            }
        )

    @router.get(
        "/budget",
        response_model=list[BudgetDetail],
        summary="List the budgets that apply to the caller",
        description="Teachers see those of their class and its students too, administrators all.",
        response_description="The budgets, with what has been taken of each in the current period.",
        responses=problems(),
        openapi_extra={"security": SECURITY},
    )
    async def list_budgets(request: Request) -> Response:
        policy.require_reader(request)
        balances = await staff.visible_to(request.state.user)
        return json_response([present_balance(balance) for balance in balances])

    @router.put(
        "/budget/{scope:path}",
        response_model=BudgetDetail,
        summary="Set the budget of a scope, in place of the one that it had",
        description="A teacher sets those of students of the own class, up to the cap of the class. What was charged "
        "in the current period counts.",
        response_description="The budget. That of each user of a class has no sums of its own.",
        responses=problems(400, 404, 413, 415, 422),
        openapi_extra={"security": LOGIN, **request_body(SetBudget, {"cap_usd": "25.00", "per": "month"})},
    )
    async def set_budget(request: Request, scope: Scope) -> Response:
        balance = await staff.set(policy.require_user(request), scope, await read_json(request))
        return json_response(present_balance(balance))

    @router.delete(
        "/budget/{scope:path}",
        status_code=204,
        response_class=Response,
        summary="Remove the budget of a scope; its charges stay in the ledger",
        response_description="The budget is removed.",
        responses=problems(404),
        openapi_extra={"security": LOGIN},
    )
    async def remove_budget(request: Request, scope: Scope) -> Response:
        await staff.remove(policy.require_user(request), scope)
        return Response(status_code=204)

    return router
