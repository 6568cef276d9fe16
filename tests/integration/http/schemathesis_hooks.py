"""What Schemathesis cannot know or leaves to chance: fresh Idempotency-Keys, and bodies that are no JSON."""

import re
import uuid
from typing import Any

import schemathesis

_NAME = "Idempotency-Key"
_GOOD = re.compile(r"[\x21-\x7e]{1,255}")
_BROKEN_OFF = b'{"prompt": "a duck'


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Make every good key a fresh one, as a well-behaved client does for every new picture; leave bad ones bad.

    One that was used for one body is refused for another.
    """
    key = (case.headers or {}).get(_NAME)
    if isinstance(key, str) and _GOOD.fullmatch(key):
        case.headers[_NAME] = f"{key[:200]}-{uuid.uuid4()}"


@schemathesis.hook
def before_add_examples(context: schemathesis.HookContext, examples: list[schemathesis.Case]) -> None:
    """Send to everything that takes JSON a body that breaks off in the middle.

    Schemathesis breaks every rule of the schema, but the syntax of JSON only where fuzzing happens to draw that among
    the few bodies that are to be refused: whether it does changes with every change of the schema.
    """
    examples += [
        example.operation.Case(path_parameters=example.path_parameters, media_type=example.media_type, body=_BROKEN_OFF)
        for example in examples
        if example.media_type == "application/json"
    ]
