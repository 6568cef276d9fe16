"""Request headers in which a client states preferences."""

import re

from starlette.requests import Request

from pixyproxy.domain.errors import DataValidationError, FieldError

_QUALITY_ZERO = re.compile(r"q=0(\.0{0,3})?")


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key, None without one; raise DataValidationError if there are several."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        message = "must be given once only"
        raise DataValidationError(f"Idempotency-Key {message}.", [FieldError(("Idempotency-Key",), message)])
    return keys[0] if keys else None


def accepts(request: Request, media_type: str) -> bool:
    """Return true if the client accepts this media type (RFC 9110, section 12.5.1).

    The most specific media range that covers it decides. A client that names none accepts any; a range with
    parameters of its own covers no plain type.
    """
    accepted: dict[str, bool] = {}
    accepts_any = True
    for item in ",".join(request.headers.getlist("accept")).split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        accepts_any = accepts_any and not name
        if not any(parameter and not parameter.startswith("q=") for parameter in parameters):
            accepted[name] = not any(_QUALITY_ZERO.fullmatch(parameter) for parameter in parameters)
    kind = media_type.partition("/")[0]
    covering = [accepted[name] for name in (media_type, f"{kind}/*", "*/*") if name in accepted]
    return covering[0] if covering else accepts_any


def prefers_async(request: Request) -> bool:
    """Return true if the client prefers `respond-async` (RFC 7240, section 4.1); other preferences are ignored."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in preferences)
