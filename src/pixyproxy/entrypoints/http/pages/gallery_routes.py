"""The gallery, and the page of one picture."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.signed_urls import VALID_FOR, SignedUrls
from pixyproxy.application.money.budget_service import BudgetService
from pixyproxy.domain import access
from pixyproxy.domain.access import viewer_of
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import UNDER_WAY, Image, Status
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import accepts, read_query
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.pages.create_routes import MakeForm
from pixyproxy.entrypoints.http.pages.filters import Query, address_of, chips_of, is_filtered, query_text, search_of
from pixyproxy.entrypoints.http.pages.making.form_pictures import new_key
from pixyproxy.entrypoints.http.pages.picture import find_all_ready, present_picture, shortened
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.pages.spending import present_left
from pixyproxy.entrypoints.http.pages.texts import problem_text
from pixyproxy.entrypoints.http.representation.image_detail import Links, content_path, present_time
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.ports.clock import Clock

_TITLE_CHARS = 120
_EDITS_SHOWN = 12


def build_gallery_router(
    pages: PageRenderer,
    images: ImageService,
    budgets: BudgetService,
    make_form: MakeForm,
    policy: AccessPolicy,
    links: Links,
    signed_urls: SignedUrls,
    clock: Clock,
) -> APIRouter:
    """Build the routes of the gallery, of one picture, and of links to private pictures."""
    router = direct_router("pages", in_schema=False)

    @router.get("/")
    async def show_gallery(request: Request) -> Response:
        if not accepts(request, "text/html"):
            return Response(status_code=307, headers={"Location": links.path("/docs")})
        query, user = read_query(request, repeatable={"tag", "edit"}, numbers={"limit"}), request.state.user
        use, edit = query.pop("use", ""), query.pop("edit", [])
        if user is None and (query.get("mine") or not policy.anonymous_may_read):
            return pages.to_login(address_of(query))
        shown: list[dict[str, Any]] = []
        next_cursor = problem = None
        try:
            page = await images.search(policy.require_reader(request), search_of(query, user))
            shown = [present_picture(image, links, viewer_of(user)) for image in page.items]
            next_cursor = page.next_cursor
        except DataValidationError as error:
            problem = _present_problem(error, query)
        return pages.render(
            request,
            "gallery.html",
            200 if problem is None else 422,
            words=query.get("prompt", ""),
            hidden=[(name, value) for name, value in _pairs(query) if name not in {"prompt", "cursor"}],
            chips=chips_of(
                query,
                user,
                [tag for picture in shown for tag in picture["tags"]],
                [picture["model"] for picture in shown if picture["model"]],
                clock.now(),
            ),
            pictures=shown,
            query=query_text(query),
            filtered=is_filtered(query),
            problem=problem,
            money=user and present_left(await budgets.balances_of(user.username)),
            first=address_of(query) if query.get("cursor") else None,
            waiting=[present_picture(image, links, viewer_of(user)) for image in await _under_way(images, user, query)],
            make=await make_form.values(viewer_of(user), str(use), edit if isinstance(edit, list) else []),
            next=next_cursor and address_of(query, cursor=next_cursor),
        )

    @router.get("/view/{guid}")
    async def show_picture(request: Request, guid: str) -> Response:
        user = request.state.user
        if user is None and not policy.anonymous_may_read:
            return pages.to_login(f"/view/{guid}")
        viewer = policy.require_reader(request)
        image = await images.get(viewer, guid)
        query = read_query(request, repeatable={"tag"}, numbers={"limit"})
        try:
            newer, older = await images.beside(viewer, image, search_of(query, user))
        except DataValidationError:
            newer = older = None
        sources = await find_all_ready(images, viewer, image.request.derived_from)
        edits = await images.search(viewer, {"derived_from": image.guid, "limit": _EDITS_SHOWN})
        is_public = image.request.is_public and image.status is Status.READY
        return pages.render(
            request,
            "view.html",
            picture=present_picture(image, links, viewer, await images.place_of(image)),
            title=shortened(" ".join(image.request.prompt.split()), _TITLE_CHARS),
            newer=newer and f"/view/{newer.guid}{query_text(query)}",
            older=older and f"/view/{older.guid}{query_text(query)}",
            back=address_of(query),
            can_hide=await images.can_hide(viewer, image),
            made_from=[present_picture(source, links, viewer) for source in sources],
            made_into=[present_picture(edit, links, viewer) for edit in edits.items],
            is_shared=is_public and policy.anonymous_may_read,
            can_edit=make_form.can_edit(),
            key=new_key(),
            waits=image.status in UNDER_WAY,
            absolute=lambda path: links.absolute(request, path),
        )

    @router.post("/view/{guid}/link")
    async def make_link(request: Request, guid: str) -> Response:
        viewer = access.viewer_of(policy.require_user(request))
        image = await images.get(viewer, guid)
        access.require_link_maker(image, viewer)
        until = clock.now() + VALID_FOR
        path = f"{content_path(image)}?{signed_urls.query_for(image.guid)}"
        return json_response({"url": links.absolute(request, path), "until": present_time(until)})

    return router


def _present_problem(error: DataValidationError, query: Query) -> dict[str, str]:
    """Return the words for a search that cannot be done, and the way out."""
    if any(loc == ("cursor",) for loc, _ in error.errors):
        text = "The address of this page of pictures is not complete, or was made by another service."
        way_out = {"way_out": address_of(query), "label": "Newest pictures"}
        return {"title": "There is no such page", "text": text, **way_out}
    text = problem_text(error)
    return {"title": "This search cannot be done", "text": text, "way_out": "/", "label": "All pictures"}


async def _under_way(images: ImageService, user: User | None, query: Query) -> list[Image]:
    """Return the user's pictures that are being made, for the first page of all pictures or of the user's own."""
    if user is None or query.get("cursor") or is_filtered({**query, "mine": None}):
        return []
    searches = (images.search(viewer_of(user), {"status": status.value}) for status in UNDER_WAY)
    found = [image for page in await asyncio.gather(*searches) for image in page.items]
    return sorted(found, key=lambda image: image.id, reverse=True)


def _pairs(query: Query) -> list[tuple[str, object]]:
    return [(name, item) for name, value in query.items() for item in (value if isinstance(value, list) else [value])]
