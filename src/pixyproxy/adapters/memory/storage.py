"""The storage of the in-memory repositories; another repository on the same storage sees the same records."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.accounts.login_session import LoginSession
from pixyproxy.domain.generation import IdempotencyClaim, QueuedCall
from pixyproxy.domain.image import Image
from pixyproxy.domain.money.budgets import Budget
from pixyproxy.domain.money.charges import Charge
from pixyproxy.domain.money.highest_costs import Choice
from pixyproxy.domain.user import User
from pixyproxy.ports.maintenance_repository import BindingState, StoreIdentity
from pixyproxy.ports.resource import Resource

_IDENTITY = StoreIdentity("00000000-0000-4000-8000-000000000000", BindingState.BEGUN)


@dataclass(slots=True)
class MemoryStorage:
    """Images by GUID in the order of adding, users by name, API keys by id, sessions by digest.

    Charges are by GUID, budgets by scope.

    `claims`, `leases`, `callers_left` and `queued_calls` are by the GUID of their image, `named_leases` and
    `lease_positions` by name; a lease is an owner and its end. `last_id` is the id of the image that was added last.
    `identity` is the same for every new storage, so that a folder that was used with one can be used with the next, but
    not with a database that remembers.
    """

    images: dict[str, Image] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    removed_users: set[str] = field(default_factory=set)
    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)
    highest_costs: dict[Choice, Decimal] = field(default_factory=dict)
    sessions: dict[str, LoginSession] = field(default_factory=dict)
    claims: dict[str, IdempotencyClaim] = field(default_factory=dict)
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    callers_left: dict[str, datetime] = field(default_factory=dict)
    queued_calls: dict[str, QueuedCall] = field(default_factory=dict)
    named_leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    lease_positions: dict[str, str] = field(default_factory=dict)
    last_id: int = 0
    identity: StoreIdentity = _IDENTITY


class InMemory(Resource):
    """Base of all in-memory adapters: opening and closing change nothing."""

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass


class MemoryRepository(InMemory):
    """Base of the repositories. No method awaits anything, so on one event loop each is a transaction."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self._storage = MemoryStorage() if storage is None else storage
