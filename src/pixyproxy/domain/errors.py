"""The error tree: everything the core and its adapters raise descends from `PixyProxyException`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class FieldError(NamedTuple):
    """One thing that is wrong with an input: where it stands and what would be right."""

    loc: tuple[str | int, ...]
    msg: str


class PixyProxyException(Exception):
    """Root of all errors of this program; `message` is fit to be shown to the caller.

    `code` is a stable slug for programs. `guid` names the image concerned, where there is one and the
    caller may know it. `retry_after_s` says after how many seconds a repeat has a chance, or None.
    `replayed` is True where the answer to an earlier request is repeated. `may_have_been_paid` is True where
    money may have been spent all the same: what was asked for must not be repeated by itself.
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
    """The database cannot be reached, or was lost on the way; says nothing about what it holds."""

    code = "database-unavailable"

    def __init__(self, message: str, *, guid: str | None = None, retry_after_s: float | None = 2.0) -> None:
        super().__init__(message, guid=guid, retry_after_s=retry_after_s)


class SchemaVersionError(PixyProxyException):
    """The database answers but its tables are older or newer than this program needs."""

    code = "schema-version"


class RecordNotFoundError(PixyProxyException):
    """No such record."""

    code = "not-found"


class ImageNotFoundError(RecordNotFoundError):
    """No such image, or none that this caller may know of."""


class UserNotFoundError(RecordNotFoundError):
    """No such user in the roster."""


class ModelNotFoundError(RecordNotFoundError):
    """The generator offers no such model."""

    code = "model-not-found"


class ConstraintViolationError(PixyProxyException):
    """The write would break a uniqueness or integrity rule of the store."""

    code = "conflict"


class IdempotencyKeyTakenError(ConstraintViolationError):
    """Another request of the same caller holds this idempotency key."""

    code = "idempotency-key-taken"


class IdempotencyKeyReusedError(PixyProxyException):
    """The idempotency key was used for a request that asked for something else."""

    code = "idempotency-key-reused"


class ImageNotReadyError(PixyProxyException):
    """The image is known but has no bytes to deliver (yet)."""

    code = "image-not-ready"


class DataValidationError(PixyProxyException):
    """The input breaks a rule; `errors` says which, field by field."""

    code = "validation-failed"

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)

    @classmethod
    def at(cls, loc: tuple[str | int, ...], msg: str) -> "DataValidationError":
        """The error for the one thing that is wrong with an input; an empty `loc` is the input as a whole."""
        return cls(f"{'.'.join(map(str, loc)) or 'body'} {msg}", [FieldError(loc, msg)])


class AuthenticationError(PixyProxyException):
    """Credentials are missing, wrong or malformed."""

    code = "authentication-required"


class PermissionDeniedError(PixyProxyException):
    """The caller is known and may not do this."""

    code = "permission-denied"


class CapacityExceededError(PixyProxyException):
    """All places are taken; nothing was begun and nothing was paid."""

    code = "capacity-exceeded"

    def __init__(self, message: str, *, guid: str | None = None, retry_after_s: float | None = 5.0) -> None:
        super().__init__(message, guid=guid, retry_after_s=retry_after_s)


class GeneratorError(PixyProxyException):
    """The generator did not make a picture.

    With `may_have_been_paid` the outcome of the call is unknown. `is_final` is True where the same request
    would be answered alike again: it is the answer to the request and not an accident on the way. `document` is
    the generator's own description of the error where it gave one that holds no secret, as JSON types, for
    callers who speak its language.
    """

    code = "generator-failed"
    is_final = False
    document: Mapping[str, Any] | None = None


class PromptRejectedError(GeneratorError):
    """The generator refuses this prompt; the message holds its reason in its own words."""

    code = "prompt-rejected"
    is_final = True


class GeneratorRequestError(GeneratorError):
    """The generator refuses the request for another reason the caller can mend (option, size, model)."""

    code = "generator-request-rejected"
    is_final = True


class EditingUnsupportedError(GeneratorRequestError):
    """The generator makes pictures from prompts only and not from other pictures."""

    code = "editing-unsupported"


class GeneratorRateLimitedError(GeneratorError):
    """The generator asks for fewer requests; `retry_after_s` is its delay, or None where it gave none."""

    code = "generator-rate-limited"


class GeneratorCredentialsError(GeneratorError):
    """The generator refuses this service's credentials: a matter for the operator."""

    code = "generator-credentials"


class GeneratorQuotaError(GeneratorError):
    """The account at the generator has no credit left: a matter for the operator, and no repeat helps."""

    code = "generator-quota-exhausted"


class GeneratorUnavailableError(GeneratorError):
    """The generator cannot be reached or says that it failed."""

    code = "generator-unavailable"


class GeneratorConnectionLostError(GeneratorError):
    """The connection broke after the request was sent: the picture may have been made and billed."""

    code = "generator-connection-lost"
    may_have_been_paid = True


class GenerationInterruptedError(GeneratorError):
    """The process that made the picture ended before it was stored: it may have been paid for."""

    code = "generation-interrupted"
    may_have_been_paid = True


class GeneratorTimeoutError(GeneratorError):
    """The deadline passed before the generator answered: the picture may yet be made and billed."""

    code = "generator-timeout"
    may_have_been_paid = True


class GeneratorResponseError(GeneratorError):
    """The generator answered with success and nonsense; `raw` holds what it sent, to be kept aside."""

    code = "generator-answer"
    is_final = True

    def __init__(self, message: str, *, raw: bytes | None = None) -> None:
        super().__init__(message)
        self.raw = raw


class BlobStoreError(PixyProxyException):
    """The blob store cannot do what was asked of it now."""

    code = "blob-store-unavailable"


class BlobMissingError(BlobStoreError):
    """The store holds no bytes for this image."""

    code = "blob-missing"


class BlobCorruptError(BlobStoreError):
    """The stored bytes are not those that were recorded."""

    code = "blob-corrupt"


class BlobStoreFullError(BlobStoreError):
    """No space is left in the blob store."""

    code = "blob-store-full"


def recreate_error(code: str, message: str, guid: str) -> PixyProxyException:
    """The error that was recorded with this code, to be told again; a GeneratorError where the code is not known."""
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
