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
    must not be repeated automatically. `advice` is a sentence on what the caller can do, or None.
    """

    code = "internal-error"
    guid: str | None = None
    retry_after_s: float | None = None
    replayed = False
    may_have_been_paid = False
    advice: str | None = None

    def __init_subclass__(cls, *, code: str | None = None) -> None:
        if code is not None:
            cls.code = code
            _KINDS[code] = cls

    def __init__(self, message: str, *, guid: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.guid = guid
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s

    @property
    def detail(self) -> str:
        """The message with the advice, if there is one."""
        return self.message if self.advice is None else f"{self.message} {self.advice}"


_KINDS: dict[str, type[PixyProxyException]] = {PixyProxyException.code: PixyProxyException}


class DBConnectionError(PixyProxyException, code="database-unavailable"):
    """The database cannot be reached, or the connection broke; says nothing about its contents."""

    retry_after_s = 2.0


class DBRefusedError(DBConnectionError):
    """A database that responds and refuses this service, or a file that cannot be used: the operator must act."""


class SchemaVersionError(PixyProxyException, code="schema-version"):
    """The database responds, but its tables do not fit this program."""


class RecordNotFoundError(PixyProxyException, code="not-found"):
    """No such record."""


class ImageNotFoundError(RecordNotFoundError):
    """No such image, or none that this caller may see."""


class UserNotFoundError(RecordNotFoundError):
    """No such user in the roster."""


class BudgetNotFoundError(RecordNotFoundError):
    """No budget of this scope."""


class ModelNotFoundError(RecordNotFoundError, code="model-not-found"):
    """No such model at the generator."""


class ConstraintViolationError(PixyProxyException, code="conflict"):
    """A write that would break a uniqueness or integrity rule of the store."""


class NameReservedError(ConstraintViolationError, code="name-reserved"):
    """A username whose pictures, or whose removed user, may belong to somebody else."""


class IdempotencyKeyTakenError(ConstraintViolationError, code="idempotency-key-taken"):
    """An idempotency key that another request of the same caller holds."""


class IdempotencyKeyReusedError(PixyProxyException, code="idempotency-key-reused"):
    """An idempotency key that was used for a different request."""


class ImageNotReadyError(PixyProxyException, code="image-not-ready"):
    """An image without bytes to deliver, perhaps only for now."""


class ImageNotQueuedError(PixyProxyException, code="image-not-queued"):
    """An image that does not wait for its turn (any more), for a caller who wants it cancelled only while it does."""

    @classmethod
    def of(cls, guid: str, status: str) -> "ImageNotQueuedError":
        """Return the error for an image with another status."""
        return cls(
            f"The image is {status}, not queued: nothing was cancelled or deleted. Without `status=queued` it is "
            "deleted whatever its status.",
            guid=guid,
        )


class DataValidationError(PixyProxyException, code="validation-failed"):
    """An input that breaks rules; `errors` lists them field by field."""

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)

    @classmethod
    def at(cls, loc: tuple[str | int, ...], msg: str) -> "DataValidationError":
        """Return the error for one field; an empty `loc` is the input as a whole."""
        return cls(f"{'.'.join(map(str, loc)) or 'body'} {msg}", [FieldError(loc, msg)])


class AuthenticationError(PixyProxyException, code="authentication-required"):
    """Credentials that are missing, wrong or malformed."""


class PermissionDeniedError(PixyProxyException, code="permission-denied"):
    """A known caller who may not do this."""


class AccountPausedError(PermissionDeniedError, code="account-paused"):
    """A user with the right credentials whose account is paused or no longer valid."""


class CapacityExceededError(PixyProxyException, code="capacity-exceeded"):
    """Too much work at once; nothing was begun and nothing was paid."""

    retry_after_s = 5.0


class BudgetExceededError(PixyProxyException, code="budget-exceeded"):
    """A cap that a request could exceed; nothing was recorded and nothing was paid."""


class UnpricedModelError(PixyProxyException, code="unpriced-model"):
    """A model without a price, for a caller under a cap; nothing was recorded and nothing was paid."""

    @classmethod
    def under(cls, scope: str, model: str | None) -> "UnpricedModelError":
        """Return the error for a model (None: the default one) and the scope of a budget."""
        name = "the default model" if model is None else f"the model {model!r:.200}"
        return cls(
            f"No price of {name} is known, and the budget {scope!r} needs one: the operator can set a price or a "
            "ceiling in PIXYPROXY_PRICES. Nothing was generated or paid."
        )


class PlacesTakenError(CapacityExceededError):
    """No place for more work of a kind; the log tells of the state once, not of each request."""


class TooManyLoginsError(PixyProxyException, code="too-many-logins"):
    """Too many failed logins; the right secret is refused too until `retry_after_s` is over."""


class ServiceStoppedError(PixyProxyException, code="service-stopped"):
    """The end of the service before it could answer; with a `guid`, a generation that it had begun."""


class GeneratorError(PixyProxyException, code="generator-failed"):
    """A generator's failure to make a picture.

    With `may_have_been_paid` the outcome of the call is unknown. `is_final` is True if the same request would get the
    same response again. `document` is the generator's own description of the error as JSON types, if it gave one
    that holds no secret, for callers of its API. `raw` holds the bytes that had arrived, to be rescued.
    """

    is_final = False
    document: Mapping[str, Any] | None = None
    raw: bytes | None = None


class PromptRejectedError(GeneratorError, code="prompt-rejected"):
    """A prompt that the generator refuses; the message is the generator's own."""

    is_final = True


