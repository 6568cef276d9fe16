"""A private image of another author and a missing one take the same work: statements, rows and functions."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest

import pixyproxy
from pixyproxy.adapters.mysql.session import MySQLSession
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.image_transactions import find_all_visible
from pixyproxy.adapters.sqlite.session import SQLiteSession
from pixyproxy.domain.image import Visibility
from tests.conformance.contracts.image_repository import add_ready
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app
from tests.fixtures.sql.counting import Counter

MISSING = "80000000-0000-4000-8000-000000000000"
PROMPT = {"prompt": "a duck"}
SOURCE = "/src/pixyproxy" if "/src/" in pixyproxy.__file__ else str(Path(pixyproxy.__file__).parent)
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "details": ("GET", "/image/{guid}", None),
    "head": ("HEAD", "/image/{guid}", None),
    "content": ("GET", "/image/{guid}/content", None),
    "content by name": ("GET", "/image/{guid}/content/a-duck.png", None),
    "content by a wrong signature": ("GET", "/image/{guid}/content?expires=4102444800&signature=x", None),
    "thumbnail": ("GET", "/image/{guid}/thumbnail?size=256", None),
    "thumbnail by a wrong signature": ("GET", "/image/{guid}/thumbnail?expires=4102444800&signature=x", None),
    "change": ("PATCH", "/image/{guid}", {"tags": ["found"]}),
    "change of nothing": ("PATCH", "/image/{guid}", {}),
    "delete": ("DELETE", "/image/{guid}", None),
    "edit": ("POST", "/image", {**PROMPT, "edit_of": ["{guid}"]}),
    "edit by file id": ("POST", "/v1/images/edits", {**PROMPT, "images": [{"file_id": "{guid}"}]}),
    "edit by address": ("POST", "/v1/images/edits", {**PROMPT, "images": [{"image_url": "/image/{guid}/content"}]}),
    "search by guid": ("GET", "/image?guid={guid}", None),
    "search by guid and word": ("GET", "/image?guid={guid}&prompt=duck", None),
    "search by source": ("GET", "/image?derived_from={guid}", None),
}


@pytest.fixture(params=["sqlite", "mysql"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HttpApp]:
    values = {"PIXYPROXY_REPOSITORY": request.param, "PIXYPROXY_DATA_DIR": str(tmp_path)}
    if request.param == "mysql":
        values |= request.getfixturevalue("empty_mysql").environment()
    async with http_app(**values) as app:
        yield app


class Work:
    """The statements and the functions of a request."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, dict[str, Any]]] = []
        self.functions: list[str] = []

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record what is called on this thread, and the statements of all threads."""

        def called(frame: FrameType, event: str, argument: object) -> None:
            if event == "call" and SOURCE in frame.f_code.co_filename:
                self.functions.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")

        with pytest.MonkeyPatch.context() as patched:
            for session in (SQLiteSession, MySQLSession):
                patched.setattr(session, "fetch", self._recording(session.fetch))
            sys.setprofile(called)
            try:
                yield
            finally:
                sys.setprofile(None)

    def _recording(self, fetch: Any) -> Any:
        def recording(session: Any, sql: str, parameters: Any) -> Any:
            self.statements.append((sql, dict(parameters)))
            return fetch(session, sql, parameters)

        return recording


async def respond(app: HttpApp, name: str, guid: str, auth: tuple[str, str] | None) -> tuple[httpx.Response, Work]:
    """Return the response to a request, made a second time, so that caches are filled."""
    method, path, body = REQUESTS[name]
    filled = None if body is None else eval(repr(body).replace("{guid}", guid))
    for _ in range(2):
        work = Work()
        with work.recorded():
            response = await app.client.request(method, path.format(guid=guid), json=filled, auth=basic(auth))
    return response, work


def told(response: httpx.Response, work: Work, guid: str) -> Any:
    """Return everything that a stranger could tell apart, without the GUID and what differs in each response."""
    headers = {name: value for name, value in response.headers.items() if name not in {"x-request-id", "date"}}
    text = response.text.replace(response.headers["x-request-id"], "ID").replace(guid, "GUID")
    statements = [repr(statement).replace(guid, "GUID") for statement in work.statements]
    return response.status_code, headers, text, statements, work.functions


@pytest.mark.parametrize("name", REQUESTS)
async def test_strangers_cannot_tell_them_apart(app: HttpApp, name: str) -> None:
    source = await app.create(visibility="private", prompt="a duck at home " * 300)
    private = await app.create(visibility="private", edit_of=[source["guid"]], tags=["bath", "toys"])
    for auth in (None, BOB):
        for _ in range(3):  # what the service does beside them may fall into one of the two
            guids = (private["guid"], MISSING)
            existing, missing = [told(*await respond(app, name, guid, auth), guid) for guid in guids]
            if existing == missing:
                break
        assert existing == missing
        assert "private" not in existing[2]
    own, work = await respond(app, name, private["guid"], ALICE)
    assert (own.status_code == 404) is (name == "delete"), own.text
    assert work.functions


async def test_same_rows_are_read(counter: Counter) -> None:
    images = SQLImageRepository(counter.database())
    await images.open()
    for guid in ("00000000", "ffffffff"):  # the ends of the index, where a search takes less
        await add_ready(images, guid=guid + MISSING[8:])
    private = await add_ready(images, author="alice", visibility=Visibility.PRIVATE, prompt="duck " * 6000)
    public = await add_ready(images)
    await images.close()

    def read(*keys: tuple[str, str | None]) -> int:
        return counter.count(lambda session: find_all_visible(session, keys))

    for viewer in (None, "bob", "nobody"):
        assert read((private.guid, viewer)) == read((MISSING, viewer)) < read((public.guid, viewer))
    assert read((private.guid, "bob"), (public.guid, None)) == read((MISSING, "bob"), (public.guid, None))
    assert read((private.guid, "alice")) > read((MISSING, "alice"))
