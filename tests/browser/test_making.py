"""Making pictures in a real browser: the prompt bar, its tiles, and the form without a script."""

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Gallery, Open, log_in, lose_answer
from tests.fixtures.openai.gateway import Gateway
from tests.fixtures.services import ALICE


def count_of(gallery: Gallery, words: str) -> int:
    with gallery.service.client(ALICE) as client:
        return len(client.get("/image", params={"prompt": words, "limit": 200}).json())


def prompt_of(page: Page) -> str:
    return page.get_by_label("Prompt").input_value()


def test_a_picture_is_made_by_mouse(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.get_by_label("Prompt").fill("a telescope\nmade of brass")
    expect(page.locator("#price")).to_have_text("free")
    page.locator(".options summary").click()
    page.get_by_label("Shape").select_option("Landscape")
    page.get_by_label("Visible").select_option("To me only")
    page.get_by_label("Tags").fill("#Brass, old things")
    page.keyboard.press("Escape")
    expect(page.locator("#chosen")).to_have_text("Landscape, To me only")
    page.get_by_role("button", name="Make").click()
    made = page.locator("#making .tile[data-guid]")
    expect(made).to_have_count(1)
    expect(page.locator("#status")).to_contain_text("The picture is ready")
    with gallery.service.client(ALICE) as client:
        found = client.get(f"/image/{made.get_attribute('data-guid')}").json()
    assert found["prompt"] == "a telescope\nmade of brass"
    assert (found["visibility"], found["tags"]) == ("private", ["brass", "old things"])
    assert (found["width"], found["height"]) == (1536, 1024)
    made.locator("a").click()
    expect(page.locator("dialog h1")).to_have_text("a telescope made of brass")
    # Its own page leads back to all pictures.
    page.reload()
    expect(page.get_by_role("link", name="Back to the pictures")).to_have_attribute("href", "/")
    # What was chosen and typed is there again.
    page.goto("/")
    expect(page.get_by_label("Prompt")).to_have_value("a telescope\nmade of brass")
    expect(page.locator("#chosen")).to_have_text("Landscape, To me only")
    # What is folded away and costs money is named too.
    page.locator(".options summary").click()
    page.get_by_label("Model").fill("sketch-1")
    page.get_by_label("Format").select_option("JPEG")
    expect(page.locator("#chosen")).to_have_text("Landscape, To me only, JPEG, sketch-1")


def test_a_picture_is_made_by_keyboard_and_a_double_click_makes_one(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.get_by_label("Prompt").fill("a keyboard of ivory")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    page.get_by_label("Prompt").fill("a mouse of silver")
    page.get_by_role("button", name="Make").dblclick()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(2)
    expect(page.locator("#making .tile")).to_have_count(2)
    assert (count_of(gallery, "keyboard of ivory"), count_of(gallery, "mouse of silver")) == (1, 1)
    page.get_by_label("Prompt").fill("   ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#making .tile")).to_have_count(2)


@pytest.mark.slow
def test_several_at_once(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.get_by_label("Prompt").fill("three wise owls")
    page.locator(".options summary").click()
    page.get_by_role("combobox", name="Pictures").select_option("3")
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(3)
    assert count_of(gallery, "three wise owls") == 3


@pytest.mark.slow
def test_the_network_is_lost_in_the_middle_and_the_picture_is_paid_once(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    keys: list[str | None] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.header_value("Idempotency-Key"))
        if len(keys) == 1:
            # The service gets the request; its response is lost.
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/image", lose)
    page.get_by_label("Prompt").fill("a bridge that fell")
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail b")).to_have_text("Not reached")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    assert len(keys) == 2
    assert keys[0] == keys[1] is not None
    assert count_of(gallery, "bridge that fell") == 1


def test_asking_again_for_what_was_lost_pays_once(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.route("**/image", lose_answer)
    page.get_by_label("Prompt").fill("a comet that was lost")
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail b")).to_have_text("Not reached")
    page.unroute("**/image")
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    assert count_of(gallery, "comet that was lost") == 1


@pytest.mark.slow
def test_what_was_given_up_is_not_made_when_the_network_returns(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.route("**/image", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.get_by_label("Prompt").fill("a raft that was given up")
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail b")).to_have_text("Not reached")
    page.get_by_role("button", name="Give up").click()
    page.unroute("**/image")
    page.evaluate("() => { dispatchEvent(new Event('online')); return fetch('/healthz').then(() => 0); }")
    # The service has had each request that was sent before this answer.
    assert count_of(gallery, "raft that was given up") == 0


@pytest.mark.slow
@pytest.mark.parametrize("early_views", ["0", "2"])
def test_an_answer_of_a_proxy_is_none_and_the_picture_is_paid_once(
    gallery: Gallery, open_page: Open, early_views: str
) -> None:
    page = open_page(user=ALICE)
    left = ["POST", "GET", "page"]

    def answer(route: Route) -> None:
        kind = "page" if "/image" not in route.request.url else route.request.method
        if kind not in left:
            route.continue_()
            return
        left.remove(kind)
        if kind == "POST":
            # The service makes it; its answer does not get through.
            route.fetch()
        route.fulfill(status=502, content_type="text/html", body="<h1>Bad Gateway</h1>")

    page.route(re.compile(r"/image(/[^/]*)?$|/\?guid="), answer)
    prompt = f"a gate {early_views} of a proxy"
    page.locator(".options summary").click()
    page.get_by_label("Early views").select_option(early_views)
    page.keyboard.press("Escape")
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_role("button", name="Make").click()
    for count in (2, 1, 0):
        while len(left) > count:
            page.wait_for_timeout(20)
        expect(page.locator("#making .fail b")).to_have_text("Not reached")
        page.get_by_role("button", name="Try again").click()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    assert count_of(gallery, prompt) == 1


@pytest.mark.slow
def test_a_stream_that_ends_before_its_answer_is_tried_again(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)

    def end(route: Route) -> None:
        if route.request.header_value("Accept") == "text/event-stream":
            route.fulfill(status=200, content_type="text/event-stream", body="")
        else:
            route.continue_()

    page.route("**/image", end)
    page.locator(".options summary").click()
    page.get_by_label("Early views").select_option("2")
    page.keyboard.press("Escape")
    page.get_by_label("Prompt").fill("a brook that ends")
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail b")).to_have_text("Not reached")
    page.unroute("**/image")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    assert count_of(gallery, "brook that ends") == 1


@pytest.mark.slow
def test_a_page_that_is_left_finds_its_pictures_again(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.route("**/image", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.get_by_label("Prompt").fill("a lost and found box")
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail")).to_have_count(1)
    page.unroute("**/image")
    page.goto("/docs")
    page.goto("/")
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    assert count_of(gallery, "lost and found box") == 1
    page.reload()
    expect(page.locator("#making .tile")).to_have_count(0)


@pytest.mark.slow
def test_a_session_that_ended_loses_nothing(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.get_by_label("Prompt").fill("a secret for nobody")
    with gallery.service.client() as client:
        for cookie in page.context.cookies():
            client.cookies.set(cookie["name"], cookie["value"])
        assert client.delete("/session", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 204
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail")).to_contain_text("Your session has ended: log in again.")
    page.get_by_role("button", name="Edit the prompt").click()
    assert prompt_of(page) == "a secret for nobody"
    assert count_of(gallery, "secret for nobody") == 0
    log_in(page, ALICE)
    page.goto("/")
    expect(page.get_by_label("Prompt")).to_have_value("a secret for nobody")


@pytest.mark.slow
def test_use_this_prompt(gallery: Gallery, open_page: Open) -> None:
    made = gallery.create(prompt="a prompt\nto use <b>again</b>", quality="low")
    page = open_page(f"/view/{made['guid']}", user=ALICE)
    page.get_by_role("link", name="Use this prompt").click()
    expect(page.get_by_label("Prompt")).to_have_value(made["prompt"])
    expect(page.get_by_label("Prompt")).to_be_focused()
    assert page.locator("[name=size]").input_value() == "256x256"
    assert page.locator("[name=quality]").input_value() == "low"


def test_the_form_without_a_script(gallery: Gallery, open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    log_in(page, ALICE)
    page.goto("/")
    page.get_by_label("Prompt").fill("a form\nof clay")
    page.locator(".options summary").click()
    page.get_by_label("Background").select_option("Transparent")
    page.get_by_label("Format").select_option("JPEG")
    page.get_by_label("Tags").fill("x" * 65)
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_role("alert")).to_contain_text("64 characters")
    expect(page.get_by_label("Prompt")).to_have_value("a form\nof clay")
    page.locator(".options summary").click()
    page.get_by_label("Tags").fill("clay")
    page.get_by_label("Format").select_option("PNG")
    page.get_by_role("button", name="Make").click()
    page.wait_for_url(re.compile("/view/"))
    expect(page.get_by_role("heading", level=1)).to_have_text("a form of clay")
    page.reload()
    expect(page.locator(".whole")).to_be_visible(timeout=20_000)
    assert count_of(gallery, "form of clay") == 1


@pytest.mark.slow
def test_the_generators_reason_is_in_the_tile(editor: Gateway, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url)
    page.get_by_label("Prompt").fill("a refused thing [[reject]]")
    expect(page.locator("#price")).to_contain_text("$")
    refusal = {"status": 422, "code": "prompt-rejected", "detail": "Your request was rejected by the safety system."}
    page.route(
        "**/image",
        lambda route: route.fulfill(status=422, content_type="application/problem+json", body=json.dumps(refusal)),
    )
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail b")).to_have_text("Refused")
    expect(page.locator("#making .fail")).to_contain_text("rejected by the safety system")
    page.get_by_label("Prompt").fill("")
    page.get_by_role("button", name="Edit the prompt").click()
    assert prompt_of(page) == "a refused thing [[reject]]"
    expect(page.get_by_label("Prompt")).to_be_focused()
    expect(page.locator("#making .tile")).to_have_count(0)
