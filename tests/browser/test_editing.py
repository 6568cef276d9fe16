"""Pictures to edit in a real browser: picked, dropped and pasted, with a mask, and the form without a script."""

import base64
import io
import re
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import Gallery, Open, log_in
from tests.browser.test_access import violations
from tests.browser.test_waiting import budget
from tests.fixtures.openai.gateway import Gateway
from tests.fixtures.services import ALICE


def stored(editor: Gateway, prompt: str) -> str:
    with editor.service.client(ALICE) as client:
        return str(client.post("/image", json={"prompt": prompt, "size": "1024x1024", "quality": "low"}).json()["guid"])


def picture(name: str, size: tuple[int, int] = (300, 200), kind: str = "PNG") -> dict[str, Any]:
    """Return a file as Playwright takes it."""
    data = io.BytesIO()
    Image.new("RGB", size, "teal").save(data, kind)
    return {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": data.getvalue()}


def pick(page: Page, *files: dict[str, Any]) -> None:
    page.locator("input[type=file]").set_input_files(list(files))


def give(page: Page, event: str, file: dict[str, Any]) -> bool:
    """Drop or paste a file, as the desktop does; return whether the browser itself would act on it."""
    acts: bool = page.evaluate(
        """([event, name, type, data]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, {type}));
            const options = {bubbles: true, cancelable: true};
            return document.body.dispatchEvent(event === "paste"
                ? new ClipboardEvent(event, {...options, clipboardData: transfer})
                : new DragEvent(event, {...options, dataTransfer: transfer}));
        }""",
        [event, file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()],
    )
    return acts


def names(page: Page) -> list[str]:
    labels = [button.get_attribute("aria-label") or "" for button in page.locator("#sources .drop").all()]
    return [label.removeprefix("Remove ") for label in labels]


def make(editor: Gateway, page: Page) -> Any:
    """Press the button, and return the edit that reached the upstream once the picture is there."""
    before, tiles = len(editor.upstream.edits), page.locator("#making .tile[data-guid]")
    ready = tiles.count()
    page.get_by_role("button", name="Make", exact=True).click()
    expect(tiles).to_have_count(ready + 1)
    [edit] = editor.upstream.edits[before:]
    return edit


def test_sources_are_picked_dropped_pasted_and_removed(editor: Gateway, open_page: Open) -> None:
    guid = stored(editor, "a source of light")
    page = open_page(f"/?edit={guid}", user=ALICE, at=editor.service.url)
    assert names(page) == ["a source of light"]
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add pictures to edit").press("Enter")
    chooser.value.set_files([picture("a.png"), picture("b.jpg", kind="JPEG")])
    expect(page.locator("#status")).to_have_text("3 pictures to edit.")
    give(page, "dragover", picture("c.webp", kind="WEBP"))
    expect(page.locator("form.dropping")).to_be_visible()
    give(page, "drop", picture("c.webp", kind="WEBP"))
    expect(page.locator("#sources .drop")).to_have_count(4)
    give(page, "paste", picture("d.png"))
    expect(page.locator("#sources .drop")).to_have_count(5)
    page.get_by_role("button", name="Remove b.jpg").press("Enter")
    expect(page.get_by_role("button", name="Remove c.webp")).to_be_focused()
    assert names(page) == ["a source of light", "a.png", "c.webp", "d.png"]
    # Lines stay as they are typed, and the price counts the sources.
    page.get_by_label("Prompt").fill("four\nin one")
    expect(page.locator("#price")).to_contain_text("$")
    edit = make(editor, page)
    assert edit.json["prompt"] == "four\nin one"
    assert [part.name for part in edit.files] == ["image[]"] * 4
    with editor.service.client(ALICE) as client:
        [made] = client.get("/image", params={"prompt": "four in one"}).json()
    assert made["derived_from"] == [guid]
    page.reload()
    assert names(page) == ["a source of light"]


@pytest.mark.slow
def test_pictures_of_the_gallery_are_added_by_mouse_and_keyboard(editor: Gateway, open_page: Open) -> None:
    first, second = stored(editor, "a dragged kite"), stored(editor, "a chosen kite")
    page = open_page("/?prompt=kite", user=ALICE, at=editor.service.url)
    page.locator(f".tile[data-guid='{first}']").drag_to(page.locator("#make"))
    expect(page.locator("#sources .drop")).to_have_count(1)
    page.locator(f".tile[data-guid='{second}'] a").press("Enter")
    page.locator("dialog").get_by_role("link", name="Edit from this").press("Enter")
    expect(page.locator("#sources .drop")).to_have_count(2)
    expect(page.get_by_label("Prompt")).to_be_focused()
    expect(page).to_have_url(re.compile(r"/\?prompt=kite$"))
    page.get_by_label("Prompt").fill("two kites")
    edit = make(editor, page)
    assert len(edit.files) == 2
    with editor.service.client(ALICE) as client:
        [made] = client.get("/image", params={"prompt": "two kites"}).json()
    assert made["derived_from"] == [first, second]


@pytest.mark.slow
def test_what_cannot_be_edited_is_said(editor: Gateway, gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url)
    problems = page.locator(".toast.problem")
    text = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    pick(page, text, {"name": "fake.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(problems.first).to_contain_text("notes.txt is left out: only PNG, JPEG and WebP")
    expect(problems.last).to_contain_text("fake.png is left out: it cannot be read")
    page.evaluate("Object.defineProperty(Blob.prototype, 'size', {get: () => 51 * 1024 * 1024})")
    give(page, "paste", picture("huge.png"))
    expect(problems.last).to_contain_text("huge.png is left out: a file may have 50 MiB")
    page.reload()
    pick(page, *(picture(f"{number}.png", (8, 8)) for number in range(18)))
    expect(problems.last).to_contain_text("At most 16 pictures can be edited at once: 2 left out.")
    expect(page.locator("#sources .drop")).to_have_count(16)
    page = open_page(user=ALICE)
    expect(page.get_by_role("button", name="Add pictures")).to_have_count(0)
    give(page, "drop", picture("a.png"))
    expect(page.locator(".toast.problem")).to_contain_text("makes pictures from prompts only")


ALPHA = """(image, [x, y]) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [canvas.width, canvas.height, context.getImageData(x, y, 1, 1).data[3]];
}"""


def mask_at(page: Page, x: int, y: int) -> list[int]:
    """Return width and height of the mask, and its opacity at a point."""
    found: list[int] = page.get_by_alt_text("The mask: what may change").evaluate(ALPHA, [x, y])
    return found


@pytest.mark.slow
def test_a_mask_is_painted_by_mouse(editor: Gateway, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url, viewport={"width": 700, "height": 600})
    pick(page, picture("room.png"), picture("lamp.png"))
    page.get_by_role("button", name="Paint a mask").click()
    dialog = page.get_by_role("dialog", name="Mask")
    status = dialog.get_by_role("status")
    expect(status).to_have_text("Nothing is painted.")
    dialog.get_by_role("button", name="Use the mask").click()
    expect(status).to_contain_text("paint over what may change first")
    box = dialog.locator("canvas").bounding_box()
    assert box is not None

    def stroke(height: float) -> None:
        page.mouse.move(box["x"] + 1, box["y"] + box["height"] * height)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] * height, steps=3)
        page.mouse.up()

    stroke(0.5)
    expect(status).to_contain_text("% of the picture may change")
    stroke(0.9)
    dialog.get_by_role("button", name="Undo").click()
    dialog.get_by_role("button", name="Erase").click()
    stroke(0.5)
    expect(status).to_have_text("Nothing is painted.")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    page.mouse.move(box["x"] + 100, box["y"] + 20)
    assert violations(page) == []
    dialog.get_by_role("button", name="Use the mask").click()
    expect(page.get_by_role("button", name="Change mask")).to_be_focused()
    assert mask_at(page, 150, 100) == [300, 200, 0]
    assert mask_at(page, 150, 180) == [300, 200, 255]
    assert violations(page) == []
    page.get_by_label("Prompt").fill("another wall")
    edit = make(editor, page)
    assert [part.name for part in edit.files] == ["image[]", "image[]", "mask"]
    page.get_by_role("button", name="Remove room.png").click()
    expect(page.get_by_alt_text("The mask: what may change")).to_have_count(0)


@pytest.mark.slow
def test_a_mask_is_painted_by_keyboard(editor: Gateway, open_page: Open) -> None:
    guid = stored(editor, "a room to paint")
    page = open_page(f"/?edit={guid}", user=ALICE, at=editor.service.url)
    page.get_by_role("button", name="Paint a mask").press("Enter")
    canvas, status = page.locator(".masking canvas"), page.locator(".masking [role=status]")
    expect(canvas).to_be_focused()
    page.keyboard.press("Space")
    expect(status).to_contain_text("% of the picture may change")
    page.keyboard.press("]")
    page.keyboard.press("[")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.down("Space")
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    page.keyboard.up("Space")
    page.keyboard.press("Control+y")
    expect(status).to_have_text("Nothing to redo.")
    page.keyboard.press("Tab")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Paint a mask")).to_be_focused()
    # What was cancelled is gone; inverted and cleared marks can be undone.
    page.keyboard.press("Enter")
    expect(status).to_have_text("Nothing is painted.")
    page.get_by_role("button", name="Invert").press("Enter")
    expect(status).to_have_text("100 % of the picture may change.")
    page.get_by_role("button", name="Clear").press("Enter")
    page.keyboard.press("Control+z")
    page.get_by_role("button", name="Erase").press("Enter")
    canvas.press("Space")
    page.get_by_role("button", name="Use the mask").press("Enter")
    assert [mask_at(page, *point)[2] for point in ((16, 16), (1, 1))] == [255, 0]
    assert violations(page) == []
    page.get_by_label("Prompt").fill("painted by keys")
    # A stored picture is not uploaded again.
    with page.expect_request("**/v1/images/edits"):
        edit = make(editor, page)
    assert [part.name for part in edit.files] == ["image", "mask"]
    page.get_by_role("button", name="Remove the mask").press("Enter")
    expect(page.get_by_role("button", name="Paint a mask")).to_be_focused()


@pytest.mark.slow
def test_a_lost_upload_is_tried_again_and_a_budget_refuses_one(editor: Gateway, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url)
    pick(page, picture("a.png"))
    page.get_by_label("Prompt").fill("a ferry that sank")
    page.route("**/v1/images/edits", lambda route: route.abort())
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#making .fail b")).to_have_text("Not reached")
    page.unroute("**/v1/images/edits")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    assert len([edit for edit in editor.upstream.edits if edit.json["prompt"] == "a ferry that sank"]) == 1
    # A refusal reads like that of any other picture.
    budget(editor, "set", "user:alice", "0.001")
    page.get_by_label("Prompt").fill("a ferry that is too large")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#making .fail b")).to_have_text("Over the budget")
    expect(page.locator("#making .fail")).to_contain_text("Your budget")
    budget(editor, "remove", "user:alice")


def choose_count(page: Page, count: str) -> None:
    page.locator(".options summary").click()
    page.get_by_role("combobox", name="Pictures").select_option(count)
    page.keyboard.press("Escape")


@pytest.mark.slow
def test_files_are_sent_once_for_several_pictures(editor: Gateway, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url)
    pick(page, picture("a.png"))
    page.get_by_label("Prompt").fill("three ferries")
    choose_count(page, "3")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/edits") else None)
    before = len(editor.upstream.edits)
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(3)
    [edit] = editor.upstream.edits[before:]
    assert (len(sent), edit.json["n"]) == (1, "3")
    # All of them are refused together, which is said before the click and once after it.
    budget(editor, "set", "user:alice", "0.1")
    page.get_by_label("Prompt").fill("four ferries")
    choose_count(page, "4")
    expect(page.locator("#price")).to_contain_text("It would be refused: your budget")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#making .fail b")).to_have_text(["Over the budget"])
    expect(page.locator("#making .tile")).to_have_count(4)
    budget(editor, "remove", "user:alice")


@pytest.mark.slow
def test_who_leaves_before_files_are_sent_is_warned(editor: Gateway, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url)
    warned: list[str] = []
    page.on("dialog", lambda dialog: (warned.append(dialog.type), dialog.accept()))
    pick(page, picture("a.png"))
    page.get_by_label("Prompt").fill("two lost ferries")
    choose_count(page, "2")
    page.route("**/v1/images/edits", lambda route: route.abort())
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#making .fail b")).to_have_text(["Not reached"] * 2)
    page.reload()
    assert warned == ["beforeunload"]
    expect(page.locator("#making .tile")).to_have_count(0)
    pick(page, picture("a.png"))
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#making .fail b")).to_have_text(["Not reached"] * 2)
    # Of what is made by one call, all are given up.
    page.get_by_role("button", name="Give up").first.click()
    expect(page.locator("#making .tile")).to_have_count(0)
    page.reload()
    page.unroute("**/v1/images/edits")
    pick(page, picture("a.png"))
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(2)
    page.reload()
    assert warned == ["beforeunload"]


@pytest.mark.slow
def test_files_without_a_script(editor: Gateway, open_page: Open) -> None:
    guid = stored(editor, "a script that is missing")
    page = open_page(at=editor.service.url, java_script_enabled=False)
    log_in(page, ALICE)
    page.goto(f"/?edit={guid}")
    page.get_by_label("Prompt").fill("made by a form")
    page.locator(".options summary").click()
    page.locator("input[type=file]").set_input_files([picture("a.png")])
    page.get_by_role("button", name="Make", exact=True).click()
    page.wait_for_url(re.compile("/view/"))
    page.reload()
    expect(page.locator(".whole")).to_be_visible()
    assert len(editor.upstream.edits[-1].files) == 2


@pytest.mark.slow
def test_a_narrow_bar_holds_its_sources(editor: Gateway, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url, viewport={"width": 320, "height": 640}, has_touch=True)
    pick(page, *(picture(f"{number}.png", (8, 8)) for number in range(9)))
    expect(page.locator("#sources .drop")).to_have_count(9)
    page.get_by_role("button", name="Paint a mask").click()
    page.locator(".masking canvas").tap()
    expect(page.locator(".masking [role=status]")).to_contain_text("% of the picture may change")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """[...document.querySelectorAll(".masking button, .masking input, #sources button")]
           .map((e) => e.getBoundingClientRect()).filter((box) => box.width < 24 || box.height < 15).length"""
    )
    assert small == 0
