"""A browser with pages of a real service, and pictures in it."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Route, expect, sync_playwright

from tests.fixtures.openai.gateway import Gateway
from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.requirements import missing
from tests.fixtures.service import Service
from tests.fixtures.services import ALICE, BOB

PATIENCE_MS = 20_000
"""Also on a machine that does other work: a test waits for a condition, and asserts no timing."""
expect.set_options(timeout=PATIENCE_MS)

PROMPTS = ("a lighthouse above a winter sea", "a paper city at dusk", "fox in fresh snow", "an orange cat reading")
SIZES = ("256x256", "384x256", "256x384")


@dataclass
class Gallery:
    """A running service with pictures of alice and bob, newest last."""

    service: Service
    pictures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.service.url

    def visible(self, user: tuple[str, str] | None, word: str = "") -> list[dict[str, Any]]:
        """Return the pictures of the start that a user may see and that have a word in their prompt, newest first."""
        return [
            picture
            for picture in reversed(self.pictures)
            if word in picture["prompt"]
            and (picture["visibility"] == "public" or (user is not None and picture["author"] == user[0]))
        ]

    def create(self, user: tuple[str, str] | None = ALICE, **fields: object) -> dict[str, Any]:
        """Have a picture made and return its details."""
        with self.service.client(user) as client:
            return create(client, **fields)


def create(client: httpx.Client, **fields: object) -> dict[str, Any]:
    """Have a picture made by a client of the service, and return its details."""
    response = client.post("/image", json={"prompt": "a duck", "size": "256x256"} | fields)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


@contextmanager
def running_gallery(folder: Path) -> Iterator[Gallery]:
    """Run a service with pictures of alice and bob."""
    with Service(folder) as service:
        service.add_user(*ALICE)
        service.add_user(*BOB)
        with service.client(ALICE) as alice, service.client(BOB) as bob:
            pictures = [
                create(
                    bob if number % 3 == 2 else alice,
                    prompt=f"{PROMPTS[number % len(PROMPTS)]}, number {number}",
                    size=SIZES[number % len(SIZES)],
                    tags=["sea" if number % 2 else "city"],
                    visibility="private" if number % 8 == 3 else "public",
                )
                for number in range(20)
            ]
        yield Gallery(service, pictures)


@pytest.fixture(scope="package")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Yield a gallery to which all tests add pictures."""
    with running_gallery(tmp_path_factory.mktemp("gallery")) as found:
        yield found


@pytest.fixture(scope="package")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Yield a service that can edit and costs money, and its upstream."""
    with FakeUpstream() as upstream:
        settings = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": upstream.base_url}
        with Service(tmp_path_factory.mktemp("editor"), **settings) as service:
            service.add_user(*ALICE)
            yield Gateway(service, upstream, key="")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    binary = shutil.which("chromium")
    if binary is None:
        missing("BROWSER", "no browser is installed here (chromium)")
    # Without the process that draws in the place of a graphics card.
    options = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    # Stopped with the package: while it runs, no test of the same process can have an event loop of its own.
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=binary, args=options)
        yield running
        running.close()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Yield a function that opens an address in a browser of its own; errors of its scripts fail the test.

    The address is one of `at`, or of the gallery, and the user is logged in.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def open_address(
        path: str = "/", user: tuple[str, str] | None = None, at: str | None = None, **options: Any
    ) -> Page:
        url = at or request.getfixturevalue("gallery").url
        context = browser.new_context(base_url=url, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        if user is not None:
            given = {"username": user[0], "password": user[1]}
            assert context.request.post("/session", data=given).ok
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if is_problem(message.text) else None)
        page.goto(path)
        return page

    yield open_address
    for context in contexts:
        context.close()
    assert problems == []


def is_problem(text: str) -> bool:
    """Return whether a message of the console tells of a violated content policy or a bug."""
    return bool(re.search(r"Content Security Policy|Uncaught|Refused to", text))


def log_in(page: Page, user: tuple[str, str]) -> None:
    """Log in as people do."""
    page.goto("/login")
    page.get_by_label("Name").fill(user[0])
    page.get_by_label("Password").fill(user[1])
    page.get_by_role("button", name="Log in").click()
    page.get_by_label(f"Account of {user[0]}").wait_for()


def wait_until(page: Page, expression: str) -> None:
    """Wait until an expression is true: Playwright's own waiting evaluates it as the policy of a page forbids."""
    for _ in range(400):
        try:
            if page.evaluate(expression):
                return
        except Error:
            # The next page is coming.
            page.wait_for_load_state()
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {expression}")


def lose_answer(route: Route) -> None:
    """Have the service get a request that asks for a picture, and its response be lost."""
    if route.request.method == "POST":
        route.fetch()
        route.abort()
    else:
        route.continue_()


@pytest.fixture
def screenshots() -> Path:
    """Return the folder for screenshots."""
    folder = Path(__file__).parents[2] / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder
