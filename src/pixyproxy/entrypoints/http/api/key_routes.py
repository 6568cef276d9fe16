"""The routes of the caller's own API keys."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from pixyproxy.application.accounts.account_commands import NewKey
from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import read_json
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.account_schemas import AddedKey, KeyDetail
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.openapi import LOGIN, problems, request_body
from pixyproxy.entrypoints.http.representation.user import present_key

KeyId = Annotated[str, Path(description="The id of the key, never the whole key.")]


def build_key_router(keys: KeyService, policy: AccessPolicy) -> APIRouter:
    """Build the routes for callers who are logged in, each for the own keys."""
    router = direct_router("users")

    @router.get(
        "/key",
        response_model=list[KeyDetail],
        summary="List your API keys, oldest first",
        response_description="The keys, without their secrets.",
        responses=problems(),
        openapi_extra={"security": LOGIN},
    )
    async def list_keys(request: Request) -> Response:
        user = policy.require_user(request)
        return json_response([present_key(key) for key in await keys.list(user.username)])

    @router.post(
        "/key",
        status_code=201,
        response_model=AddedKey,
        summary="Make an API key",
        response_description="The key, which is not shown again.",
        responses=problems(400, 409, 413, 415, 422),
        openapi_extra={"security": LOGIN, **request_body(NewKey, {"name": "my laptop", "expires": "30d"})},
    )
    async def add_key(request: Request) -> Response:
        secret, key = await keys.add_own(policy.require_user(request), await read_json(request))
        return json_response({**present_key(key), "key": secret}, 201)

    @router.delete(
        "/key/{key_id}",
        status_code=204,
        response_class=Response,
        summary="Revoke one of your API keys with immediate effect",
        response_description="The key is revoked.",
        responses=problems(404),
        openapi_extra={"security": LOGIN},
    )
    async def revoke_key(request: Request, key_id: KeyId) -> Response:
        await keys.revoke_own(policy.require_user(request), key_id)
        return Response(status_code=204)

    return router
