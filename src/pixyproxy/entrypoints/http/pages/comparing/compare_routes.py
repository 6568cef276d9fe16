"""Two pictures side by side, and the choice of the second."""

from typing import Any

from fastapi import APIRouter, Request, Response

from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.errors import DataValidationError, ImageNotFoundError
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import read_query
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.pages.comparing.comparison import compare_pictures
from pixyproxy.entrypoints.http.pages.filters import Query, query_text
from pixyproxy.entrypoints.http.pages.picture import find_all_ready, find_ready, present_picture
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.representation.image_detail import Links

_SHOWN = 24
_RELATED = 12


def build_compare_router(pages: PageRenderer, images: ImageService, policy: AccessPolicy, links: Links) -> APIRouter:
    """Build the route of the comparison: `a` and `b` are GUIDs; without `b` the page lets one choose it."""
    router = direct_router("pages", in_schema=False)

    @router.get("/compare")
    async def show_comparison(request: Request) -> Response:
        query = read_query(request)
        if request.state.user is None and not policy.anonymous_may_read:
            return pages.to_login(f"/compare{query_text(query)}")
        viewer = policy.require_reader(request)
        guids = [str(query.pop(name, "")) for name in ("a", "b")]
        if not guids[0]:
            raise DataValidationError.at(("a",), "must be the GUID of a picture")
        first = await ready(viewer, guids[0])
        if not guids[1]:
            return await choice(request, viewer, first, query)
        shown = [present_picture(image, links, viewer) for image in (first, await ready(viewer, guids[1]))]
        return pages.render(request, "compare.html", pictures=shown, rows=compare_pictures(*shown))

    async def choice(request: Request, viewer: Viewer, first: Image, query: Query) -> Response:
        """Return the page on which the second picture is chosen: relatives of the first, and all others by search."""
        search = {name: value for name, value in query.items() if value}
        page = await images.search(viewer, {"limit": _SHOWN, **search})
        made_from = await find_all_ready(images, viewer, first.request.derived_from)
        made_into = (await images.search(viewer, {"derived_from": first.guid, "limit": _RELATED})).items
        older = page.next_cursor and f"/compare{query_text({'a': first.guid, **query, 'cursor': page.next_cursor})}"

        def others(found: list[Image]) -> list[dict[str, Any]]:
            return [present_picture(image, links, viewer) for image in found if image.guid != first.guid]

        return pages.render(
            request,
            "choose.html",
            first=present_picture(first, links, viewer),
            words=query.get("prompt", ""),
            related=others([*made_from, *made_into]),
            pictures=others(list(page.items)),
            older=older,
        )

    async def ready(viewer: Viewer, guid: str) -> Image:
        image = await find_ready(images, viewer, guid)
        if image is None:
            raise ImageNotFoundError("There is no such picture to compare, or none that you may see.")
        return image

    return router
