"""The pages to log in and out."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.accounts.session_service import SessionService
from pixyproxy.domain.errors import (
    AccountPausedError,
    AuthenticationError,
    DataValidationError,
    PlacesTakenError,
    TooManyLoginsError,
)
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.pages.forms import local_path, read_form
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.representation.problems import error_headers, status_of
from pixyproxy.entrypoints.http.session_cookie import SessionCookie

_REFUSALS = (AuthenticationError, AccountPausedError, DataValidationError, TooManyLoginsError, PlacesTakenError)


def build_login_router(
    pages: PageRenderer, sessions: SessionService, cookie: SessionCookie, public_url: str | None
) -> APIRouter:
    """Build the routes of the login page and of the forms that log in and out."""
    router = direct_router("pages", in_schema=False)

    @router.get("/login")
    async def show_login(request: Request) -> Response:
        then = local_path(request.query_params.get("next", "/"))
        if request.state.user is not None:
            return pages.redirect(then)
        return pages.render(request, "login.html", then=then, username="", problem=None)

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        form = await read_form(request, public_url)
        username, password, then = (form.get(name, [""])[0] for name in ("username", "password", "next"))
        then = local_path(then)
        if not username or not password:
            problem = "Enter your name and your password."
            return pages.render(request, "login.html", 422, then=then, username=username, problem=problem)
        credentials = {"username": username, "password": password}
        try:
            token, _ = await sessions.begin(credentials, request.state.address, replaced=cookie.token(request.scope))
        except _REFUSALS as error:
            status = status_of(error)
            headers = error_headers(request, error, status)
            # A browser would open its password box over the page.
            headers.pop("WWW-Authenticate", None)
            return pages.render(
                request, "login.html", status, headers, then=then, username=username, problem=error.message
            )
        response = pages.redirect(then)
        cookie.set(request.scope, response, token)
        return response

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        await read_form(request, public_url)
        token = cookie.token(request.scope)
        if token is not None:
            await sessions.end(token)
        response = pages.redirect("/")
        cookie.delete(request.scope, response)
        return response

    return router
