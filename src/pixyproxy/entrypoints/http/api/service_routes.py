"""The routes about the caller and about the service itself."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.maintenance.readiness import Readiness
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.account_schemas import Me
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.openapi import LOGIN, SECURITY, problems
from pixyproxy.entrypoints.http.representation.schemas import Alive, Ready
from pixyproxy.entrypoints.http.representation.user import present_me


def build_service_router(readiness: Readiness, policy: AccessPolicy) -> APIRouter:
    """Build the routes of the current user and of the health checks."""
    router = direct_router("service")

    @router.get(
        "/user/me",
        response_model=Me,
        summary="Get the user who is logged in",
        response_description="The user whose credentials were sent.",
        responses=problems(),
        openapi_extra={"security": LOGIN},
    )
    async def get_me(request: Request) -> Response:
        user = policy.require_user(request)
        return json_response(present_me(user))

    @router.get(
        "/healthz",
        response_model=Alive,
        summary="Check that the process is alive",
        response_description="The process is alive.",
        responses=problems(),
        openapi_extra={"security": SECURITY},
    )
    async def get_health(_: Request) -> Response:
        return json_response({"status": "ok"})

    @router.get(
        "/readyz",
        response_model=Ready,
        summary="Check that every part needed to serve is available",
        response_description="Every part is available.",
        responses={
            **problems(),
            503: {**problems()[503], "description": "A part is not available: one that is not `ok`.", "model": Ready},
        },
        openapi_extra={"security": SECURITY},
    )
    async def get_readiness(_: Request) -> Response:
        parts = await readiness.check()
        ready = all(outcome == "ok" for outcome in parts.values())
        status = {"status": "ok" if ready else "unavailable"}
        return json_response({**status, **parts}, 200 if ready else 503, {} if ready else {"Retry-After": "5"})

    return router
