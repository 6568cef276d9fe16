"""The error tree: everything that the core and its adapters raise descends from `PixyProxyException`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class FieldError(NamedTuple):
    """An invalid part of an input: its location and the rule that it breaks."""

    loc: tuple[str | int, ...]
    msg: str


class PixyProxyException(Exception):
    """Root of all errors of this program; `message` may be shown to the caller.

    `code` is a stable slug for programs. `guid` names the image concerned, if there is one and the caller may know
    it. `retry_after_s` is the number of seconds after which a repeat may succeed, or None. `replayed` is True if the
    outcome of an earlier request is repeated. `may_have_been_paid` is True if money may have been spent: the request
    must not be repeated automatically.
    """

    code = "internal-error"
    may_have_been_paid = False

    def __init__(self, message: str, *, guid: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.guid = guid
        self.retry_after_s = retry_after_s
        self.replayed = False


class DBConnectionError(PixyProxyException):
    """The database cannot be reached, or the connection broke; says nothing about its contents."""

    code = "database-unavailable"

    def __init__(self, message: str, *, guid: str | None = None, retry_after_s: float | None = 2.0) -> None:
        super().__init__(message, guid=guid, retry_after_s=retry_after_s)


class SchemaVersionError(PixyProxyException):
    """The database responds, but its tables do not fit this program."""

    code = "schema-version"


class RecordNotFoundError(PixyProxyException):
    """No such record."""

    code = "not-found"


class ImageNotFoundError(RecordNotFoundError):
    """No such image, or none that this caller may see."""


class UserNotFoundError(RecordNotFoundError):
    """No such user in the roster."""


class ModelNotFoundError(RecordNotFoundError):
    """No such model at the generator."""

    code = "model-not-found"


class ConstraintViolationError(PixyProxyException):
    """A write that would break a uniqueness or integrity rule of the store."""

    code = "conflict"


class IdempotencyKeyTakenError(ConstraintViolationError):
    """An idempotency key that another request of the same caller holds."""

    code = "idempotency-key-taken"


class IdempotencyKeyReusedError(PixyProxyException):
    """An idempotency key that was used for a different request."""

    code = "idempotency-key-reused"


class ImageNotReadyError(PixyProxyException):
    """An image without bytes to deliver, perhaps only for now."""

    code = "image-not-ready"


class DataValidationError(PixyProxyException):
    """An input that breaks rules; `errors` lists them field by field."""

    code = "validation-failed"

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)

    @classmethod
    def at(cls, loc: tuple[str | int, ...], msg: str) -> "DataValidationError":
        """Return the error for one field; an empty `loc` is the input as a whole."""
        return cls(f"{'.'.join(map(str, loc)) or 'body'} {msg}", [FieldError(loc, msg)])


class AuthenticationError(PixyProxyException):
    """Credentials that are missing, wrong or malformed."""

    code = "authentication-required"


class PermissionDeniedError(PixyProxyException):
    """A known caller who may not do this."""

    code = "permission-denied"


class CapacityExceededError(PixyProxyException):
    """Too much work at once; nothing was begun and nothing was paid."""

    code = "capacity-exceeded"

    def __init__(self, message: str, *, guid: str | None = None, retry_after_s: float | None = 5.0) -> None:
        super().__init__(message, guid=guid, retry_after_s=retry_after_s)


class GeneratorError(PixyProxyException):
    """A generator's failure to make a picture.

    With `may_have_been_paid` the outcome of the call is unknown. `is_final` is True if the same request would get the
    same response again. `document` is the generator's own description of the error as JSON types, if it gave one
    that holds no secret, for callers of its API.
    """

    code = "generator-failed"
    is_final = False
    document: Mapping[str, Any] | None = None


class PromptRejectedError(GeneratorError):
    """A prompt that the generator refuses; the message is the generator's own."""

    code = "prompt-rejected"
    is_final = True


class GeneratorRequestError(GeneratorError):
    """A request that the generator refuses for a reason that the caller can fix (option, size, model)."""

    code = "generator-request-rejected"
    is_final = True


class EditingUnsupportedError(GeneratorRequestError):
    """An edit for a generator that makes pictures from prompts only."""

    code = "editing-unsupported"


class GeneratorRateLimitedError(GeneratorError):
    """A rate limit of the generator; `retry_after_s` is its delay, if it gave one."""

    code = "generator-rate-limited"


class GeneratorCredentialsError(GeneratorError):
    """Credentials of this service that the generator refuses; the operator must act."""

    code = "generator-credentials"


class GeneratorQuotaError(GeneratorError):
    """An exhausted account at the generator; the operator must act, and no repeat helps."""

    code = "generator-quota-exhausted"


class GeneratorUnavailableError(GeneratorError):
    """A generator that cannot be reached or reports a failure."""

    code = "generator-unavailable"


class GeneratorConnectionLostError(GeneratorError):
    """A connection that broke after the request was sent: the picture may have been made and billed."""

    code = "generator-connection-lost"
    may_have_been_paid = True


class GenerationInterruptedError(GeneratorError):
    """A process that ended before it stored the picture: it may have been paid for."""

    code = "generation-interrupted"
    may_have_been_paid = True


class GeneratorTimeoutError(GeneratorError):
    """A deadline that passed before the generator responded: the picture may yet be made and billed."""

    code = "generator-timeout"
    may_have_been_paid = True


class GeneratorResponseError(GeneratorError):
    """A successful response without a usable picture; `raw` is its body, to be rescued."""

    code = "generator-answer"
    is_final = True

    def __init__(self, message: str, *, raw: bytes | None = None) -> None:
        super().__init__(message)
        self.raw = raw


class BlobStoreError(PixyProxyException):
    """A blob store that cannot do its work now."""

    code = "blob-store-unavailable"


class BlobMissingError(BlobStoreError):
    """No bytes are stored for the image."""

    code = "blob-missing"


class BlobCorruptError(BlobStoreError):
    """Stored bytes that are not those that were recorded."""

    code = "blob-corrupt"


class BlobStoreFullError(BlobStoreError):
    """A blob store without enough space."""

    code = "blob-store-full"


def recreate_error(code: str, message: str, guid: str) -> PixyProxyException:
    """Return the error that was recorded with this code, or a GeneratorError if the code is unknown."""
    kinds = [PixyProxyException]
    while kinds:
        kind = kinds.pop()
        if kind.__dict__.get("code") == code:
            error = kind(message)
            break
        kinds += kind.__subclasses__()
    else:
        error = GeneratorError(message)
    error.guid = guid
    return error
