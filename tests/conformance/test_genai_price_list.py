"""GenaiPriceList: the port's contract, and the operator's prices before the shipped ones."""

import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.prices.genai_price_list import GenaiPriceList
from pixyproxy.adapters.prices.price_file import parse_prices
from pixyproxy.domain.image import Picture
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.domain.money.prices import Price, PricedRequest
from tests.conformance.contracts.price_list import AT, PriceListContract, usd

OPENAI = "https://api.openai.com/v1"
SHIPPED = f"genai-prices {version('genai-prices')}"
FAMILY = ("gpt-image-1-mini", "gpt-image-1", "gpt-image-1.5", "gpt-image-2", "gpt-image-2.5-flare")
FILE = b"""
[[prices]]
model = "flat-*"
usd_per_image = "0.04"

[[prices]]
model = "tiered"
usd_per_image = { "low/*" = 0.01, "high/1024x1024" = "0.05", "high/*" = "0.08" }

[[prices]]
model = "tokens"
usd_per_million = { text_in = 1, image_in = 2, text_out = 3, image_out = "40.5" }

[[prices]]
model = "local"
free = true

[[prices]]
model = "bounded"
ceiling_usd = "0.25"

[[prices]]
model = "reports"
reported = true
ceiling_usd = 1

[[prices]]
model = "gpt-image-1"
reported = true
"""


def listing(content: bytes = FILE, default: str = "gpt-image-2", url: str | None = OPENAI) -> GenaiPriceList:
    return GenaiPriceList(parse_prices(content, Path("prices.toml")), default, url)


def tokens(text_in: int, image_out: int, **details: Any) -> dict[str, Any]:
    """Return a usage as OpenAI reports it, without details of the output."""
    return {
        "input_tokens": text_in,
        "output_tokens": image_out,
        "total_tokens": text_in + image_out,
        "input_tokens_details": {"text_tokens": text_in, "image_tokens": 0},
        **details,
    }


class TestGenaiPriceList(PriceListContract):
    adapter = GenaiPriceList
    priced = (*FAMILY, "flat-1", "tiered", "tokens", "local", "bounded", "gpt-image-1-mini")
    unpriced = "dall-e-9"

    @pytest.fixture
    def prices(self) -> GenaiPriceList:
        return listing()


# --- the shipped table ------------------------------------------------------------------------------------------


async def test_a_published_usage_record_prices_as_the_bill() -> None:
    """3840x2160 by gpt-image-2 has 13,342 output tokens, at 30 USD a million; text input costs 5."""
    request = PricedRequest("gpt-image-2", "x", {"size": "3840x2160", "quality": "high"})
    output = await listing().cost_of(request, AT, tokens(0, 13_342))
    assert output == Cost(Decimal("0.400260"), CostState.PRICED, SHIPPED, date(2026, 11, 21))
    whole = await listing().cost_of(request, AT, tokens(1000, 13_342))
    assert whole.usd == Decimal("0.405260")


@pytest.mark.parametrize("details", [{}, {"output_tokens_details": None}, {"output_tokens_details": "?"}])
async def test_output_without_details_is_image_tokens(details: dict[str, Any]) -> None:
    """gpt-image-1.5 has 32 USD a million for image output and 10 for text output."""
    cost = await listing().cost_of(PricedRequest("gpt-image-1.5"), AT, tokens(23, 1056, **details))
    assert cost.usd == Decimal("0.033907")  # 23 * 5 + 1056 * 32 micro-dollars
    split = {"output_tokens_details": {"image_tokens": 1000, "text_tokens": 56}}
    detailed = await listing().cost_of(PricedRequest("gpt-image-1.5"), AT, tokens(23, 1056, **split))
    assert detailed.usd == Decimal("0.032675")  # 23 * 5 + 1000 * 32 + 56 * 10


async def test_input_of_an_edit_is_priced_by_kind_and_without_details_as_text() -> None:
    details = {"text_tokens": 100, "image_tokens": 1000}
    edit = {"input_tokens": 1100, "output_tokens": 10, "input_tokens_details": details}
    assert usd(await listing().cost_of(PricedRequest("gpt-image-2"), AT, edit)) == Decimal("0.0088")
    plain = {"input_tokens": 1100, "output_tokens": 10}
    assert usd(await listing().cost_of(PricedRequest("gpt-image-2"), AT, plain)) == Decimal("0.0058")


MALFORMED: list[dict[str, Any]] = [
    {"input_tokens": True, "output_tokens": 1},
    {"input_tokens": 1, "output_tokens": float("nan")},
    {"input_tokens": 1, "output_tokens": 10**400},
    {"input_tokens": 1, "output_tokens": 10**14},
    {"input_tokens": 1},
    tokens(1, 10, output_tokens_details={"image_tokens": 20, "text_tokens": 0}),
]


