"""The table of prices that the package genai-prices ships: model, provider and day decide. It is never fetched."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any

from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, Usage

_PACKAGE = "genai-prices"
_OPENAI = "openai"


@cache
def _snapshot() -> DataSnapshot:
    # Not the one that a process may have fetched.
    from genai_prices.data import providers

    return DataSnapshot(providers=providers, from_auto_update=False)


@cache
def _provider(upstream_url: str | None) -> Provider:
    """Return the provider at an address, else OpenAI, whose API and names of models the upstream has."""
    if upstream_url is not None:
        try:
            return _snapshot().find_provider(None, None, upstream_url)
        except LookupError:
            pass
    return _snapshot().find_provider(None, _OPENAI, None)


@cache
def _source() -> str:
    """Return name and version of the package, read from a file once: there may be none to spare later."""
    return f"{_PACKAGE} {version(_PACKAGE)}"


@lru_cache(maxsize=256)
def _model(upstream_url: str, name: str) -> ModelInfo | None:
    """Return the model of a name. The names are a caller's, so that only some are remembered."""
    return _provider(upstream_url).find_model(name, all_providers=_snapshot().providers)


def find_price(upstream_url: str, model: str, at: datetime) -> tuple[ModelPrice, str] | None:
    """Return the price of a model at a time, and its source; None if the table has none for tokens."""
    provider = _provider(upstream_url)
    found = _model(upstream_url, model)
    price = None if found is None else found.get_prices(at)
    if price is None or price.input_mtok is None or price.output_mtok is None:
        return None
    source = _source()
    return price, source if provider.id == _OPENAI else f"{source}, {provider.id}"


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Return the tokens in the usage of a call to OpenAI's images API; raise ValueError if it is malformed."""
    return _provider(None).extract_usage({"usage": usage}, api_flavor="images")[1]
