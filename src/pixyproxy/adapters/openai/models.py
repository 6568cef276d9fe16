"""The upstream's list of models, reduced to those that make images."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jiter

from pixyproxy.domain.errors import GeneratorUnavailableError
from pixyproxy.domain.generation import GeneratorModel

MAX_LIST_BYTES = 4 * 1024 * 1024
MAX_CHARS = 200
"""Longest name or date of a model that is accepted."""

_NAME_PARTS = ("image", "dall-e")
"""Parts of the names of OpenAI's image models: the list does not say what a model makes."""


def read_models(raw: bytes | None, default: str) -> tuple[GeneratorModel, ...]:
    """Return the image models of a list (None: the upstream has no list), sorted by id, always with the default one.

    Raises GeneratorUnavailableError if the list cannot be read.
    """
    models = {default: GeneratorModel(default, is_default=True)}
    for entry in _entries(raw) if raw is not None else ():
        name = _text(entry.get("id"))
        if name is not None and (name == default or any(part in name.lower() for part in _NAME_PARTS)):
            models[name] = GeneratorModel(
                name,
                created_at=_time(entry.get("created")),
                owned_by=_text(entry.get("owned_by")),
                shutdown_date=_text(entry.get("shutdown_date")),
                is_default=name == default,
            )
    return tuple(models[name] for name in sorted(models))


def _entries(raw: bytes) -> list[Mapping[str, Any]]:
    try:
        document = jiter.from_json(raw, cache_mode="none")
    except ValueError:
        document = None
    entries = document.get("data") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise GeneratorUnavailableError("The generator's list of models cannot be read.")
    return [entry for entry in entries if isinstance(entry, dict)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_CHARS and value.isprintable() else None


def _time(value: object) -> datetime | None:
    if type(value) is not int:
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
