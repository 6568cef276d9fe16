"""The page of a class and of the service, with the forms of its staff."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from pixyproxy.application.accounts.roster_import import RESULT, RosterImport
from pixyproxy.application.accounts.roster_service import RosterService
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.money.staff_budgets import StaffBudgets
from pixyproxy.domain.access import viewer_of
from pixyproxy.domain.accounts import authority
from pixyproxy.domain.errors import DataValidationError, PixyProxyException
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.pages.forms import read_form
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.pages.staff.class_page import ClassPage
from pixyproxy.entrypoints.http.pages.staff.service_page import ServicePage
from pixyproxy.entrypoints.http.pages.texts import problem_text
from pixyproxy.entrypoints.http.representation.problems import error_headers, log_error, status_of

_SECRET = {"Cache-Control": "private, no-store"}


class ClassForms:
    """The actions of the forms on the page of a class, each in the name of a user."""

    def __init__(self, roster: RosterService, budgets: StaffBudgets, images: ImageService) -> None:
        self._roster = roster
        self._budgets = budgets
        self._images = images

    async def do(self, user: User, form: Mapping[str, str], address: str) -> tuple[str, str] | None:
        """Do what the field `do` says; return a name and the new password if one was made.

        Raises:
            DataValidationError: There is no such action, or a field is not valid.
            PixyProxyException: as the use cases do.
        """
        name = form.get("user", "")
        scope = form.get("scope") or f"user:{name}"
        match form.get("do"):
            case "add":
                given = {"username": name, "class_key": form.get("class") or None}
                added, made = await self._roster.add(user, {key: text for key, text in given.items() if text})
                return added.username, made or ""
            case "password":
                return name, await self._roster.renew_password(user, name, address)
            case "pause" | "resume" as action:
                await self._roster.change(user, name, {"paused": action == "pause"}, address)
            case "budget":
                await self._budgets.set(user, scope, {"cap_usd": form.get("cap_usd", ""), "per": form.get("per")})
            case "no-budget":
                await self._budgets.remove(user, scope)
            case "hide" | "show" as action:
                await self._images.update(viewer_of(user), form.get("guid", ""), {"hidden": action == "hide"})
            case _:
                raise DataValidationError.at(("do",), "must be an action of the page")
        return None


def build_class_router(
    pages: PageRenderer,
    page: ClassPage,
    service: ServicePage,
    forms: ClassForms,
    imports: RosterImport,
    policy: AccessPolicy,
    public_url: str | None,
) -> APIRouter:
    """Build the routes of the page and its forms, for teachers with a class and for administrators."""
    router = direct_router("pages", in_schema=False)

    @router.get("/class")
    async def show_class(request: Request) -> Response:
        user: User | None = request.state.user
        if user is None:
            query = request.url.query
            return pages.to_login(f"/class?{query}" if query else "/class")
        params = request.query_params
        return await show(request, user, params.get("class"), params.get("cursor"))

    @router.post("/class")
    async def change_class(request: Request) -> Response:
        form = await fields_of(request)
        user = policy.require_user(request)
        class_key = form.get("class") or None
        try:
            made = await forms.do(user, form, request.state.address)
        except PixyProxyException as error:
            return await refused(request, user, class_key, error, form)
        if made is not None:
            # The password is shown once, so this page has no address.
            return await show(request, user, class_key, None, made=made)
        anchor = f"#{form['at']}" if form.get("at") else ""
        return pages.redirect(address_of(class_key, form.get("cursor")) + anchor)

    @router.post("/class/import")
    async def import_users(request: Request) -> Response:
        form = await fields_of(request)
        user = policy.require_user(request)
        table, is_dry_run = form.get("table", ""), form.get("do") != "import"
        values: dict[str, Any] = {"table": table, "class_key": form.get("class", ""), "keys": form.get("keys") == "1"}
        authority.require_staff(user)
        try:
            results = await imports.run(user, table.encode(), dry_run=is_dry_run, with_keys=values["keys"])
        except PixyProxyException as error:
            status = status_of(error)
            log_error(error, status)
            faults = _faults_of(error)
            headers = _SECRET | error_headers(request, error, status)
            return pages.render(request, "import.html", status, headers, faults=faults, results=None, **values)
        return pages.render(
            request,
            "import.html",
            200,
            _SECRET,
            faults=[],
            heads=RESULT if not is_dry_run else RESULT[:4],
            results=[result.row() if not is_dry_run else result.row()[:4] for result in results],
            is_dry_run=is_dry_run,
            **values,
        )

    async def show(
        request: Request,
        user: User,
        class_key: str | None,
        cursor: str | None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> Response:
        values = await page.values(user, class_key, cursor)
        is_service = authority.is_admin(user) and values["class_key"] is None
        return pages.render(
            request,
            "class.html",
            status,
            _SECRET | dict(headers or {}),
            service=await service.values(user) if is_service else None,
            next_address=values["next"] and address_of(values["class_key"], values["next"]),
            cursor=cursor or "",
            **{"problem": None, "made": None, "new_name": "", **values, **more},
        )

    async def refused(
        request: Request, user: User, class_key: str | None, error: PixyProxyException, form: Mapping[str, str]
    ) -> Response:
        status = status_of(error)
        log_error(error, status)
        problem = problem_text(error)
        headers = error_headers(request, error, status)
        # Nothing is lost: what was typed is shown again.
        new_name = form.get("user", "") if form.get("do") == "add" else ""
        cursor = form.get("cursor") or None
        return await show(request, user, class_key, cursor, status, headers, problem=problem, new_name=new_name)

    async def fields_of(request: Request) -> dict[str, str]:
        return {name: values[0] for name, values in (await read_form(request, public_url)).items()}

    def address_of(class_key: str | None, cursor: str | None) -> str:
        given = {name: text for name, text in (("class", class_key), ("cursor", cursor)) if text}
        return f"/class?{urlencode(given)}" if given else "/class"

    return router


def _faults_of(error: PixyProxyException) -> list[tuple[str, str]]:
    """Return the faults of a table, each with its line if that is known."""
    if isinstance(error, DataValidationError) and error.errors:
        return [(" ".join(map(str, loc)), message) for loc, message in error.errors]
    return [("", error.message.rstrip("."))]
