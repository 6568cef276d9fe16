"""Legibility of captions: fonts, wrapping, ellipsis, contrast, and replacements for missing glyphs."""

from random import Random

import pytest
from PIL import Image

from pixyproxy.adapters.sketch import caption, fonts
from pixyproxy.adapters.sketch.palette import choose_palette, mix, oklch


@pytest.fixture
def only_pillows_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine without fonts."""
    monkeypatch.setattr(fonts, "_names", lambda: (None,))


def lines_of(layout: caption._Layout) -> list[str]:
    return ["".join(text for text, _ in runs) for runs in layout.lines]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a duck", "a duck"),
        ("  a \n duck\t", "a duck"),
        ("a\x00b\x1b[c", "ab[c"),
        ("🦆 duck", "[duck] duck"),
        ("👍🏽", "[thumbs up sign]"),
        ("中", "U+4E2D"),
        ("ひらがな", "hiragana"),
        ("한글", "hangeul"),
        ("Привет", "privet"),
        ("\ud800", "?"),
        ("\u200b", ""),
        ("\U0010ffff", "U+10FFFF"),
    ],
    ids=ascii,
)
@pytest.mark.usefixtures("only_pillows_font")
def test_missing_glyphs_are_spelled_out(text: str, shown: str) -> None:
    spelled = fonts.readable(text)
    if text in ("Привет", "한글"):  # the names of letters only approximate their sound
        assert spelled.isascii()
        assert spelled.isalpha()
        assert spelled.islower()
    else:
        assert spelled == shown


@pytest.mark.usefixtures("only_pillows_font")
def test_different_texts_without_a_font_differ() -> None:
    texts = ["猫", "犬", "鳥", "🐱", "🐶", "кот", "пёс", "قط"]
    spelled = {fonts.readable(text) for text in texts}
    assert len(spelled) == len(texts)
    assert all(spelled)


def test_stacked_marks_are_limited() -> None:
    assert len(fonts.readable("e" + "\u0301" * 50)) <= 4


def test_a_missing_glyph_is_recognised() -> None:
    assert fonts._shows(None, "a")
    assert fonts._shows(None, " ")
    assert not fonts._shows(None, "中")
    assert not fonts._shows(None, "\u0301")


def test_a_font_of_the_system_is_used_if_it_shows_more() -> None:
    if "DejaVuSans.ttf" not in fonts._names():
        pytest.skip("this machine lacks the DejaVu fonts")
    assert fonts.readable("Привет, мир") == "Привет, мир"
    assert fonts.best_font("Привет, мир") == "DejaVuSans.ttf"
    assert fonts.best_font("hello") is None
    assert fonts.font_for("мир", None) == "DejaVuSans.ttf"
    assert fonts.font_for("world", None) is None
    # A vowel sign that the font lacks: shaping would draw a dotted circle for it, which is not that sign.
    assert not fonts._shows("DejaVuSans.ttf", "\u093e")
    assert fonts._shows("DejaVuSans.ttf", "ж")


@pytest.mark.parametrize("text", ["a duck", "one two three four five six seven", "word " * 100, "x" * 600, "字" * 600])
@pytest.mark.parametrize(("room", "height"), [(900, 400), (200, 60), (20, 20), (1, 1)])
def test_lines_fit_and_lose_only_text_after_the_ellipsis(text: str, room: int, height: int) -> None:
    shown = fonts.readable(text)
    layout = caption._fit(shown, 40, room, height)
    lines = lines_of(layout)
    assert lines
    for line in lines:
        assert len(line) <= 2 or caption._width(line, fonts.best_font(shown), layout.size) <= room
    written = "".join(lines).replace(" ", "")
    if layout.complete:
        assert written == shown.replace(" ", "")
    else:
        assert written.endswith("…")
        assert shown.replace(" ", "").startswith(written[:-1])


def test_long_text_shrinks_before_it_is_cut() -> None:
    short = caption._fit("a duck", 40, 900, 400)
    long = caption._fit("a rubber duck on a sink " * 8, 40, 900, 400)
    assert short.size == 40
    assert long.size < 40
    assert long.complete


def test_lines_are_of_about_the_same_length() -> None:
    lines = lines_of(caption._fit("Ein Käsefondue für Zürich, bitte schön", 44, 700, 400))
    assert len(lines) == 2
    assert min(map(len, lines)) > max(map(len, lines)) * 0.7


def test_empty_text_draws_nothing() -> None:
    palette = choose_palette(Random(1))
    image = Image.new("RGB", (200, 200), "white")
    caption.draw_caption(image, "\x00\u200b", palette)
    assert image.getcolors() == [(40_000, (255, 255, 255))]


@pytest.mark.parametrize("ground", ["white", "black"])
def test_captions_have_the_contrast_of_wcag_on_any_background(ground: str) -> None:
    for seed in range(60):
        image = Image.new("RGB", (300, 300), ground)
        caption.draw_caption(image, "MMMM MMMM", choose_palette(Random(seed)))
        panel = image.crop((20, 235, 280, 285)).getcolors(100_000)
        assert panel
        (_, ground_colour), writing = max(panel), max(luminance(colour) for _, colour in panel)
        assert (writing + 0.05) / (
            luminance(ground_colour) + 0.05
        ) >= 7  # https://www.w3.org/TR/WCAG22/#contrast-enhanced


def luminance(colour: object) -> float:
    assert isinstance(colour, tuple)
    r, g, b = ((v / 255 / 12.92) if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_colours() -> None:
    assert oklch(0, 0, 0) == (0, 0, 0)
    assert oklch(1, 0, 0) == (255, 255, 255)
    # Red in OKLCH, as CSS Color 4 gives it: oklch(0.628 0.2577 29.23).
    assert all(abs(a - b) <= 2 for a, b in zip(oklch(0.628, 0.2577, 29.23), (255, 0, 0), strict=True))
    assert mix((0, 0, 0), (100, 200, 50), 0.5) == (50, 100, 25)
