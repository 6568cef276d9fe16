"""The page of one picture in a real browser: what it shows, and what its author can do."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Gallery, Open
from tests.fixtures.services import ALICE, BOB

MARKUP = "</script><img src=x onerror=alert(1)>\"'><svg/onload=alert(2)>{{7*7}} \u202egnirts\u202c \u2066"


def test_it_shows_everything_about_the_picture(gallery: Gallery, open_page: Open) -> None:
    made = gallery.create(prompt="a red boat\non two lines " + "and more " * 20, tags=["boat", "sea"])
    page = open_page(f"/view/{made['guid']}")
    expect(page.locator("[data-prompt]")).to_have_text(made["prompt"])
    for text in ("sketch-1", "256 × 256, PNG", made["filename"], "#boat", "alice"):
        expect(page.locator(".side")).to_contain_text(text)
    assert page.locator("meta[property='og:title']").get_attribute("content") == title_of(made["prompt"])
    image = page.locator("meta[property='og:image']").get_attribute("content")
    assert image == f"{gallery.url}/image/{made['guid']}/thumbnail?size=1024"
    expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(0)
    page.get_by_role("link", name="#boat").click()
    expect(page.locator("#results .tile")).to_have_count(1)


def title_of(prompt: str) -> str:
    words = " ".join(prompt.split())
    return words if len(words) <= 120 else f"{words[:119].rstrip()}…"


@pytest.mark.slow
def test_an_author_changes_tags_and_visibility(gallery: Gallery, open_page: Open) -> None:
    made = gallery.create(prompt="a thing to change", tags=["old"])
    page = open_page(f"/view/{made['guid']}", user=ALICE)
    page.get_by_label("New tag").fill("#Brand new")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="#brand new")).to_be_visible()
    expect(page.get_by_label("New tag")).to_be_focused()
    page.get_by_label("Remove the tag old").click()
    expect(page.get_by_role("link", name="#old")).to_have_count(0)
    page.get_by_role("button", name="Make it private").click()
    expect(page.get_by_role("button", name="Make it public")).to_be_focused()
    with gallery.service.client(ALICE) as client:
        found = client.get(f"/image/{made['guid']}").json()
    assert (found["tags"], found["visibility"]) == (["brand new"], "private")
    page.get_by_label("New tag").fill("x" * 64)
    page.get_by_label("New tag").evaluate("field => { field.maxLength = 99; field.value = 'x'.repeat(65); }")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status").filter(has_text="64 characters")).to_be_visible()


@pytest.mark.slow
def test_links_are_copied_and_signed_for_private_pictures(gallery: Gallery, open_page: Open) -> None:
    grants = {"permissions": ["clipboard-read", "clipboard-write"]}
    for visibility in ("public", "private"):
        made = gallery.create(prompt=f"a {visibility} thing to share", visibility=visibility)
        page = open_page(f"/view/{made['guid']}", user=ALICE, **grants)
        page.get_by_role("button", name="Copy link").click()
        expect(page.get_by_role("status")).to_contain_text("copied")
        link = page.evaluate("navigator.clipboard.readText()")
        with gallery.service.client() as stranger:
            assert stranger.get(link).status_code == 200
        if visibility == "public":
            assert link == f"{gallery.url}/view/{made['guid']}"
        else:
            expect(page.get_by_role("status")).to_contain_text("Whoever has it can see the picture until")
            assert "signature=" in link
        page.get_by_role("button", name="Copy the prompt").click()
        assert page.evaluate("navigator.clipboard.readText()") == made["prompt"]


def test_a_deletion_can_be_undone(gallery: Gallery, open_page: Open) -> None:
    made = gallery.create(prompt="a thing to delete")
    page = open_page("/?prompt=thing+to+delete", user=ALICE)
    # From now on time passes only when it is told to.
    page.clock.install()
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    page.locator(".tile a").first.click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("dialog")).to_be_hidden()
    expect(page.locator(".tile:visible")).to_have_count(0)
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".tile:visible")).to_have_count(1)
    page.clock.run_for(20_000)
    with gallery.service.client(ALICE) as client:
        assert client.get(f"/image/{made['guid']}").status_code == 200
        page.locator(".tile a").first.click()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.clock.run_for(9_000)
        assert client.get(f"/image/{made['guid']}").status_code == 200
        with page.expect_response(lambda response: response.request.method == "DELETE"):
            page.clock.run_for(2_000)
        assert client.get(f"/image/{made['guid']}").status_code == 404
    expect(page.locator(".tile")).to_have_count(0)


@pytest.mark.slow
def test_a_deletion_is_done_when_the_page_is_left(gallery: Gallery, open_page: Open) -> None:
    made = gallery.create(prompt="another thing to delete")
    page = open_page(f"/view/{made['guid']}", user=ALICE)
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.goto("/docs")
    with gallery.service.client(ALICE) as client:
        for _ in range(100):
            if client.get(f"/image/{made['guid']}").status_code == 404:
                return
            page.wait_for_timeout(50)
    pytest.fail("the picture is still there")


@pytest.mark.slow
def test_zoom_and_keys_of_the_page(gallery: Gallery, open_page: Open) -> None:
    newest, second = gallery.create(prompt="second"), gallery.create(prompt="newest")
    page = open_page(f"/view/{second['guid']}")
    zoom = page.get_by_role("button", name="Show every pixel")
    zoom.focus()
    page.keyboard.press("Enter")
    expect(zoom).to_have_attribute("aria-pressed", "true")
    page.keyboard.press(" ")
    expect(zoom).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(newest["guid"]))
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(r"/$"))


def test_text_from_outside_is_text(gallery: Gallery, open_page: Open) -> None:
    gallery.service.add_user("<b>mallory</b>", "secret of mallory")
    mallory = ("<b>mallory</b>", "secret of mallory")
    made = gallery.create(mallory, prompt=f"mallory {MARKUP}", tags=["<i>tag</i>", "\"onx='"], filename="<u>'x.png")
    long = gallery.create(mallory, prompt="mallory " + "x" * 31_980)
    page = open_page("/login", user=mallory)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    script = "%3Cscript%3Ealert(1)%3C/script%3E"
    for path in (
        "/?prompt=mallory",
        "/?author=%3Cb%3Emallory%3C%2Fb%3E&tag=%3Ci%3Etag%3C%2Fi%3E",
        f"/view/{made['guid']}",
        f"/view/{long['guid']}",
        f"/?filename={script}",
        f"/{script}",
        f"/login?next=/%22%3E{script}",
    ):
        page.goto(path)
        assert (
            page.locator("main b, main i, main u, img[src=x], main script").count() == page.locator(".state b").count()
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.goto(f"/view/{made['guid']}")
    expect(page.locator("[data-prompt]")).to_have_text(made["prompt"])
    page.goto("/?prompt=mallory")
    page.locator(".tile a").last.click()
    expect(page.locator("dialog [data-prompt]")).to_have_text(made["prompt"])
    assert page.locator("script:not([src])").count() == 0


@pytest.mark.slow
def test_another_user_has_no_controls(gallery: Gallery, open_page: Open) -> None:
    page = open_page(f"/view/{gallery.pictures[0]['guid']}", user=BOB)
    expect(page.get_by_role("button", name="Copy link")).to_be_visible()
    for name in ("Delete", "Add", "Make it private"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    status = page.evaluate(
        "fetch(location.pathname + '/link', {method: 'POST', headers: {'X-Requested-With': 'x'}}).then(r => r.status)"
    )
    assert status == 403