@pytest.mark.parametrize("usage", MALFORMED)
async def test_a_usage_that_cannot_be_meant_is_estimated(usage: dict[str, Any]) -> None:
    request = PricedRequest("gpt-image-1.5", "x")
    cost = await listing().cost_of(request, AT, usage)
    assert cost.state is CostState.ESTIMATED
    assert cost.usd == usd(await listing().price_of(request, AT))


PUBLISHED = {
    "gpt-image-1-mini": {"low": (625, 750), "medium": (1375, 1875), "high": (4500, 6500)},
    "gpt-image-1": {"low": (272, 408), "medium": (1056, 1584), "high": (4160, 6240)},
    "gpt-image-1.5": {"low": (272, 408), "medium": (1056, 1584), "high": (4160, 6240)},
    "gpt-image-2": {"low": (196, 158), "medium": (1756, 1372), "high": (7024, 5488)},
    "gpt-image-2.5-flare": {"low": (196, 158), "medium": (439, 343), "high": (1756, 1372), "max": (7024, 5488)},
}
"""Output tokens of 1024x1024 and 1024x1536."""


@pytest.mark.parametrize("model", PUBLISHED)
async def test_the_highest_price_is_not_below_any_published_output(model: str) -> None:
    prices, prompt = listing(b""), "ein Pinguin 🐧"
    for quality, outputs in PUBLISHED[model].items():
        for size, output in zip(("1024x1024", "1024x1536"), outputs, strict=True):
            for chosen_size, chosen in itertools.product((size, "auto", "a", 7), (quality, "auto", None, ["q"])):
                request = PricedRequest(model, prompt, {"size": chosen_size, "quality": chosen, "partial_images": 3}, 2)
                actual = await prices.cost_of(request, AT, tokens(2 * 20, 2 * (output + 300)))
                assert actual.state is CostState.PRICED
                assert usd(await prices.price_of(request, AT)) >= usd(actual), (quality, size, chosen_size, chosen)


@pytest.mark.parametrize(
    ("size", "output"),
    [("3840x2160", 13_342), ("1792x1024", 5_063), ("3584x2048", 12_329), ("1024x1024", 7_024), ("2880x2880", 23_719)],
)
async def test_the_highest_price_follows_the_published_calculator(size: str, output: int) -> None:
    request = PricedRequest("gpt-image-2", "x", {"size": size, "quality": "high"})
    excess = usd(await listing().price_of(request, AT)) - Decimal(output) * 30 / 1_000_000
    assert Decimal(0) < excess < Decimal("0.001")  # the input


@pytest.mark.parametrize("size", ["3840x16", "16x16", "0x0", "4000x4000", "99999x99999", "1024X1024", "", 1024, None])
async def test_a_size_beyond_the_published_ones_may_be_any(size: object) -> None:
    found = [
        usd(await listing().price_of(PricedRequest("gpt-image-2", "x", {"size": value, "quality": "high"}), AT))
        for value in (size, "auto")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("model", ["gpt-image-1", "gpt-image-2"])
async def test_each_source_and_each_partial_image_raises_the_highest_price(model: str) -> None:
    choice, source = {"size": "1024x1024", "quality": "low"}, Picture("image/png", 3000, 1000)
    requests = [
        PricedRequest(model, "x", choice),
        PricedRequest(model, "x", choice | {"partial_images": 1}),
        PricedRequest(model, "x", choice | {"partial_images": 3}),
        PricedRequest(model, "x", choice | {"partial_images": 3}, 1, (source,)),
        PricedRequest(model, "x", choice | {"partial_images": 3}, 1, (source, source)),
    ]
    found = [usd(await listing(b"").price_of(request, AT)) for request in requests]
    assert found == sorted(set(found))


async def test_no_model_is_the_default_one() -> None:
    assert await listing().price_of(PricedRequest(None), AT) == await listing().price_of(
        PricedRequest("gpt-image-2"), AT
    )


async def test_prices_change_on_their_day() -> None:
    """Some models have dated prices: the day of the call decides."""
    from genai_prices.data import providers
    from genai_prices.types import StartDateConstraint

    model, start = next(
        (model.id, dated.constraint.start_date)
        for provider in providers
        for model in provider.models
        if provider.id == "google" and isinstance(model.prices, list)
        for dated in model.prices
        if isinstance(dated.constraint, StartDateConstraint)
    )
    prices = listing(b"", url="https://generativelanguage.googleapis.com/v1beta/openai")
    changed = datetime.combine(start, datetime.min.time(), UTC)
    usage = tokens(10**6, 10**6)
    before = await prices.cost_of(PricedRequest(model), changed.replace(year=2000), usage)
    after = await prices.cost_of(PricedRequest(model), changed.replace(hour=1), usage)
    assert (before.usd != after.usd, before.source) == (True, f"{SHIPPED}, google")


async def test_another_server_has_the_prices_of_openai_and_another_generator_none() -> None:
    request = PricedRequest("gpt-image-2")
    assert await listing(url="http://127.0.0.1:9/v1").price_of(request, AT) == await listing().price_of(request, AT)
    assert (await listing(url=None).price_of(request, AT)).state is CostState.UNPRICED


# --- the operator's file ----------------------------------------------------------------------------------------


async def test_a_price_per_picture_needs_no_usage() -> None:
    cost = await listing().cost_of(PricedRequest("Flat-1", "x", n=3), AT, None)
    assert (cost.usd, cost.state) == (Decimal("0.12"), CostState.PRICED)
    assert cost.source is not None
    assert cost.source.startswith("prices.toml ")


@pytest.mark.parametrize(
    ("options", "highest", "cost", "state"),
    [
        ({"quality": "high", "size": "1024x1024"}, "0.05", "0.05", "priced"),
        ({"quality": "high", "size": "512x512"}, "0.08", "0.08", "priced"),
        ({"quality": "low"}, "0.01", "0.01", "priced"),
        ({"quality": "high"}, "0.08", "0.08", "estimated"),
        ({}, "0.08", "0.08", "estimated"),
        ({"quality": "ultra", "size": "1024x1024"}, "0.08", "0.08", "estimated"),
    ],
)
async def test_a_table_prices_by_quality_and_size(options: dict[str, str], highest: str, cost: str, state: str) -> None:
    request = PricedRequest("tiered", "x", options)
    assert usd(await listing().price_of(request, AT)) == Decimal(highest)
    found = await listing().cost_of(request, AT, None)
    assert (found.usd, found.state) == (Decimal(cost), state)


async def test_prices_per_million_tokens_are_by_kind() -> None:
    usage = {
        "input_tokens": 30,
        "output_tokens": 70,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 20},
        "output_tokens_details": {"text_tokens": 30, "image_tokens": 40},
    }
    cost = await listing().cost_of(PricedRequest("tokens"), AT, usage)
    assert cost.usd == Decimal("0.00176")  # 10 * 1 + 20 * 2 + 30 * 3 + 40 * 40.5 micro-dollars


