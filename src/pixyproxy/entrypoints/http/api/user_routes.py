"""The routes of teachers and administrators around users."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from pixyproxy.application.accounts.account_commands import ChangeUser, ImportUsers, ListUsers, NewUser
from pixyproxy.application.accounts.roster_import import RESULT, RosterImport
from pixyproxy.application.accounts.roster_service import Member, RosterService
from pixyproxy.application.commands import validate
from pixyproxy.domain.accounts import authority
from pixyproxy.domain.money.charges import Amounts
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import (
    MAX_BODY_BYTES,
    BoundedRequest,
    media_type_of,
    read_json,
    read_query,
)
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.account_schemas import AddedUser, UserDetail
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.openapi import (
    LOGIN,
    header,
    problems,
    query_parameters,
    request_body,
)
from pixyproxy.entrypoints.http.representation.user import present_member
from pixyproxy.entrypoints.spreadsheet import to_csv

_CSV = "text/csv"
Name = Annotated[str, Path(description="The username.")]


class UsernameConvertor(PathConvertor):
    """Any username in a path, with slashes too, but `me` and `import`, which nobody new is called."""

    regex = "(?!(me|import)$).+"


register_url_convertor("username", UsernameConvertor())


def build_user_router(roster: RosterService, imports: RosterImport, policy: AccessPolicy, links: Links) -> APIRouter:
    """Build the routes: a teacher acts on the students of the own class, an administrator on everybody."""
    router = direct_router("users")

    @router.get(
        "/user",
        response_model=list[UserDetail],
        summary="List users by name, with what they spent in this month",
        responses={
            200: {
                "description": "A page of the users whom the caller may act on.",
                "headers": {"Link": header('The next page, if there is one: `<…>; rel="next"` (RFC 8288).')},
            },
            **problems(422),
        },
        openapi_extra={"security": LOGIN, "parameters": query_parameters(ListUsers)},
    )
    async def list_users(request: Request) -> Response:
        viewer = policy.require_user(request)
        query = read_query(request, numbers={"limit"})
        page = await roster.list(viewer, query)
        headers = {} if page.next_cursor is None else {"Link": links.next_page(request, page.next_cursor, query)}
        return json_response([present_member(member) for member in page.members], headers=headers)

    @router.post(
        "/user",
        status_code=201,
        response_model=AddedUser,
        summary="Add a user",
        description="A teacher adds students to the own class. A password that is left out is made.",
        response_description="The user was added.",
        responses=problems(400, 409, 413, 415, 422),
        openapi_extra={"security": LOGIN, **request_body(NewUser, {"username": "carol"})},
    )
    async def add_user(request: Request) -> Response:
        user, made = await roster.add(policy.require_user(request), await read_json(request))
        detail = present_member(Member(user, Amounts()))
        return json_response(detail if made is None else detail | {"password": made}, 201)

    @router.post(
        "/user/import",
        response_class=Response,
        summary="Import a file of users: all of it or nothing",
        description="The columns are `user`, and optionally `password`, `class_key`, `role` and `valid_until`. Users "
        "who are missing are added, and of the others is changed what differs; an empty cell says nothing. Passwords "
        "that are missing are made and shown once in the response.",
        responses={
            200: {"description": "A line for each user: what was done.", "content": {_CSV: {}}},
            **problems(404, 409, 413, 415, 422),
        },
        openapi_extra={
            "security": LOGIN,
            "parameters": query_parameters(ImportUsers),
            "requestBody": {
                "required": True,
                "content": {_CSV: {"schema": {"type": "string"}, "example": "user,class_key\ncarol,9a\n"}},
            },
        },
    )
    async def import_users(request: Request) -> Response:
        viewer = policy.require_user(request)
        authority.require_staff(viewer)
        command = validate(ImportUsers, read_query(request))
        if media_type_of(request) != _CSV:
            raise HTTPException(415, "Send the file as CSV, with Content-Type: text/csv.")
        content = await BoundedRequest(request, MAX_BODY_BYTES).body()
        results = await imports.run(viewer, content, dry_run=command.dry_run == "1", with_keys=command.keys == "1")
        table = to_csv(RESULT, [result.row() for result in results])
        return Response(table, headers={"Cache-Control": "no-store"}, media_type=_CSV)

    @router.patch(
        "/user/{name:username}",
        response_model=UserDetail,
        summary="Change a user, or your own password",
        response_description="The changed user.",
        responses=problems(400, 404, 413, 415, 422, 429),
        openapi_extra={"security": LOGIN, **request_body(ChangeUser, {"paused": False})},
    )
    async def change_user(request: Request, name: Name) -> Response:
        viewer = policy.require_user(request)
        member = await roster.change(viewer, name, await read_json(request), request.state.address)
        return json_response(present_member(member))

    @router.delete(
        "/user/{name:username}",
        status_code=204,
        response_class=Response,
        summary="Remove a user with all keys; the pictures stay, and the name is reserved",
        response_description="The user is removed.",
        responses=problems(404),
        openapi_extra={"security": LOGIN},
    )
    async def remove_user(request: Request, name: Name) -> Response:
        await roster.remove(policy.require_user(request), name)
        return Response(status_code=204)

    return router
