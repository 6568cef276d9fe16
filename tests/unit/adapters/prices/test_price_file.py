"""The operator's file of prices: its forms, and a line for each mistake."""

from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.adapters.prices.price_file import PriceEntry, PriceFileError, parse_prices, read_price_file

PATH = Path("/etc/pixyproxy/prices.toml")
HEAD = '[[prices]]\nmodel = "gpt-*"\n'


def parse(text: str) -> tuple[PriceEntry, ...]:
    return parse_prices(text.encode(), PATH)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('usd_per_image = "0.04"', {"usd_per_image": {"*/*": Decimal("0.04")}}),
        ("usd_per_image = 0.1", {"usd_per_image": {"*/*": Decimal("0.1")}}),
        (
            'usd_per_image = {"high/1024x1024" = "0.167", "low/*" = 0}',
            {"usd_per_image": {"high/1024x1024": Decimal("0.167"), "low/*": Decimal(0)}},
        ),
        (
            "usd_per_million = {text_in = 5, image_in = 8, text_out = 10, image_out = 30}",
            {"usd_per_million": {"text_in": 5, "image_in": 8, "text_out": 10, "image_out": 30}},
        ),
        ("free = true", {"free": True}),
        ("reported = true", {"reported": True}),
        ('reported = true\nceiling_usd = "0.5"', {"reported": True, "ceiling_usd": Decimal("0.5")}),
        ("ceiling_usd = 2", {"ceiling_usd": Decimal(2)}),
    ],
)
def test_every_form_is_read(text: str, form: dict[str, object]) -> None:
    [entry] = parse(HEAD + text)
    assert entry == PriceEntry("gpt-*", entry.source, **form)  # type: ignore[arg-type]


def test_the_source_names_the_file_and_its_content() -> None:
    one, other = (parse(HEAD + f"ceiling_usd = {usd}")[0].source for usd in (1, 2))
    assert one != other
    assert {source.split(" ")[0] for source in (one, other)} == {"prices.toml"}


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "\ufeff# by an editor\n", "prices = []"])
def test_a_file_may_be_empty(text: str) -> None:
    assert parse(text) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[prices]", ["not TOML", "[[prices]]"]),
        ('model = "x"', ["'model' at its top", "[[prices]]"]),
        ("[prices]\nfree = true", ["no list of tables", "[[prices]]"]),
        ("prices = [1]", ["no list of tables"]),
        ("[[prices]]\nfree = true", ["entry 1", "model must be text"]),
        ("[[prices]]\nmodel = 7\nfree = true", ["entry 1", "model must be text"]),
        ('[[prices]]\nmodel = " "\nfree = true', ["entry 1", "model must be text"]),
        (HEAD, ["entry 1 (model 'gpt-*')", "has no price", "usd_per_image", "ceiling_usd alone"]),
        (HEAD + "free = true\nreported = true", ["has free and reported", "one of"]),
        (HEAD + "free = false", ["free must be true"]),
        (HEAD + 'reported = "yes"', ["reported must be true"]),
        (HEAD + "free = true\nceiling_usd = 1", ["free needs no ceiling_usd"]),
        (HEAD + "usd_per_picture = 1", ["usd_per_picture is not known", "usd_per_image"]),
        (HEAD + 'usd_per_image = "4 cents"', ["usd_per_image must be an amount", '"0.04"']),
        (HEAD + "usd_per_image = -1", ["usd_per_image must be an amount"]),
        (HEAD + "usd_per_image = true", ["usd_per_image must be an amount"]),
        (HEAD + "usd_per_image = nan", ["usd_per_image must be an amount"]),
        (HEAD + "usd_per_image = inf", ["usd_per_image must be an amount"]),
        (HEAD + "usd_per_image = 1000001", ["from 0 to 1000000"]),
        (HEAD + "usd_per_image = {}", ["usd_per_image is empty", "high/1024x1024"]),
        (HEAD + 'usd_per_image = {high = "1"}', ["'high' must be \"quality/size\""]),
        (HEAD + 'usd_per_image = {"high/*" = "dear"}', ["usd_per_image.'high/*' must be an amount"]),
        (HEAD + "usd_per_million = 5", ["usd_per_million must be a table of text_in, image_in, text_out, image_out"]),
        (HEAD + "usd_per_million = {text_in = 5}", ["all four"]),
        (
            HEAD + "usd_per_million = {text_in = 5, image_in = 8, text_out = 10, image_out = 30, audio = 1}",
            ["nothing else"],
        ),
        (
            HEAD + 'usd_per_million = {text_in = 5, image_in = 8, text_out = 10, image_out = "x"}',
            ["usd_per_million.image_out must be an amount"],
        ),
        (HEAD + "ceiling_usd = []", ["ceiling_usd must be an amount"]),
        (HEAD + "free = true\n" + HEAD + "free = 1", ["entry 2 (model 'gpt-*')"]),
    ],
)
def test_a_mistake_is_one_line_that_names_file_entry_and_remedy(text: str, words: list[str]) -> None:
    with pytest.raises(PriceFileError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith(f"{PATH}: ")
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("content", [b"\xff\xfe", "model = ümlaut".encode("latin-1"), b"a = " + b"[" * 100_000])
def test_a_file_that_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(PriceFileError, match="not TOML in UTF-8"):
        parse_prices(content, PATH)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: (HEAD + text).encode()))
def test_nothing_but_a_mistake_is_raised(content: bytes) -> None:
    with suppress(PriceFileError):
        parse_prices(content, PATH)


@pytest.mark.parametrize("path", [Path("/nowhere/prices.toml"), Path("/")])
def test_a_file_that_cannot_be_read_is_named(path: Path) -> None:
    with pytest.raises(PriceFileError, match=r"cannot be read .*; name a file of prices"):
        read_price_file(path)


def test_patterns_cover_models_in_any_case() -> None:
    entry = PriceEntry("GPT-image-*", "x")
    assert entry.covers("gpt-Image-2")
    assert not entry.covers("chatgpt-image-2")
