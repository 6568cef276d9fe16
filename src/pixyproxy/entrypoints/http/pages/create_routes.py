"""The forms that have pictures made, vary one, and cancel one that waits, for browsers without a script."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from pixyproxy.application.fields import MAX_IMAGES
from pixyproxy.application.generation.edit_sources import SourceReferences
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain import access
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.errors import DataValidationError, ImageNotQueuedError, PixyProxyException
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.openai_api.edit_body import EditBodyReader
from pixyproxy.entrypoints.http.pages.forms import read_form, require_own_page
from pixyproxy.entrypoints.http.pages.making.create_form import CreateForm, read_create_form
from pixyproxy.entrypoints.http.pages.picture import find_all_ready, find_visible, present_picture
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.pages.texts import problem_text
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.problems import error_headers, log_error, status_of

_OPTIONS = ("model", "size", "quality", "background", "output_format")
_MOST_PICTURES = 4
_BETWEEN_TAGS = re.compile(r"[,\n]")


def new_key() -> str:
    """Return an idempotency key for a form, so that a form that is sent twice makes one picture."""
    return secrets.token_urlsafe(18)


class MakeForm:
    """The contents of the form that has pictures made."""

    def __init__(self, images: ImageService, links: Links, *, has_free_early_views: bool) -> None:
        self._images = images
        self._links = links
        # Nobody pays for early views without having asked for them.
        self._early_views = "2" if has_free_early_views else "0"

    async def values(self, viewer: Viewer, use: str, edit: Sequence[str]) -> dict[str, Any]:
        """Return what the form shows: the prompt and options of the picture `use`, and the pictures to `edit`.

        Pictures that the viewer may not see are left out.
        """
        given: dict[str, str] = {}
        if use and (image := await find_visible(self._images, viewer, use)):
            given = _fields_of(image)
            edit = [*edit, *image.request.derived_from]
        return await self.shown(viewer, given, edit)

    async def variation(self, viewer: Viewer, guid: str) -> tuple[dict[str, str], list[str]]:
        """Return the fields for another picture like this one, and its edit source: itself, where pictures are edited.

        Raises:
            ImageNotFoundError: there is none that the viewer may see.
        """
        image = await self._images.get(viewer, guid)
        return _fields_of(image), [image.guid] if self.can_edit() else []

    async def shown(self, viewer: Viewer, given: Mapping[str, str], edit: Sequence[str]) -> dict[str, Any]:
        """Return what the form shows with these values of fields, and a new idempotency key."""
        sources = await find_all_ready(self._images, viewer, edit[:MAX_IMAGES])
        return {
            "key": new_key(),
            "can_edit": self.can_edit(),
            "early_views": self._early_views,
            "sources": [present_picture(image, self._links, viewer) for image in sources],
            **{name: given.get(name, "") for name in ("prompt", "visibility", "tags", "n", *_OPTIONS)},
        }

    def can_edit(self) -> bool:
        """Return whether pictures can be made from others."""
        try:
            self._images.require_editing()
        except PixyProxyException:
            return False
        return True


def build_create_router(
    pages: PageRenderer,
    images: ImageService,
    form: MakeForm,
    bodies: EditBodyReader,
    policy: AccessPolicy,
    public_url: str | None,
) -> APIRouter:
    """Build the routes of the forms."""
    router = direct_router("pages", in_schema=False)

    @router.post("/create")
    async def create_pictures(request: Request) -> Response:
        require_own_page(request, public_url)
        viewer = policy.require_writer(request)
        sent = await read_create_form(request, bodies, public_url)
        begun: list[str] = []
        try:
            await begin(request, viewer, sent, begun)
        except PixyProxyException as error:
            sent.sources.close()
            hint = " Choose your files again, which a browser does not keep." if sent.has_files else ""
            return await refused(request, viewer, error, sent.fields, sent.stored, hint, begun)
        return pages.redirect(f"/view/{begun[0]}" if len(begun) == 1 else "/")

    @router.post("/view/{guid}/vary")
    async def vary_picture(request: Request, guid: str) -> Response:
        fields = await read_form(request, public_url)
        viewer = policy.require_writer(request)
        given, stored = await form.variation(viewer, guid)
        varied = {**given, "key": fields.get("key", [""])[0]}
        begun: list[str] = []
        try:
            await begin(request, viewer, CreateForm(varied, SourceReferences(stored)), begun)
        except PixyProxyException as error:
            return await refused(request, viewer, error, varied, stored)
        return pages.redirect(f"/view/{begun[0]}")

    async def begin(request: Request, viewer: Viewer, sent: CreateForm, begun: list[str]) -> None:
        """Have the pictures of a form begun, and add their GUIDs: those before an error are paid for."""
        key = sent.fields.get("key") or new_key()
        body, count, caller = _body_of(sent.fields), _count_of(sent.fields.get("n", "")), request.state.caller
        if sent.has_files:
            # The files are there once: all pictures are made by one call.
            outcome = await images.generate(
                viewer, {**body, "n": count}, sent.sources, idempotency_key=f"{key}-0", wait=False, caller=caller
            )
            begun += [image.guid for image in outcome.images]
            return
        if sent.stored:
            body["edit_of"] = sent.stored
        for number in range(count):
            outcome = await images.create(viewer, body, idempotency_key=f"{key}-{number}", wait=False, caller=caller)
            begun.append(outcome.image.guid)

    async def refused(
        request: Request,
        viewer: Viewer,
        error: PixyProxyException,
        given: Mapping[str, str],
        stored: Sequence[str],
        hint: str = "",
        begun: Sequence[str] = (),
    ) -> Response:
        """Return the form with the reason of a refusal: nothing is lost, what was typed is shown again.

        Of several pictures, the form asks for those that are not `begun`.
        """
        status = status_of(error)
        log_error(error, status)
        headers = error_headers(request, error, status)
        wanted = _count_of(given.get("n", "")) if begun else 0
        rest = {**given, "n": str(wanted - len(begun))} if begun else given
        shown = {"make": await form.shown(viewer, rest, stored), "begun": begun, "wanted": wanted}
        return pages.render(request, "create.html", status, headers, problem=problem_text(error) + hint, **shown)

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


def _fields_of(image: Image) -> dict[str, str]:
    """Return the fields of the form for the prompt and options of a picture."""
    request = image.request
    # Of a picture that is made: the model that made it, whose name the generator reported.
    options = {name: str(request.parameters.get(name) or "") for name in _OPTIONS} | {"model": request.model or ""}
    return {"prompt": request.prompt, "visibility": request.visibility.value, **options}


def _body_of(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the body of `POST /image` for a form; fields that are blank are left to the service."""
    body: dict[str, object] = {"prompt": fields.get("prompt", "")}
    for name in (*_OPTIONS, "visibility"):
        if text := fields.get(name, "").strip():
            body[name] = text
    if tags := [tag for tag in _BETWEEN_TAGS.split(fields.get("tags", "")) if tag.strip()]:
        body["tags"] = [tag.strip().removeprefix("#") for tag in tags]
    return body


def _count_of(text: str) -> int:
    """Return the number of pictures; raise DataValidationError unless it is from 1 to 4."""
    count = int(text) if len(text) == 1 and text.isdecimal() and text.isascii() else 0 if text else 1
    if not 1 <= count <= _MOST_PICTURES:
        raise DataValidationError.at(("n",), f"must be a number from 1 to {_MOST_PICTURES}")
    return count
