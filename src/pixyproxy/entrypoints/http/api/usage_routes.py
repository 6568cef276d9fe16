"""The route of usage."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.commands import GetUsage
from pixyproxy.application.money.usage_service import UsageService
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import accepts, read_query
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.openapi import SECURITY, problems, query_parameters
from pixyproxy.entrypoints.http.representation.schemas import UsageDetail
from pixyproxy.entrypoints.usage_table import present_usage, usage_as_csv

_CSV = "text/csv"


def build_usage_router(usage: UsageService, policy: AccessPolicy) -> APIRouter:
    """Build the route for callers who may read."""
    router = direct_router("money")

    @router.get(
        "/usage",
        response_model=list[UsageDetail],
        summary="Sum up usage by user, class, model or day",
        responses={
            200: {
                "description": "A row for each group that has any; `Accept: text/csv` gets them for a spreadsheet.",
                "content": {_CSV: {"schema": {"type": "string"}}},
            },
            **problems(403, 422),
        },
        openapi_extra={"security": SECURITY, "parameters": query_parameters(GetUsage)},
    )
    async def get_usage(request: Request) -> Response:
        policy.require_reader(request)
        report = await usage.usage(request.scope["state"]["user"], read_query(request))
        if accepts(request, "application/json") or not accepts(request, _CSV):
            return json_response(present_usage(report), headers={"Vary": "Accept"})
        headers = {
            "Cache-Control": "no-store",
            "Vary": "Accept",
            "Content-Disposition": f'attachment; filename="usage-{report.first}-{report.last}.csv"',
        }
        return Response(usage_as_csv(report), headers=headers, media_type=_CSV)

    return router
