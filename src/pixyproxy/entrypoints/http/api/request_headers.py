"""The headers with which a client says how it wants to be served."""

import re

from starlette.requests import Request

from pixyproxy.domain.errors import DataValidationError, FieldError

_ZERO = re.compile(r"q=0(\.0{0,3})?")


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, None without one; raises DataValidationError if there are several."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        message = "must be given once only"
        raise DataValidationError(f"Idempotency-Key {message}.", [FieldError(("Idempotency-Key",), message)])
    return keys[0] if keys else None


def accepts(request: Request, media_type: str) -> bool:
    """Whether the client takes this media type (RFC 9110, section 12.5.1): the most precise range that covers it says.

    A client that names none takes any; a range with parameters of its own covers no plain type.
    """
    found: dict[str, bool] = {}
    takes_any = True
    for item in ",".join(request.headers.getlist("accept")).split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        takes_any = takes_any and not name
        if not any(parameter and not parameter.startswith("q=") for parameter in parameters):
            found[name] = not any(_ZERO.fullmatch(parameter) for parameter in parameters)
    kind = media_type.partition("/")[0]
    covering = [found[name] for name in (media_type, f"{kind}/*", "*/*") if name in found]
    return covering[0] if covering else takes_any


def prefers_async(request: Request) -> bool:
    """Whether the client prefers `respond-async` (RFC 7240, section 4.1); other preferences are ignored."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in preferences)
