"""The route of the metrics."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.observation.surveyor import Surveyor
from pixyproxy.domain.accounts.authority import require_admin
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.openapi import LOGIN, SECURITY, problems
from pixyproxy.ports.observation.metrics import Metrics

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def build_metrics_router(metrics: Metrics, surveyor: Surveyor, policy: AccessPolicy, *, is_open: bool) -> APIRouter:
    """Build the route for Prometheus, which is for admins unless it is open."""
    router = direct_router("service")

    @router.get(
        "/metrics",
        summary="Get the metrics of all workers",
        response_class=Response,
        response_description="The text format of Prometheus.",
        responses={
            **problems(*(() if is_open else (403,))),
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        },
        openapi_extra={"security": SECURITY if is_open else LOGIN},
    )
    async def get_metrics(request: Request) -> Response:
        if not is_open:
            require_admin(policy.require_user(request))
        text = await metrics.exposition(await surveyor.survey())
        return Response(text, headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"})

    return router
