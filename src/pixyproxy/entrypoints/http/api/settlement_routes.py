"""The route by which an administrator settles what the upstream left open."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.commands import SettleImage
from pixyproxy.application.money.budget_service import BudgetService
from pixyproxy.domain.image import parse_guid
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import read_json
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.openapi import LOGIN, Guid, problems, request_body
from pixyproxy.entrypoints.http.representation.schemas import SettlementDetail


def build_settlement_router(budgets: BudgetService, policy: AccessPolicy) -> APIRouter:
    """Build the route. Its responses hold no more of an image than its cost: the image may be private."""
    router = direct_router("money")

    @router.post(
        "/image/{guid}/settlement",
        response_model=SettlementDetail,
        summary="Say what was billed for an image that is unknown",
        response_description="The settled image.",
        responses=problems(400, 403, 404, 409, 413, 415, 422),
        openapi_extra={"security": LOGIN, **request_body(SettleImage, {"billed_usd": "0.041"})},
    )
    async def settle_image(request: Request, guid: Guid) -> Response:
        image = await budgets.settle_for(policy.require_user(request), guid, await read_json(request))
        cost = None if image is None or image.cost is None else image.cost.as_json()
        status = None if image is None else image.status
        return json_response({"guid": parse_guid(guid), "status": status, "cost": cost})

    return router
