"""Reading the list of models, narrowed to those that make images."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jiter

from pixyproxy.domain.errors import GeneratorUnavailableError
from pixyproxy.domain.generation import GeneratorModel

MAX_LIST_BYTES = 4 * 1024 * 1024
MAX_CHARS = 200
"""No name or date of a model is longer."""

_IN_NAMES = ("image", "dall-e")
"""The list says of no model what it makes: only the names of OpenAI's image models tell."""


def read_models(raw: bytes | None, default: str) -> tuple[GeneratorModel, ...]:
    """The image models of a list (None: the upstream has no list), sorted by id, always with the default one.

    Raises GeneratorUnavailableError for what is no list.
    """
    models = {default: GeneratorModel(default, is_default=True)}
    for entry in _entries(raw) if raw is not None else ():
        name = _text(entry.get("id"))
        if name is not None and (name == default or any(word in name.lower() for word in _IN_NAMES)):
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
