"""Images behind SQL, whichever server runs it."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.repositories import images
from pixyproxy.adapters.sql.search.bounds import DEFAULT, Bounds
from pixyproxy.adapters.sql.search.page import search
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.image import Failure, Image, ImageChanges, ImageResult, Status
from pixyproxy.domain.query import ImageQuery, Page
from pixyproxy.ports.image_repository import ImageRepository


class SQLImageRepository(ImageRepository):
    """Remembers images in an SQL database, which other repositories may share."""

    @abstractmethod
    def __init__(self, database: SQLDatabase, bounds: Bounds = DEFAULT) -> None:
        self._database = database
        self._bounds = bounds
        self._find = database.reads_by_key(images.find_all)
        self._add = database.grouped(images.add_batches, reread=images.find_added)
        self._finish = database.grouped(images.finish, one_statement=True)

    async def open(self) -> None:
        """Open the database and check its tables."""
        await self._database.open(self)

    async def close(self) -> None:
        """Close the database, unless another repository still uses it."""
        await self._database.close(self)

    async def ping(self) -> None:
        """Ask the database for an answer."""
        await self._database.ping()

    async def add_batch(self, drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        """Insert all, perhaps with others; where the connection is lost during the commit, look for them."""
        try:
            return await self._add(drafts)
        except ConstraintViolationError:
            await self._database.read(partial(images.blame_claim, drafts=drafts))
            raise

    async def batch(self, guid: str) -> tuple[Image, ...]:
        """Read them by their index."""
        return await self._database.read(partial(images.batch, guid=guid))

    async def find_claimed(self, caller: str, key: str) -> tuple[Image, str] | None:
        """Read one row by its unique key."""
        return await self._database.point_read(partial(images.find_claimed, caller=caller, key=key))

    async def find_recent(self, caller: str, fingerprint: str, since: datetime) -> Image | None:
        """Find the newest by its index."""
        return await self._database.read(
            partial(images.find_recent, caller=caller, fingerprint=fingerprint, since=since)
        )

    async def mark_ready(self, guid: str, result: ImageResult, now: datetime, *, begun: Image | None = None) -> Image:
        """Record the result in one statement where it is as usual, else in a transaction that looks first."""
        if begun is not None and await self._finish(images.Finished(begun, result, now)):
            return begun.finished(result, now)
        return await self._database.write(partial(images.mark_ready, guid=guid, result=result, now=now))

    async def mark_failed(
        self, guid: str, status: Status, failure: Failure, now: datetime, *, free_key: bool = False
    ) -> Image:
        """Record the failure in one transaction."""
        return await self._database.write(
            partial(images.mark_failed, guid=guid, status=status, failure=failure, now=now, free_key=free_key)
        )

    async def get(self, guid: str) -> Image:
        """Read one row by its unique key, perhaps together with others."""
        image = await self._find(guid)
        if image is None:
            raise images.missing()
        return image

    async def search(self, query: ImageQuery) -> Page:
        """Read one page, with no more work than the bounds allow."""
        return await self._database.read(partial(search, query=query, bounds=self._bounds))

    async def update(self, guid: str, changes: ImageChanges, now: datetime) -> Image:
        """Change the row and its tags in one transaction."""
        return await self._database.write(partial(images.update, guid=guid, changes=changes, now=now))

    async def set_placeholder(self, guid: str, placeholder: str) -> None:
        """Change one column of the row."""
        await self._database.write(partial(images.set_placeholder, guid=guid, placeholder=placeholder))

    async def delete(self, guid: str) -> None:
        """Delete the row, and by cascade its tags and terms."""
        await self._database.write(partial(images.delete, guid=guid))
