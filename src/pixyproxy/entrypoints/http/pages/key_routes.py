"""The page of a user's own API keys, and its forms that make and revoke one."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.accounts.key_service import PREFIX, KeyService
from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import ConstraintViolationError, DataValidationError, RecordNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.pages.forms import read_form
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.pages.texts import problem_text
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.problems import status_of
from pixyproxy.ports.clock import Clock


def build_key_page_router(
    pages: PageRenderer, keys: KeyService, links: Links, public_url: str | None, clock: Clock
) -> APIRouter:
    """Build the routes for users who are logged in, each for the own keys."""
    router = direct_router("pages", in_schema=False)

    @router.get("/keys")
    async def show_keys(request: Request) -> Response:
        user: User | None = request.state.user
        return pages.to_login("/keys") if user is None else await page(request, user)

    @router.post("/keys")
    async def make_key(request: Request) -> Response:
        form = await read_form(request, public_url)
        user: User | None = request.state.user
        if user is None:
            return pages.to_login("/keys")
        given = {name: form.get(name, [""])[0].strip() for name in ("name", "expires")}
        try:
            secret, key = await keys.add_own(user, {name: text or None for name, text in given.items()})
        except (DataValidationError, ConstraintViolationError) as error:
            return await page(request, user, status_of(error), problem=problem_text(error), given=given)
        # The secret is in this response only: no address leads back to it.
        return await page(request, user, 201, secret=secret, made=key.key_id)

    @router.post("/keys/{key_id}/revoke")
    async def revoke_key(request: Request, key_id: str) -> Response:
        await read_form(request, public_url)
        user: User | None = request.state.user
        if user is None:
            return pages.to_login("/keys")
        try:
            await keys.revoke_own(user, key_id)
        except RecordNotFoundError as error:
            return await page(request, user, status_of(error), problem=error.message)
        return pages.redirect("/keys")

    async def page(
        request: Request,
        user: User,
        status: int = 200,
        *,
        secret: str | None = None,
        made: str | None = None,
        problem: str | None = None,
        given: dict[str, str] | None = None,
    ) -> Response:
        found = await keys.list(user.username)
        return pages.render(
            request,
            "keys.html",
            status,
            keys=[_present(key, clock) for key in reversed(found)],
            secret=secret,
            made=made,
            problem=problem,
            given=given or {"name": "", "expires": ""},
            base_url=links.absolute(request, "/v1"),
            key_text=secret or f"{PREFIX}…",
        )

    return router


def _present(key: ApiKey, clock: Clock) -> dict[str, object]:
    return {
        "id": key.key_id,
        "name": key.name,
        "begins_with": f"{PREFIX}{key.key_id}…",
        "created": f"{key.created_at:%-d %b %Y}",
        "expires": None if key.expires_at is None else f"{key.expires_at:%-d %b %Y, %H:%M} UTC",
        "has_expired": key.has_expired(clock.now()),
    }
