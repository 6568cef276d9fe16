"""Limits on the options of a request, which are sent, recorded with each of its images, and shown."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixyproxy.application.commands import shown
from pixyproxy.domain.errors import DataValidationError

_SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True)
class OptionLimits:
    """Limits on all options of a request together: their number, and the bytes of their JSON."""

    count: int = 64
    size_bytes: int = 64 * 1024

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise DataValidationError for options that are beyond the limits, or that are no JSON in UTF-8."""
        if len(options) > self.count:
            raise DataValidationError.at((), f"must have at most {self.count} options: this one has {len(options)}")
        sizes = {name: self._size(name, value) for name, value in options.items()}
        if sum(sizes.values()) > self.size_bytes:
            largest = max(sizes, key=sizes.__getitem__)
            raise DataValidationError.at(
                (shown(largest[:_SHOWN_CHARS]),),
                f"is the largest of the options, which must be at most {self.size_bytes} bytes of JSON together",
            )

    def _size(self, name: str, value: object) -> int:
        """Return the bytes of an option; for a very large one, the characters of its texts."""
        try:
            characters = len(name) + _characters(value)
            if characters > self.size_bytes:
                # Writing it would block other requests.
                return characters
            return len(json.dumps({name: value}, ensure_ascii=False, allow_nan=False).encode())
        except (ValueError, RecursionError):
            message = "must be valid Unicode text and finite numbers, not nested too deeply"
            raise DataValidationError.at((shown(name[:_SHOWN_CHARS]),), message) from None


def _characters(value: object) -> int:
    """Return a number of characters that the JSON of a value has at least."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(name) + _characters(inner) for name, inner in value.items())
    return sum(map(_characters, value)) if isinstance(value, list) else 1
