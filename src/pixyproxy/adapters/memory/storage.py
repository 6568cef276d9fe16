"""What the in-memory repositories keep; hand the same storage to another one to reopen it."""

from dataclasses import dataclass, field
from datetime import datetime

from pixyproxy.domain.image import Image
from pixyproxy.domain.user import User


@dataclass(slots=True)
class MemoryStorage:
    """Images by GUID in the order of adding, users by name, claims of idempotency keys, leases, and the last id.

    A claim leads from caller and key to the GUID and the fingerprint of the request, a lease from the GUID
    to who works on it and until when nobody else may settle it.
    """

    images: dict[str, Image] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    claims: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    last_id: int = 0
