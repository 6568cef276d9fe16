"""The upstream's list of models, reduced to those that make images."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pixyproxy.adapters.openai.reading.json_document import parse_json
from pixyproxy.domain.errors import GeneratorUnavailableError
from pixyproxy.domain.generation import GeneratorModel

MAX_LIST_BYTES = 4 * 1024 * 1024
MAX_CHARS = 200
"""Longest name or date of a model that is accepted."""

_IMAGE_NAMES = re.compile(
    r"image|dall-e|diffusion|flux|imagen|seedream|recraft|ideogram|kolors|wanx|midjourney", re.IGNORECASE
)
_OTHER_NAMES = re.compile(
    r"(?:^|/)(?:gpt-|chatgpt|o\d|codex|claude|llama|mi[sx]tral|qwen|gemini|gemma|deepseek|grok|command|phi-|kimi|glm"
    r"|davinci|babbage|curie|ada\b|sora|nova-|titan-text)|embed|rerank|whisper|tts|speech|audio|voice|realtime|transcri|moderation"
    r"|video|chat|instruct|coder|computer-use|search-preview|deep-research",
    re.IGNORECASE,
)
"""Names of models, to be asked where the list does not say what a model makes: of images, and of other things."""

_MODE_NAMES = ("mode", "type", "task", "object_type", "category", "model_type")
_OUTPUT_NAMES = ("output_modalities", "supported_endpoints", "capabilities", "endpoints", "tasks", "modalities", "tags")


def read_models(raw: bytes | None, default: str) -> tuple[GeneratorModel, ...]:
    """Return the image models of a list (None: the upstream has no list), sorted by id, always with the default one.

    Raises GeneratorUnavailableError if the list cannot be read.
    """
    models = {default: GeneratorModel(default, is_default=True)}
    for entry in _entries(raw) if raw is not None else ():
        name = _text(entry.get("id")) or _text(entry.get("name"))
        if name is not None and (name == default or _makes_images(name, entry)):
            models[name] = GeneratorModel(
                name,
                created_at=_time(entry.get("created")),
                owned_by=_text(entry.get("owned_by")),
                shutdown_date=_text(entry.get("shutdown_date")),
                is_default=name == default,
            )
    return tuple(models[name] for name in sorted(models))


def _makes_images(name: str, entry: Mapping[str, Any]) -> bool:
    """Return whether a model makes images: by what its entry says of it, else by its name, and in doubt yes."""
    architecture = entry.get("architecture")
    for place in (entry, architecture if isinstance(architecture, Mapping) else {}):
        said = [str(place[member]).lower() for member in (*_MODE_NAMES, *_OUTPUT_NAMES) if place.get(member)]
        if any("image" in text for text in said) and not place.get("input_modalities"):
            return True
        if place.get("output_modalities"):
            return "image" in str(place["output_modalities"]).lower()
    return _IMAGE_NAMES.search(name) is not None or _OTHER_NAMES.search(name) is None


def _entries(raw: bytes) -> list[Mapping[str, Any]]:
    try:
        document = parse_json(raw)
    except ValueError:
        document = None
    entries = document.get("data", document.get("models")) if isinstance(document, dict) else document
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
