"""The headers with which a client says how it wants to be served."""

from starlette.requests import Request

from pixyproxy.domain.errors import DataValidationError, FieldError


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, None without one; raises DataValidationError if there are several."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        message = "must be given once only"
        raise DataValidationError(f"Idempotency-Key {message}.", [FieldError(("Idempotency-Key",), message)])
    return keys[0] if keys else None


def prefers_async(request: Request) -> bool:
    """Whether the client prefers `respond-async` (RFC 7240, section 4.1); other preferences are ignored."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in preferences)
