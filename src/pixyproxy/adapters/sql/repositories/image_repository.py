"""Images in an SQL database."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.mapping import IMAGE_COLUMNS, SELECT_IMAGE, guid_key, to_image, to_time
from pixyproxy.adapters.sql.money.charges import AccountsMissingError
from pixyproxy.adapters.sql.repositories import image_transactions as transactions
from pixyproxy.adapters.sql.repositories import queue_transactions
from pixyproxy.adapters.sql.repositories.ledger import open_accounts
from pixyproxy.adapters.sql.repositories.predecessors import (
    STATUSES_OF_NEWER_VERSIONS,
    find_predecessors,
    mark_answered,
    mark_caller_left,
)
from pixyproxy.adapters.sql.repositories.sql_repository import SQLRepository
from pixyproxy.adapters.sql.search.bounds import DEFAULT, Bounds
from pixyproxy.adapters.sql.search.page import search
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.generation import ImageDraft, Lease, Predecessor, QueuedCall
from pixyproxy.domain.image import Failure, Image, ImageChanges, ImageResult, Status
from pixyproxy.domain.query import ImageQuery, Page
from pixyproxy.ports.image_repository import ImageRepository

_BATCH = SELECT_IMAGE + " WHERE images.batch = :guid ORDER BY images.id"
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_BY_CLAIM = f"""SELECT {IMAGE_COLUMNS}, images.request_fingerprint FROM images
    WHERE images.idempotency_caller = :caller AND images.idempotency_key = :key
    AND LENGTH(images.idempotency_caller) = LENGTH(:caller)"""
_BY_HOLDER = f"""SELECT {IMAGE_COLUMNS}, images.request_fingerprint FROM images
    WHERE images.idempotency_holder = :holder ORDER BY images.id LIMIT 1"""
_OF_REQUEST = """SELECT id FROM images WHERE request_fingerprint = :fingerprint
    AND idempotency_caller = :caller AND LENGTH(idempotency_caller) = LENGTH(:caller) AND"""
_RECENT = ("status IN ('ready', 'failed', 'unknown')", *STATUSES_OF_NEWER_VERSIONS)
# UNION ALL instead of OR, and a range of statuses in each part, so that each server reads only recent entries of the
# index, however often the same was requested before.
_BY_REQUEST = " ".join(
    [
        SELECT_IMAGE,
        "WHERE images.id = (SELECT MAX(id) FROM (",
        _OF_REQUEST,
        "status = 'generating'",
        f"UNION ALL {_OF_REQUEST} status = 'queued'",
        *(f"UNION ALL {_OF_REQUEST} {statuses} AND updated_at >= :since" for statuses in _RECENT),
        ") AS recent)",
    ]
)
_OPENINGS = 3
"""Attempts at opening accounts: a budget may be set again in between."""
_SET_PLACEHOLDER = "UPDATE images SET placeholder = :placeholder WHERE guid = :guid"


class SQLImageRepository(SQLRepository, ImageRepository):
    """Remembers images in an SQL database."""

    def __init__(self, database: SQLDatabase, bounds: Bounds = DEFAULT) -> None:
        super().__init__(database)
        self._bounds = bounds
        self._load = database.data_loader(transactions.find_all)
        self._load_visible = database.data_loader(transactions.find_all_visible)
        self._add = database.group_commit(transactions.add_batches, reread=transactions.find_added)
        self._mark_ready = database.group_commit(transactions.mark_ready)

    async def ping(self) -> None:
        await self._database.ping()

    async def add_batch(self, drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        try:
            return await self._add_with_accounts(drafts)
        except ConstraintViolationError:
            await self._database.read(partial(transactions.check_claim, drafts=drafts))
            raise

    async def _add_with_accounts(self, drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        """Add the drafts, once the accounts are open that they need."""
        for _ in range(_OPENINGS):
            try:
                return await self._add(drafts)
            except AccountsMissingError as error:
                await open_accounts(self._database, error.accounts)
        return await self._add(drafts)

    async def start(self, guids: Sequence[str], lease: Lease, now: datetime) -> tuple[Image, ...]:
        return await self._database.write(
            partial(queue_transactions.start, guids=guids, lease=lease, now=now),
            reread=partial(queue_transactions.find_started, guids=guids, lease=lease),
        )

    async def requeue(self, guids: Sequence[str], owner: str, call: QueuedCall, now: datetime) -> tuple[Image, ...]:
        return await self._database.write(
            partial(queue_transactions.requeue, guids=guids, owner=owner, call=call, now=now)
        )

    async def batch(self, guid: str) -> tuple[Image, ...]:
        rows = await self._database.read(lambda session: session.fetch(_BATCH, {"guid": guid_key(guid)}))
        return tuple(map(to_image, rows))

    async def find_claimed(self, caller: str, key: str) -> tuple[Image, str] | None:
        values = {"caller": caller, "key": key}
        rows = await self._database.read(lambda session: session.fetch(_BY_CLAIM, values))
        return (to_image(rows[0][:-1]), rows[0][-1]) if rows else None

    async def find_held(self, holder: str) -> tuple[Image, str] | None:
        rows = await self._database.read(lambda session: session.fetch(_BY_HOLDER, {"holder": holder}))
        return (to_image(rows[0][:-1]), rows[0][-1]) if rows else None

    async def find_recent(self, caller: str, fingerprint: str, since: datetime) -> Image | None:
        return await self._database.read(partial(find_recent, caller=caller, fingerprint=fingerprint, since=since))

    async def predecessors(
        self, caller: str, fingerprint: str, *, ended_since: datetime, left_since: datetime
    ) -> tuple[Predecessor, ...]:
        return await self._database.read(
            lambda session: find_predecessors(session, caller, fingerprint, ended_since, left_since)
        )

    async def mark_caller_left(self, guids: Collection[str], at: datetime) -> int:
        return await self._database.write(partial(mark_caller_left, guids=tuple(guids), at=at))

    async def mark_answered(self, guids: Collection[str]) -> None:
        await self._database.write(partial(mark_answered, guids=tuple(guids)))

    async def mark_ready(self, guid: str, result: ImageResult, now: datetime) -> Image:
        image = await self._mark_ready(transactions.Completion(guid, result, now))
        if image is None:
            raise transactions.missing()
        return image

    async def mark_failed(
        self, guid: str, status: Status, failure: Failure, now: datetime, *, free_key: bool = False
    ) -> Image:
        image = await self._database.write(
            partial(transactions.mark_failed, guid=guid, status=status, failure=failure, now=now, free_key=free_key)
        )
        if image is None:
            raise transactions.missing()
        return image

    async def get(self, guid: str) -> Image:
        image = await self._load(guid)
        if image is None:
            raise transactions.missing()
        return image

    async def get_visible(self, guid: str, viewer: Viewer) -> Image:
        image = await self._load_visible((guid, viewer))
        if image is None:
            raise transactions.missing()
        return image

    async def search(self, query: ImageQuery) -> Page:
        return await self._database.read(partial(search, query=query, bounds=self._bounds))

    async def update(self, guid: str, changes: ImageChanges, now: datetime) -> Image:
        return await self._database.write(partial(transactions.update, guid=guid, changes=changes, now=now))

    async def set_placeholder(self, guid: str, placeholder: str) -> None:
        values = {"guid": guid_key(guid), "placeholder": placeholder}
        await self._database.write(lambda session: session.change(_SET_PLACEHOLDER, values))

    async def delete(self, guid: str) -> tuple[str, ...]:
        return await self._database.write(partial(queue_transactions.delete, guid=guid))

    async def cancel(self, guid: str) -> tuple[str, ...]:
        return await self._database.write(partial(queue_transactions.delete, guid=guid, only_queued=True))


def find_recent(session: Session, caller: str, fingerprint: str, since: datetime) -> Image | None:
    """Return the newest image of this request that is being generated or has changed since, or None."""
    values = {"caller": caller, "fingerprint": fingerprint, "since": to_time(since)}
    rows = session.fetch(_BY_REQUEST, values)
    return to_image(rows[0]) if rows else None
