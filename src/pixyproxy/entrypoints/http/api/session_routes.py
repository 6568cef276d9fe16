"""The routes of login sessions, for the page and for other scripts in a browser."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.accounts.account_commands import LogIn
from pixyproxy.application.accounts.session_service import SessionService
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.api.requests import read_json
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.account_schemas import CurrentSession, LoggedIn
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.openapi import SECURITY, header, problems, request_body
from pixyproxy.entrypoints.http.representation.user import present_user
from pixyproxy.entrypoints.http.session_cookie import SessionCookie

_EXAMPLE = {"username": "alice", "password": "the password of alice"}
_SET_COOKIE = {"Set-Cookie": header("The session: `__Host-pixyproxy`, or `pixyproxy` on http.")}


def build_session_router(sessions: SessionService, cookie: SessionCookie) -> APIRouter:
    """Build the routes that begin, show and end the session of a browser."""
    router = direct_router("service")

    @router.post(
        "/session",
        response_model=LoggedIn,
        summary="Log in",
        description="The session lasts until 14 days after its last use, a logout, a new password or a pause.",
        responses={
            200: {"description": "The user who is logged in.", "headers": _SET_COOKIE},
            **problems(400, 403, 413, 415, 422, 429),
        },
        openapi_extra={"security": SECURITY, **request_body(LogIn, _EXAMPLE)},
    )
    async def begin_session(request: Request) -> Response:
        credentials = await read_json(request)
        replaced = cookie.token(request.scope)
        token, user = await sessions.begin(credentials, request.state.address, replaced=replaced)
        response = json_response(present_user(user))
        cookie.set(request.scope, response, token)
        return response

    @router.get(
        "/session",
        response_model=CurrentSession,
        summary="Get the user of the session",
        response_description="The user; `username` is null if nobody is logged in.",
        responses=problems(),
        openapi_extra={"security": SECURITY},
    )
    async def get_session(request: Request) -> Response:
        user: User | None = request.scope["state"]["user"]
        return json_response({"username": None} if user is None else present_user(user))

    @router.delete(
        "/session",
        status_code=204,
        response_class=Response,
        summary="Log out",
        responses={204: {"description": "There is no session any more.", "headers": _SET_COOKIE}, **problems(403)},
        openapi_extra={"security": SECURITY},
    )
    async def end_session(request: Request) -> Response:
        token = cookie.token(request.scope)
        if token is not None:
            await sessions.end(token)
        response = Response(status_code=204)
        cookie.delete(request.scope, response)
        return response

    return router