async def test_free_is_priced_at_nothing() -> None:
    assert await listing().cost_of(PricedRequest("local"), AT, None) == Cost(
        Decimal(0), CostState.PRICED, (await listing().price_of(PricedRequest("local"), AT)).source, AT.date()
    )


async def test_a_ceiling_alone_is_an_estimate() -> None:
    request = PricedRequest("bounded", "x", n=2)
    price = await listing().price_of(request, AT)
    assert price == Price(Decimal("0.5"), Decimal("0.5"), CostState.ESTIMATED, price.source)
    cost = await listing().cost_of(request, AT, tokens(1, 1))
    assert (cost.usd, cost.state) == (Decimal("0.5"), CostState.ESTIMATED)


async def test_a_ceiling_goes_before_the_computed_highest_price() -> None:
    prices = listing(b'[[prices]]\nmodel = "gpt-image-*"\nceiling_usd = "0.02"')
    price = await prices.price_of(PricedRequest("gpt-image-2", "x"), AT)
    assert price == Price(Decimal("0.02"), Decimal("0.02"), CostState.PRICED, SHIPPED)
    assert usd(await prices.cost_of(PricedRequest("gpt-image-2"), AT, tokens(0, 13_342))) == Decimal("0.40026")


@pytest.mark.parametrize("value", [0.0421, "0.0421"])
async def test_a_reported_cost_is_believed_where_the_operator_says_so(value: object) -> None:
    usage = tokens(1, 1000, cost=value)
    for model in ("reports", "gpt-image-1"):
        cost = await listing().cost_of(PricedRequest(model), AT, usage)
        assert cost == Cost(Decimal("0.0421"), CostState.PRICED, "upstream", AT.date())
    cost = await listing().cost_of(PricedRequest("gpt-image-2"), AT, usage)
    assert (cost.usd, cost.source) == (Decimal("0.030005"), SHIPPED)


@pytest.mark.parametrize("value", [None, True, -1, float("nan"), float("inf"), "much", 10**400, [1], {}])
async def test_a_reported_cost_that_cannot_be_meant_is_not(value: object) -> None:
    cost = await listing().cost_of(PricedRequest("gpt-image-1"), AT, tokens(1, 1000, cost=value))
    assert (cost.usd, cost.source) == (Decimal("0.040005"), SHIPPED)
    unknown = await listing().cost_of(PricedRequest("reports"), AT, tokens(1, 1000, cost=value))
    assert (unknown.usd, unknown.state) == (Decimal(1), CostState.ESTIMATED)


async def test_the_first_entry_that_covers_a_model_decides() -> None:
    content = b'[[prices]]\nmodel = "gpt-image-2"\nfree = true\n[[prices]]\nmodel = "*"\nusd_per_image = 1'
    assert usd(await listing(content).price_of(PricedRequest("gpt-image-2"), AT)) == 0
    assert usd(await listing(content).price_of(PricedRequest("dall-e-9"), AT)) == 1
