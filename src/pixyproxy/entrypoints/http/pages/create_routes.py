"""The forms that have pictures made, vary one, and cancel one that waits, for browsers without a script."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from pixyproxy.application.fields import MAX_IMAGES
from pixyproxy.application.generation.edit_sources import SourceReferences
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain import access
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.errors import IdempotencyKeyReusedError, ImageNotQueuedError, PixyProxyException
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import accepts
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.middleware.authentication import require_user_of_page
from pixyproxy.entrypoints.http.openai_api.edit_body import EditBodyReader
from pixyproxy.entrypoints.http.pages.forms import read_form, require_own_page
from pixyproxy.entrypoints.http.pages.making.create_form import CreateForm, read_create_form
from pixyproxy.entrypoints.http.pages.making.form_pictures import OPTIONS, begin_pictures, new_key, rest_of
from pixyproxy.entrypoints.http.pages.picture import find_all_ready, find_visible, present_picture
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.pages.texts import problem_text
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.problems import error_headers, log_error, status_of


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
        """Return what the form shows with these values of fields, and a new idempotency key where they have none."""
        sources = await find_all_ready(self._images, viewer, edit[:MAX_IMAGES])
        return {
            "key": given.get("key") or new_key(),
            "begun": given.get("begun", ""),
            "can_edit": self.can_edit(),
            "early_views": self._early_views,
            "sources": [present_picture(image, self._links, viewer) for image in sources],
            **{name: given.get(name, "") for name in ("prompt", "visibility", "tags", "n", *OPTIONS)},
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
            require_user_of_page(sent.fields.get("login"), request.state.user)
            await begin_pictures(images, viewer, sent, request.state.caller, begun)
        except PixyProxyException as error:
            sent.sources.close()
            hint = " Choose your files again, which a browser does not keep." if sent.has_files else ""
            return await refused(request, viewer, error, sent.fields, sent.stored, hint, begun)
        return pages.redirect(f"/view/{begun[0]}" if len(begun) == 1 else "/")

    @router.post("/view/{guid}/vary")
    async def vary_picture(request: Request, guid: str) -> Response:
        fields = await read_form(request, public_url, of_any_user=True)
        viewer = policy.require_writer(request)
        given, stored = await form.variation(viewer, guid)
        varied = given | {name: fields[name][0] for name in ("key", "login") if name in fields}
        variation = CreateForm(varied, SourceReferences(stored))
        begun: list[str] = []
        try:
            require_user_of_page(varied.get("login"), request.state.user)
            await begin_pictures(images, viewer, variation, request.state.caller, begun)
        except PixyProxyException as error:
            if not accepts(request, "text/html"):
                raise
            return await refused(request, viewer, error, varied, stored)
        return pages.redirect(f"/view/{begun[0]}")

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

        Of several pictures, the form asks for those that are not `begun`. It keeps its key, because the one that was
        refused may have been recorded by a database that did not answer.
        """
        status = status_of(error)
        log_error(error, status)
        headers = error_headers(request, error, status)
        # A browser would open its password box over the page.
        headers.pop("WWW-Authenticate", None)
        wanted, rest = rest_of(given, len(begun))
        reason = problem_text(error) + hint
        if isinstance(error, IdempotencyKeyReusedError):
            rest = {**rest, "key": "", "begun": ""}
            reason = "This form has made a picture with other contents. Sent again, it makes another one."
        shown = {"make": await form.shown(viewer, rest, stored), "begun": begun, "wanted": wanted}
        return pages.render(request, "create.html", status, headers, problem=reason, **shown)

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
    options = {name: str(request.parameters.get(name) or "") for name in OPTIONS} | {"model": request.model or ""}
    return {"prompt": request.prompt, "visibility": request.visibility.value, **options}
