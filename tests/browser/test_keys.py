"""The page of a user's own API keys in a real browser, and the lines on it as they run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Gallery, Open
from tests.browser.test_access import violations
from tests.fixtures.requirements import missing
from tests.fixtures.services import ALICE, BOB

NODE = Path(__file__).parents[1] / "integration" / "clients" / "node"
NAME = '"><script>alert(1)</script>\u202eevil'


def make_key(page: Page, name: str) -> str:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_role("heading", name="Your new key")).to_be_visible()
    return page.locator("#secret").input_value()


def works(gallery: Gallery, secret: str) -> bool:
    with gallery.service.client() as client:
        return client.get("/user/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 200


@pytest.mark.parametrize("script", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_key_is_made_by_keyboard_shown_once_and_revoked(gallery: Gallery, open_page: Open, script: bool) -> None:
    page = open_page("/", ALICE, java_script_enabled=script, viewport={"width": 390, "height": 800})
    page.locator(".account summary").focus()
    page.keyboard.press("Enter")
    page.locator(".menu").get_by_role("link", name="API keys").press("Enter")
    page.get_by_label("Name", exact=True).fill(f"laptop {script}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Valid")).to_be_focused()
    page.get_by_role("combobox", name="Valid").select_option("for 30 days")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#secret")).to_be_focused()
    secret = page.locator("#secret").input_value()
    assert works(gallery, secret)
    page.goto("/keys")
    assert secret not in page.content()
    # Opened, confirmed.
    page.get_by_label(f"Revoke laptop {script}").press("Enter")
    page.get_by_role("button", name="Revoke for good").press("Enter")
    expect(page).to_have_url(re.compile("/keys$"))
    expect(page.get_by_label(f"Revoke laptop {script}")).to_have_count(0)
    assert not works(gallery, secret)


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 1280])
def test_no_state_violates_a_rule_and_names_are_text(open_page: Open, width: int) -> None:
    page = open_page("/keys", BOB, viewport={"width": width, "height": 800})
    make_key(page, NAME)
    expect(page.locator(".keys b").first).to_have_text(NAME)
    assert violations(page) == []
    page.goto("/keys")
    page.locator(".confirm summary").first.click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Name", exact=True).evaluate("field => { field.maxLength = 99; field.value = 'x'.repeat(65); }")
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_role("alert")).to_contain_text("64 characters")
    assert violations(page) == []


@pytest.mark.slow
def test_the_key_and_the_lines_are_copied(open_page: Open) -> None:
    page = open_page("/keys", ALICE, permissions=["clipboard-read", "clipboard-write"])
    secret = make_key(page, "copied")
    page.get_by_role("button", name="Copy the key").click()
    expect(page.get_by_role("status")).to_contain_text("The key is copied.")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.get_by_role("button", name="Copy the lines for Python").click()
    expect(page.get_by_role("status")).to_contain_text("The lines are copied.")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#python-lines").inner_text()


@pytest.mark.slow
def test_loading_the_answer_again_makes_no_second_key_and_shows_none(open_page: Open) -> None:
    page = open_page("/keys", ALICE)
    secret = make_key(page, "loaded again")
    page.reload()
    expect(page.get_by_label("Revoke loaded again")).to_have_count(1)
    assert secret not in page.content()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", "node", "curl"])
def test_the_lines_run_as_they_are(open_page: Open, tmp_path: Path, language: str) -> None:
    page = open_page("/keys", ALICE)
    make_key(page, language)
    lines = page.locator(f"#{language}-lines").inner_text()
    if language == "curl":
        if shutil.which("curl") is None:
            missing("BROWSER", "no curl is installed here")
        command = ["bash", "-c", f"{lines} --silent --noproxy '*'"]
    elif language == "python":
        command = [sys.executable, "-c", lines]
    else:
        if shutil.which("node") is None or not (NODE / "node_modules" / "openai").is_dir():
            missing("NODE", "no Node with OpenAI's client is installed here")
        command = ["node", "--input-type=module", "--eval", lines]
    ended = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    [address] = re.findall(r'http://[^"\s]+/image/[^"\s]+', ended.stdout)
    with httpx.Client(trust_env=False) as client:
        assert client.get(address).headers["content-type"].startswith("image/")
