"""What Schemathesis cannot know: an Idempotency-Key that was used for one body is refused for another."""

import re
import uuid
from typing import Any

import schemathesis

_NAME = "Idempotency-Key"
_GOOD = re.compile(r"[\x21-\x7e]{1,255}")


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Make every good key a fresh one, as a well-behaved client does for every new picture; leave bad ones bad."""
    key = (case.headers or {}).get(_NAME)
    if isinstance(key, str) and _GOOD.fullmatch(key):
        case.headers[_NAME] = f"{key[:200]}-{uuid.uuid4()}"
