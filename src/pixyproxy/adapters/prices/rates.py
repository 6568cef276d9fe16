"""Rates, which turn a request or the usage of a call into dollars: per token, per picture, or free."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from genai_prices.types import ModelPrice, Usage

from pixyproxy.adapters.prices.shipped_table import read_usage
from pixyproxy.adapters.prices.token_bounds import TokenCounts, largest_tokens, typical_tokens
from pixyproxy.domain.money.amounts import MAX_USD
from pixyproxy.domain.money.prices import PricedRequest


class Rates(ABC):
    """The rates of a model."""

    @abstractmethod
    def highest(self, request: PricedRequest) -> Decimal:
        """Return the most that a call for this request can cost."""

    @abstractmethod
    def typical(self, request: PricedRequest) -> Decimal:
        """Return what a call for this request typically costs."""

    @abstractmethod
    def cost(self, request: PricedRequest, usage: Mapping[str, Any] | None) -> Decimal | None:
        """Return the cost of a call, whose options are those of the request; None if too little is known."""


class FreeRates(Rates):
    """The rates of a model that costs nothing."""

    def highest(self, request: PricedRequest) -> Decimal:
        """Return 0."""
        return Decimal(0)

    typical = highest

    def cost(self, request: PricedRequest, usage: Mapping[str, Any] | None) -> Decimal:
        """Return 0."""
        return Decimal(0)


@dataclass(frozen=True, slots=True)
class PictureRates(Rates):
    """Dollars per picture, by patterns of `quality/size`; the first that fits decides."""

    by_choice: Mapping[str, Decimal]

    def highest(self, request: PricedRequest) -> Decimal:
        """Return the price of the choice, or of the dearest one that the request leaves open, or else of all."""
        fitting = self._fitting(request)
        if fitting and None not in _choice(request):
            return request.n * fitting[0]
        return request.n * max(fitting or self.by_choice.values())

    typical = highest

    def cost(self, request: PricedRequest, usage: Mapping[str, Any] | None) -> Decimal | None:
        """Return the price of the pictures; None if their quality or size is unknown and makes a difference."""
        fitting = self._fitting(request)
        if fitting and (None not in _choice(request) or len(set(fitting)) == 1):
            return request.n * fitting[0]
        return None

    def _fitting(self, request: PricedRequest) -> list[Decimal]:
        quality, size = _choice(request)
        choices = ((*pattern.partition("/"), usd) for pattern, usd in self.by_choice.items())
        return [usd for of_quality, _, of_size, usd in choices if _fits(of_quality, quality) and _fits(of_size, size)]


@dataclass(frozen=True, slots=True)
class TokenRates(Rates):
    """Dollars per million tokens by kind."""

    model: str
    price: ModelPrice

    @classmethod
    def per_million(cls, model: str, usd: Mapping[str, Decimal]) -> "TokenRates":
        """Return the rates with these prices of `text_in`, `image_in`, `text_out` and `image_out`."""
        price = ModelPrice(
            input_mtok=usd["text_in"],
            input_image_mtok=usd["image_in"],
            output_mtok=usd["text_out"],
            output_image_mtok=usd["image_out"],
        )
        return cls(model, price)

    def highest(self, request: PricedRequest) -> Decimal:
        """Return the price of the largest numbers of tokens."""
        return self._price(largest_tokens(self.model, request))

    def typical(self, request: PricedRequest) -> Decimal:
        """Return the price of typical numbers of tokens."""
        return self._price(typical_tokens(self.model, request))

    def _price(self, tokens: TokenCounts) -> Decimal:
        # Text in the output is rare, and counts where it has a price of its own.
        text_out = 0 if self.price.output_image_mtok is None else tokens.text_out
        usage = Usage(
            input_tokens=tokens.text_in + tokens.image_in,
            input_text_tokens=tokens.text_in,
            input_image_tokens=tokens.image_in,
            output_tokens=text_out + tokens.image_out,
            output_text_tokens=text_out,
            output_image_tokens=tokens.image_out,
        )
        return self.price.calc_price(usage)["total_price"]

    def cost(self, request: PricedRequest, usage: Mapping[str, Any] | None) -> Decimal | None:
        """Return the price of the reported tokens; None if their numbers are missing or contradict each other."""
        try:
            usd = self.price.calc_price(read_usage(_with_details(usage or {})))["total_price"]
        except (ValueError, ArithmeticError):
            return None
        return usd if usd <= MAX_USD else None


def reported_cost(usage: Mapping[str, Any] | None) -> Decimal | None:
    """Return the cost in dollars that an upstream reports, None if it reports none or one that cannot be meant."""
    value = (usage or {}).get("cost")
    if type(value) not in (int, float, str):
        return None
    try:
        usd = Decimal(str(value))
    except ArithmeticError:
        return None
    return usd if usd.is_finite() and 0 <= usd <= MAX_USD else None


def _with_details(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return a usage with the details that upstreams leave out: output is image tokens, input is text."""
    result = dict(usage)
    for details, total, kinds in (
        ("input_tokens_details", "input_tokens", ("text_tokens", "image_tokens")),
        ("output_tokens_details", "output_tokens", ("image_tokens", "text_tokens")),
    ):
        if not isinstance(result.get(details), Mapping):
            result[details] = dict(zip(kinds, (result.get(total), 0), strict=True))
    return result


def _choice(request: PricedRequest) -> tuple[str | None, str | None]:
    """Return quality and size, None for one that is left to the model."""
    quality, size = (request.options.get(name) for name in ("quality", "size"))
    return (None if quality in (None, "auto") else str(quality)), (None if size in (None, "auto") else str(size))


def _fits(pattern: str, value: str | None) -> bool:
    return value is None or fnmatchcase(value, pattern)
