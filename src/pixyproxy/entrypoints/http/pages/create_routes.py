"""The forms that have pictures made and cancel one that waits, for browsers without a script."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from pixyproxy.application.fields import MAX_IMAGES
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain import access
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.errors import DataValidationError, ImageNotFoundError, ImageNotQueuedError, PixyProxyException
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.pages.forms import read_form
from pixyproxy.entrypoints.http.pages.picture import present_picture
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.pages.texts import problem_text
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.problems import error_headers, log_error, status_of

_OPTIONS = ("model", "size", "quality", "background", "output_format")
_MOST_PICTURES = 4
_BETWEEN_TAGS = re.compile(r"[,\n]")


class MakeForm:
    """The contents of the form that has pictures made."""

    def __init__(self, images: ImageService, links: Links) -> None:
        self._images = images
        self._links = links

    async def values(self, viewer: Viewer, use: str, edit: Sequence[str]) -> dict[str, Any]:
        """Return what the form shows: the prompt and options of the picture `use`, and the pictures to `edit`.

        Pictures that the viewer may not see are left out.
        """
        given: dict[str, object] = {}
        if use and (image := await self._visible(viewer, use)):
            options = {name: image.request.parameters.get(name) for name in _OPTIONS}
            given = {"prompt": image.request.prompt, "visibility": image.request.visibility.value, **options}
            edit = [*edit, *image.request.derived_from]
        return await self.shown(viewer, given, edit)

    async def shown(self, viewer: Viewer, given: Mapping[str, object], edit: Sequence[str]) -> dict[str, Any]:
        """Return what the form shows with these values of fields, and a new idempotency key."""
        sources = [image for image in [await self._visible(viewer, guid) for guid in edit[:MAX_IMAGES]] if image]
        return {
            "key": secrets.token_urlsafe(18),
            "can_edit": self.can_edit(),
            "sources": [present_picture(image, self._links, viewer) for image in sources],
            **{name: str(given.get(name) or "") for name in ("prompt", "visibility", "tags", "n", *_OPTIONS)},
        }

    def can_edit(self) -> bool:
        """Return whether pictures can be made from others."""
        try:
            self._images.require_editing()
        except PixyProxyException:
            return False
        return True

    async def _visible(self, viewer: Viewer, guid: str) -> Image | None:
        try:
            return await self._images.get(viewer, guid)
        except ImageNotFoundError:
            return None


def build_create_router(
    pages: PageRenderer, images: ImageService, form: MakeForm, policy: AccessPolicy, public_url: str | None
) -> APIRouter:
    """Build the routes of the forms."""
    router = direct_router("pages", in_schema=False)

    @router.post("/create")
    async def create_pictures(request: Request) -> Response:
        fields = await read_form(request, public_url)
        viewer = policy.require_writer(request)
        given = {name: values[0] for name, values in fields.items()}
        key = given.get("key") or secrets.token_urlsafe(18)
        try:
            body, count = _body_of(fields), _count_of(given.get("n", ""))
            guids = []
            for number in range(count):
                outcome = await images.create(
                    viewer, body, idempotency_key=f"{key}-{number}", wait=False, caller=request.state.caller
                )
                guids.append(outcome.image.guid)
        except PixyProxyException as error:
            status = status_of(error)
            log_error(error, status)
            headers = error_headers(request, error, status)
            # Nothing is lost: what was typed is shown again.
            make = await form.shown(viewer, given, fields.get("edit_of", []))
            return pages.render(request, "create.html", status, headers, make=make, problem=problem_text(error))
        return pages.redirect(f"/view/{guids[0]}" if len(guids) == 1 else "/")

    @router.post("/view/{guid}/cancel")
    async def cancel_picture(request: Request, guid: str) -> Response:
        await read_form(request, public_url)
        viewer = access.viewer_of(policy.require_user(request))
        try:
            await images.delete(viewer, guid, {"status": "queued"})
        except ImageNotQueuedError:
            # Its call has begun: it goes on, and its page shows how.
            return pages.redirect(f"/view/{guid}")
        return pages.redirect("/")

    return router


def _body_of(fields: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Return the body of `POST /image` for a form; fields that are blank are left to the service."""
    body: dict[str, object] = {"prompt": fields.get("prompt", [""])[0]}
    for name in (*_OPTIONS, "visibility"):
        if text := fields.get(name, [""])[0].strip():
            body[name] = text
    if tags := [tag for tag in _BETWEEN_TAGS.split(fields.get("tags", [""])[0]) if tag.strip()]:
        body["tags"] = [tag.strip().removeprefix("#") for tag in tags]
    if sources := [guid for guid in fields.get("edit_of", []) if guid]:
        body["edit_of"] = sources
    return body


def _count_of(text: str) -> int:
    """Return the number of pictures; raise DataValidationError unless it is from 1 to 4."""
    count = int(text) if len(text) == 1 and text.isdecimal() and text.isascii() else 0 if text else 1
    if not 1 <= count <= _MOST_PICTURES:
        raise DataValidationError.at(("n",), f"must be a number from 1 to {_MOST_PICTURES}")
    return count
