"""Hooks of Schemathesis: fresh Idempotency-Keys, words to search for, and bodies that are not JSON."""

import re
import uuid
from typing import Any

import schemathesis

from pixyproxy.domain.search_terms import index_terms

_NAME = "Idempotency-Key"
_VALID_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_TRUNCATED = b'{"prompt": "a duck'


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Replace every valid key by a fresh one, and a search for nothing that the schema cannot exclude.

    A key that was used for another body is refused. No schema knows which characters of Unicode are letters.
    """
    key = (case.headers or {}).get(_NAME)
    if isinstance(key, str) and _VALID_KEY.fullmatch(key):
        case.headers[_NAME] = f"{key[:200]}-{uuid.uuid4()}"
    words = (case.query or {}).get("prompt")
    if isinstance(words, str) and not words.isascii() and not index_terms(words):
        case.query["prompt"] = "duck"


@schemathesis.hook
def before_add_examples(context: schemathesis.HookContext, examples: list[schemathesis.Case]) -> None:
    """Send a truncated body to every operation that takes JSON.

    Schemathesis violates every rule of the schema, but the syntax of JSON only if fuzzing happens to draw that.
    """
    examples += [
        example.operation.Case(path_parameters=example.path_parameters, media_type=example.media_type, body=_TRUNCATED)
        for example in examples
        if example.media_type == "application/json"
    ]
