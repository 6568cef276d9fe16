"""Images for a running service, created through its API."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.load import LoadError


def add_images(url: str, count: int, size_bytes: int) -> list[str]:
    """Create images of about this size and return their GUIDs."""
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda number: _add_image(url, number, size_bytes), range(count)))


def prompt(number: int, size_bytes: int, delay_s: float = 0) -> dict[str, Any]:
    """Return the body of a request for which the fake upstream sends a picture of this size after this delay."""
    behaviour = f"[[fast size={size_bytes} delay={delay_s:g}]]"
    return {
        "prompt": f"a rubber duck on a sink, study {number} {behaviour}",
        "tags": ["duck", "bath"],
        "size": "1024x1024",
    }


def _add_image(url: str, number: int, size_bytes: int) -> str:
    body = json.dumps(prompt(number, size_bytes)).encode()
    request = urllib.request.Request(f"{url}/image", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return str(json.load(response)["guid"])
    except OSError as error:
        raise LoadError(f"an image could not be created: {error}") from error
