"""The operator's file of prices, in TOML: patterns of models, each with its prices."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pixyproxy.domain.money.amounts import MAX_USD

_KEYS = ("model", "usd_per_image", "usd_per_million", "free", "reported", "ceiling_usd")
_METHODS = ("usd_per_image", "usd_per_million", "free", "reported")
TOKEN_KINDS = ("text_in", "image_in", "text_out", "image_out")
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")


class PriceFileError(ValueError):
    """A mistake in the file of prices, in one line that names the file, the entry and what would be right."""


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """An entry: a pattern of models, their prices in at most one form, and the most that a picture can cost.

    `usd_per_image` has patterns of `quality/size`. `source` names where the entry is from.
    """

    model: str
    source: str
    usd_per_image: Mapping[str, Decimal] | None = None
    usd_per_million: Mapping[str, Decimal] | None = None
    free: bool = False
    reported: bool = False
    ceiling_usd: Decimal | None = None

    def covers(self, model: str) -> bool:
        """Return true if the pattern fits the name of a model, without regard to case."""
        return fnmatchcase(model.lower(), self.model.lower())


def read_price_file(path: Path) -> tuple[PriceEntry, ...]:
    """Return the entries in their order.

    Raises:
        PriceFileError: if the file cannot be read, or does not say exactly what is known here.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PriceFileError(f"{path}: cannot be read ({error.strerror}); name a file of prices in TOML") from None
    return parse_prices(content, path)


def parse_prices(content: bytes, path: Path) -> tuple[PriceEntry, ...]:
    """Return the entries in the content of the file at a path; raise PriceFileError as `read_price_file` does."""
    try:
        document = tomllib.loads(content.decode("utf-8-sig"), parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise PriceFileError(f"{path}: is not TOML in UTF-8 ({reason}); write [[prices]] and name = value") from None
    source = f"{path.name} {hashlib.sha256(content).hexdigest()[:8]}"
    entries = document.get("prices", None if document else [])
    unknown = sorted(document.keys() - {"prices"})
    if unknown or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        found = f"has {unknown[0]!r} at its top" if unknown else "has no list of tables `prices`"
        raise PriceFileError(f"{path}: {found}; begin each entry with a line [[prices]]")
    result = []
    for number, entry in enumerate(entries, 1):
        try:
            result.append(_parse_entry(entry, source))
        except PriceFileError as error:
            name = entry.get("model")
            named = f" (model {name!r})" if isinstance(name, str) else ""
            raise PriceFileError(f"{path}: entry {number}{named}: {error}") from None
    return tuple(result)


def _parse_entry(entry: dict[str, Any], source: str) -> PriceEntry:
    if unknown := sorted(entry.keys() - set(_KEYS)):
        raise PriceFileError(f"{unknown[0]} is not known; an entry has {', '.join(_KEYS)}")
    model = entry.get("model")
    if not isinstance(model, str) or not model.strip():
        raise PriceFileError('model must be text, a name or a pattern such as "gpt-image-*"')
    methods = [name for name in _METHODS if name in entry]
    if len(methods) > 1 or not (methods or "ceiling_usd" in entry):
        found = f"has {' and '.join(methods)}" if methods else "has no price"
        raise PriceFileError(f"{found}; give it one of {', '.join(_METHODS)}, or ceiling_usd alone")
    for name in ("free", "reported"):
        if entry.get(name, True) is not True:
            raise PriceFileError(f"{name} must be true, or be left out")
    if "free" in entry and "ceiling_usd" in entry:
        raise PriceFileError("free needs no ceiling_usd; remove one of them")
    per_image, per_million, ceiling = (entry.get(name) for name in ("usd_per_image", "usd_per_million", "ceiling_usd"))
    return PriceEntry(
        model.strip(),
        source,
        usd_per_image=None if per_image is None else _parse_per_image(per_image),
        usd_per_million=None if per_million is None else _parse_per_million(per_million),
        free="free" in entry,
        reported="reported" in entry,
        ceiling_usd=None if ceiling is None else _parse_amount("ceiling_usd", ceiling),
    )


def _parse_per_image(value: object) -> dict[str, Decimal]:
    if not isinstance(value, dict):
        return {"*/*": _parse_amount("usd_per_image", value)}
    if not value:
        raise PriceFileError('usd_per_image is empty; write an amount, or a table such as {"high/1024x1024" = "0.167"}')
    for choice in value:
        quality, _, size = choice.partition("/")
        if not quality or not size:
            raise PriceFileError(
                f'usd_per_image.{choice!r} must be "quality/size", such as "high/1024x1024" or "high/*"'
            )
    return {choice: _parse_amount(f"usd_per_image.{choice!r}", usd) for choice, usd in value.items()}


def _parse_per_million(value: object) -> dict[str, Decimal]:
    if not isinstance(value, dict) or value.keys() != set(TOKEN_KINDS):
        raise PriceFileError(f"usd_per_million must be a table of {', '.join(TOKEN_KINDS)}, all four and nothing else")
    return {kind: _parse_amount(f"usd_per_million.{kind}", usd) for kind, usd in value.items()}


def _parse_amount(name: str, value: object) -> Decimal:
    """Return an amount in dollars, written as text or as a number."""
    if type(value) in (str, int, Decimal) and _AMOUNT.fullmatch(str(value)):
        usd = Decimal(str(value))
        if usd <= MAX_USD:
            return usd
    raise PriceFileError(f'{name} must be an amount in US dollars from 0 to {MAX_USD}, such as "0.04"')