class GeneratorRequestError(GeneratorError, code="generator-request-rejected"):
    """A request that the generator refuses for a reason that the caller can fix (option, size, model)."""

    is_final = True


class EditingUnsupportedError(GeneratorRequestError, code="editing-unsupported"):
    """An edit for a generator that makes pictures from prompts only."""


class GeneratorRateLimitedError(GeneratorError, code="generator-rate-limited"):
    """A rate limit of the generator; `retry_after_s` is its delay, if it gave one."""


class QueueTimeoutError(GeneratorError, code="queue-timeout"):
    """A turn that did not come in time: nothing was sent to the generator, and nothing was paid."""

    retry_after_s = 60.0


class GeneratorCredentialsError(GeneratorError, code="generator-credentials"):
    """Credentials of this service that the generator refuses; the operator must act."""


class GeneratorQuotaError(GeneratorError, code="generator-quota-exhausted"):
    """An exhausted account at the generator; the operator must act, and no repeat helps."""


class GeneratorUnavailableError(GeneratorError, code="generator-unavailable"):
    """A generator that cannot be reached or reports a failure."""


class GeneratorConnectionLostError(GeneratorError, code="generator-connection-lost"):
    """A connection that broke after the request was sent: the picture may have been made and billed."""

    may_have_been_paid = True


class GenerationInterruptedError(GeneratorError, code="generation-interrupted"):
    """A process that ended before it stored the picture: it may have been paid for."""

    may_have_been_paid = True


class GeneratorTimeoutError(GeneratorError, code="generator-timeout"):
    """A deadline that passed before the generator responded: the picture may yet be made and billed."""

    may_have_been_paid = True


class GeneratorResponseError(GeneratorError, code="generator-answer"):
    """A successful response without a usable picture, which may have been paid for; `raw` is its body."""

    is_final = True
    may_have_been_paid = True

    def __init__(self, message: str, *, raw: bytes | None = None) -> None:
        super().__init__(message)
        self.raw = raw


class BlobStoreError(PixyProxyException, code="blob-store-unavailable"):
    """A blob store that cannot do its work now."""


class BlobStoreExhaustedError(BlobStoreError):
    """A blob store for which this process or machine lacks open files, memory or threads: it may soon work again."""


class StoreIdentityError(BlobStoreError, code="blob-store-mismatch"):
    """A blob store that does not belong to the database: another one, or one that was emptied or is not mounted."""


class BlobMissingError(BlobStoreError, code="blob-missing"):
    """No bytes are stored for the image."""


class BlobCorruptError(BlobStoreError, code="blob-corrupt"):
    """Stored bytes that are not those that were recorded."""


class BlobStoreFullError(BlobStoreError, code="blob-store-full"):
    """A blob store without enough space."""


def recreate_error(code: str, message: str, guid: str) -> PixyProxyException:
    """Return the error that was recorded with this code, or a GeneratorError if the code is unknown."""
    error = _KINDS.get(code, GeneratorError)(message)
    error.guid = guid
    return error
