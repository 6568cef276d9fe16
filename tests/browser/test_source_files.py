"""Files to edit in a real browser: turned upright, dropped beside their place, and their masks."""

import base64
import hashlib
import io

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.test_editing import give, make, names, pick, picture
from tests.fixtures.openai.gateway import Gateway
from tests.fixtures.services import ALICE

STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    6: Image.Transpose.ROTATE_90,
}
"""The change of a picture before it is stored under an orientation of EXIF."""
KEEP_FILES = """() => {
    const append = FormData.prototype.append;
    FormData.prototype.append = function (name, value, ...rest) {
        if (name === "image[]") {
            const reader = new FileReader();
            reader.onload = () => { window.sent = reader.result; };
            reader.readAsDataURL(value);
        }
        return append.call(this, name, value, ...rest);
    };
}"""

SHOWN = """async (data) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return [[5, 5], [5, 30], [30, 5], [5, 58], [58, 5], [58, 58]]
        .map(([x, y]) => context.getImageData(x, y, 1, 1).data[0] < 128);
}"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_turned_picture_is_sent_as_it_is_shown(editor: Gateway, open_page: Open, kind: str) -> None:
    page = open_page(user=ALICE, at=editor.service.url)
    page.evaluate(KEEP_FILES)
    shown = Image.new("RGB", (64, 64), "white")
    shown.paste("black", (0, 0, 20, 40))
    for orientation, turn in STORED_AS.items():
        exif, data = Image.Exif(), io.BytesIO()
        exif[0x0112] = orientation
        (shown if turn is None else shown.transpose(turn)).save(data, kind, quality=95, exif=exif)
        pick(page, {"name": f"a.{kind}", "mimeType": f"image/{kind.lower()}", "buffer": data.getvalue()})
        expect(page.locator("#sources .drop")).to_have_count(1)
        page.get_by_label("Prompt").fill(f"turned {kind} {orientation}")
        [file] = make(editor, page).files
        sent = base64.b64decode(page.evaluate("window.sent").partition(",")[2])
        assert hashlib.sha256(sent).hexdigest() == file.sha256
        with Image.open(io.BytesIO(sent)) as found:
            assert found.format == kind
            gray, turns = found.convert("L").tobytes(), found.getexif().get(0x0112)
        dark = [gray[64 * y + x] < 128 for x, y in ((5, 5), (5, 30), (30, 5), (5, 58), (58, 5), (58, 58))]
        assert dark == page.evaluate(SHOWN, base64.b64encode(data.getvalue()).decode())
        # Chromium does not turn a WebP.
        assert kind == "WEBP" or dark == [True, True, False, False, False, False]
        assert turns == (1 if orientation == 1 else None)
        # What lies upright stays as it is.
        assert (sent == data.getvalue()) is (orientation == 1)
        page.locator("#sources .drop").click()


@pytest.mark.slow
def test_a_file_that_is_dropped_on_the_mask_editor_does_not_replace_the_page(editor: Gateway, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url)
    pick(page, picture("room.png"))
    # The editor opens once, however slow its picture is.
    page.get_by_role("button", name="Paint a mask").evaluate("(button) => { button.click(); button.click(); }")
    expect(page.locator(".masking canvas")).to_be_focused()
    expect(page.locator(".masking")).to_have_count(1)
    for event in ("dragover", "drop"):
        assert not give(page, event, picture("other.png"))
    page.keyboard.press("Escape")
    expect(page.locator(".masking")).to_have_count(0)
    assert names(page) == ["room.png"]


@pytest.mark.slow
def test_a_mask_that_cannot_be_stored_is_said(editor: Gateway, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url)
    pick(page, picture("room.png"))
    page.get_by_role("button", name="Paint a mask").click()
    page.locator(".masking canvas").press("Space")
    page.evaluate("() => { HTMLCanvasElement.prototype.toBlob = (done) => done(null); }")
    page.get_by_role("button", name="Use the mask").click()
    expect(page.locator(".toast.problem")).to_contain_text("The mask cannot be painted")
    expect(page.locator(".masking")).to_have_count(0)


@pytest.mark.slow
def test_files_that_are_left_out_are_forgotten(editor: Gateway, open_page: Open) -> None:
    page = open_page(user=ALICE, at=editor.service.url)
    page.evaluate(
        """() => {
            window.gone = 0;
            const revoke = URL.revokeObjectURL;
            URL.revokeObjectURL = (address) => { window.gone += 1; revoke.call(URL, address); };
        }"""
    )
    pick(page, *(picture(f"{number}.png", (8, 8)) for number in range(18)))
    expect(page.locator("#sources .drop")).to_have_count(16)
    assert page.evaluate("window.gone") == 2
