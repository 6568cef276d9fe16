"""What the in-memory repositories keep; hand the same storage to another one to reopen it."""

from dataclasses import dataclass, field
from datetime import datetime

from pixyproxy.domain.api_key import ApiKey
from pixyproxy.domain.generation import IdempotencyClaim
from pixyproxy.domain.image import Image
from pixyproxy.domain.user import User


@dataclass(slots=True)
class MemoryStorage:
    """Images by GUID in the order of adding, users by name, API keys by id, claims of idempotency keys, leases.

    `last_id` is the id of the image that was added last.

    A claim is kept under the GUID of the image that holds it; a lease leads from the GUID to who works on it and
    until when nobody else may settle it.
    """

    images: dict[str, Image] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    claims: dict[str, IdempotencyClaim] = field(default_factory=dict)
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    named_leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    last_id: int = 0
