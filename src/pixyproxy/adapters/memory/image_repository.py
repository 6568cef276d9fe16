"""Images in memory."""

from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime

from pixyproxy.adapters.memory.ledger import reserve
from pixyproxy.adapters.memory.storage import MemoryRepository, MemoryStorage
from pixyproxy.domain.access import Viewer, can_see, is_author
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    IdempotencyKeyTakenError,
    ImageNotFoundError,
    ImageNotQueuedError,
)
from pixyproxy.domain.generation import IdempotencyClaim, ImageDraft, Lease, Predecessor, QueuedCall
from pixyproxy.domain.image import SETTLED, UNDER_WAY, Failure, Image, ImageChanges, ImageResult, Status
from pixyproxy.domain.money.highest_costs import surprising_cost
from pixyproxy.domain.query import ImageQuery, Page
from pixyproxy.domain.search_terms import fold, index_terms
from pixyproxy.ports.image_repository import ImageRepository


class MemoryImageRepository(MemoryRepository, ImageRepository):
    """Remembers images in a storage object."""

    def __init__(self, storage: MemoryStorage | None = None, *, examined: int = 2000) -> None:
        super().__init__(storage)
        self._examined = examined

    async def ping(self) -> None:
        pass

    async def add_batch(self, drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        guids = {draft.guid for draft in drafts}
        if len(guids) < len(drafts) or guids & self._storage.images.keys():
            raise ConstraintViolationError("There is an image with this GUID already.")
        for claim in (draft.claim for draft in drafts if draft.claim is not None):
            if claim.key is not None and await self.find_claimed(claim.caller, claim.key):
                raise IdempotencyKeyTakenError("The idempotency key is taken.")
        reserve(self._storage, drafts)
        return tuple(self._add(draft) for draft in drafts)

    async def start(self, guids: Sequence[str], lease: Lease, now: datetime) -> tuple[Image, ...]:
        started = []
        for image in self._in_order(guids):
            if image.status is Status.QUEUED:
                self._storage.queued_calls.pop(image.guid, None)
                self._storage.leases[image.guid] = (lease.owner, lease.expires_at)
                started.append(self._keep(replace(image, status=Status.GENERATING, updated_at=now.astimezone(UTC))))
        return tuple(started)

    async def requeue(self, guids: Sequence[str], owner: str, call: QueuedCall, now: datetime) -> tuple[Image, ...]:
        queued = [
            self._keep(replace(image, status=Status.QUEUED, updated_at=now.astimezone(UTC)))
            for image in self._in_order(guids)
            if image.status is Status.GENERATING and self._storage.leases.get(image.guid, ("",))[0] == owner
        ]
        if queued:
            self._storage.queued_calls[queued[0].guid] = deepcopy(call)
        return tuple(queued)

    def _in_order(self, guids: Sequence[str]) -> list[Image]:
        found = [self._storage.images[guid] for guid in guids if guid in self._storage.images]
        return sorted(found, key=lambda image: image.id)

    async def batch(self, guid: str) -> tuple[Image, ...]:
        return tuple(image for image in self._storage.images.values() if image.request.batch == guid)

    async def find_claimed(self, caller: str, key: str) -> tuple[Image, str] | None:
        for image, claim in self._claims():
            if (claim.caller, claim.key) == (caller, key):
                return image, claim.fingerprint
        return None

    async def find_held(self, holder: str) -> tuple[Image, str] | None:
        return next(((image, claim.fingerprint) for image, claim in self._claims() if claim.holder == holder), None)

    async def find_recent(self, caller: str, fingerprint: str, since: datetime) -> Image | None:
        found = [
            image
            for image, claim in self._claims()
            if (claim.caller, claim.fingerprint) == (caller, fingerprint)
            and (image.status in UNDER_WAY or image.updated_at >= since)
        ]
        return found[-1] if found else None

    async def predecessors(
        self, caller: str, fingerprint: str, *, ended_since: datetime, left_since: datetime
    ) -> tuple[Predecessor, ...]:
        found = []
        for image, claim in self._claims():
            left_at = self._storage.callers_left.get(image.guid)
            is_unanswered = image.status is Status.READY and image.guid in self._storage.leases
            is_recent = image.status not in SETTLED or (
                (image.status is Status.UNKNOWN or is_unanswered) and image.updated_at >= ended_since
            )
            left_recently = left_at is not None and left_at >= left_since
            if (claim.caller, claim.fingerprint) == (caller, fingerprint) and (is_recent or left_recently):
                lease = self._storage.leases.get(image.guid)
                found.append(
                    Predecessor(
                        image.guid,
                        image.status,
                        image.updated_at,
                        image.request.batch,
                        None if lease is None else Lease(*lease),
                        left_at,
                    )
                )
        return tuple(found)

    async def mark_caller_left(self, guids: Collection[str], at: datetime) -> int:
        known = {guid for guid in guids if guid in self._storage.images}
        self._storage.callers_left.update(dict.fromkeys(known, at.astimezone(UTC)))
        return len(known)

    async def mark_answered(self, guids: Collection[str]) -> None:
        for guid in guids:
            if guid in self._storage.images and self._storage.images[guid].status is Status.READY:
                self._storage.leases.pop(guid, None)

    async def mark_ready(self, guid: str, result: ImageResult, now: datetime) -> Image:
        """Store the result, unless exactly it is stored already (the file name may have changed since)."""
        charge = self._storage.charges.get(guid)
        if charge is not None:
            self._storage.charges[guid] = charge = charge.finished(result)
            result = replace(result, cost=charge.cost)
        image = await self.get(guid)
        if charge is not None and (found := surprising_cost(charge, image.request.parameters)) is not None:
            choice, usd = found
            self._storage.highest_costs[choice] = max(usd, self._storage.highest_costs.get(choice, usd))
        finished = image.finished(result, now)
        return image if finished is image else self._keep(finished)

    async def mark_failed(
        self, guid: str, status: Status, failure: Failure, now: datetime, *, free_key: bool = False
    ) -> Image:
        image = self._storage.images.get(guid)
        if image is not None and image.status is Status.READY:
            raise ConstraintViolationError("The image is ready: it cannot turn into a failure.", guid=guid)
        charge = self._storage.charges.get(guid)
        if charge is not None:
            self._storage.charges[guid] = charge = charge.failed(status)
        image = await self.get(guid)
        self._storage.leases.pop(guid, None)
        if free_key:
            self._storage.claims.pop(guid, None)
        return self._keep(image.failed(status, failure, now, None if charge is None else charge.cost))

    async def get(self, guid: str) -> Image:
        image = self._storage.images.get(guid)
        if image is None:
            raise ImageNotFoundError("There is no such image.")
        return image

    async def get_visible(self, guid: str, viewer: Viewer) -> Image:
        image = self._storage.images.get(guid)
        if image is None or not self._can_see(image, viewer):
            raise ImageNotFoundError("There is no such image.")
        return image

    async def search(self, query: ImageQuery) -> Page:
        """Search at most `examined` of the images that the viewer may find, newest first."""
        found: list[Image] = []
        below = (
            image
            for image in reversed(self._storage.images.values())
            if (query.before_id is None or image.id < query.before_id)
            and image.id > (query.after_id or 0)
            and self._is_in_sight(image, query.viewer)
        )
        last = None
        for looked_at, image in enumerate(below):
            if last is not None and looked_at == self._examined:
                return Page(tuple(found), last.id)
            if _matches(image, query):
                if len(found) == query.limit:
                    return Page(tuple(found), found[-1].id)
                found.append(image)
            last = image
        return Page(tuple(found))

    async def update(self, guid: str, changes: ImageChanges, now: datetime) -> Image:
        return self._keep((await self.get(guid)).changed(changes, now))

    async def set_placeholder(self, guid: str, placeholder: str) -> None:
        if (image := self._storage.images.get(guid)) is not None:
            self._keep(replace(image, placeholder=placeholder))

    async def delete(self, guid: str) -> tuple[str, ...]:
        image = await self.get(guid)
        guids: tuple[str, ...] = (guid,)
        if image.status is Status.QUEUED:
            call = (image,) if image.request.batch is None else await self.batch(image.request.batch)
            guids = tuple(one.guid for one in call if one.status is Status.QUEUED)
        for deleted in guids:
            if image.status is Status.QUEUED and (charge := self._storage.charges.get(deleted)) is not None:
                self._storage.charges[deleted] = charge.failed(Status.FAILED)
            self._storage.queued_calls.pop(deleted, None)
            del self._storage.images[deleted]
        return guids

    async def cancel(self, guid: str) -> tuple[str, ...]:
        image = await self.get(guid)
        if image.status is not Status.QUEUED:
            raise ImageNotQueuedError.of(guid, image.status)
        return await self.delete(guid)

    def _add(self, draft: ImageDraft) -> Image:
        self._storage.last_id += 1
        self._storage.leases[draft.guid] = (draft.lease.owner, draft.lease.expires_at)
        self._storage.claims.pop(draft.guid, None)
        self._storage.callers_left.pop(draft.guid, None)
        self._storage.queued_calls.pop(draft.guid, None)
        if draft.queued_call is not None:
            self._storage.queued_calls[draft.guid] = deepcopy(draft.queued_call)
        if draft.claim is not None:
            self._storage.claims[draft.guid] = draft.claim
        return self._keep(draft.recorded(self._storage.last_id))

    def _claims(self) -> Iterator[tuple[Image, IdempotencyClaim]]:
        """Return the images that have a claim, in the order of adding."""
        images, claims = self._storage.images, self._storage.claims
        return ((image, claims[guid]) for guid, image in images.items() if guid in claims)

    def _can_see(self, image: Image, viewer: Viewer) -> bool:
        author = image.request.author
        return can_see(image, viewer, None if author is None else self._storage.users.get(author))

    def _is_in_sight(self, image: Image, viewer: Viewer) -> bool:
        """Return whether a viewer may find an image: strangers find only what is ready."""
        return is_author(image, viewer) or (image.status is Status.READY and self._can_see(image, viewer))

    def _keep(self, image: Image) -> Image:
        # A copy, because the caller may change its parameters or usage later.
        self._storage.images[image.guid] = deepcopy(image)
        return image


def _matches(image: Image, query: ImageQuery) -> bool:
    words = index_terms(image.request.prompt) if query.terms else ()
    return (
        image.status is query.status
        and query.guid in {None, image.guid}
        and query.derived_from in {None, *image.request.derived_from}
        and query.author in {None, image.request.author}
        and query.model in {None, image.request.model}
        and query.visibility in {None, image.request.visibility}
        and (query.created_after is None or image.request.created_at > query.created_after)
        and (query.created_before is None or image.request.created_at < query.created_before)
        and (query.filename is None or query.filename in fold(image.request.filename))
        and set(query.tags) <= set(image.request.tags)
        and all(any(word.startswith(term) for word in words) for term in query.terms)
    )
