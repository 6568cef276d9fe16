"""The port to the store of image records."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime

from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.image import Failure, Image, ImageChanges, ImageResult, Status
from pixyproxy.domain.query import ImageQuery, Page
from pixyproxy.ports.resource import Resource


class ImageRepository(Resource):
    """Remembers images.

    Each method is one short transaction: when it returns, its effect is durable and seen by every later
    read from any process; when it raises, nothing of it has happened, with one exception: after a
    DBConnectionError from a write the write may or may not have happened. Every method raises
    DBConnectionError when the store cannot be reached, within a few seconds, and works again by itself
    once the store is back. Text comes back exactly as it was given, whatever characters it holds.
    Times are aware, in UTC, with microseconds.
    """

    @abstractmethod
    async def open(self) -> None:
        """Make ready for use; raises SchemaVersionError if the tables are not those this program needs."""

    @abstractmethod
    async def ping(self) -> None:
        """Return if the store answers."""

    @abstractmethod
    async def add_batch(self, drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        """Record new images, all or none, with status `generating`; ids grow in the order of adding.

        Only the first may have a claim. Raises IdempotencyKeyTakenError if an image holds it (the same caller and
        key), ConstraintViolationError if one with a guid of these exists, and changes nothing then. Of several
        who claim the same key at once, one succeeds; a claim without a key is nobody's alone.
        """

    async def add(self, draft: ImageDraft) -> Image:
        """Record one new image, as `add_batch` does."""
        (image,) = await self.add_batch([draft])
        return image

    @abstractmethod
    async def batch(self, guid: str) -> tuple[Image, ...]:
        """The images whose `batch` is this guid, in the order of adding; none is no error."""

    @abstractmethod
    async def find_claimed(self, caller: str, key: str) -> tuple[Image, str] | None:
        """The image that holds this idempotency key of this caller and the fingerprint of its request, or None.

        An image holds its key as long as it exists, unless its failure gave the key back.
        """

    @abstractmethod
    async def find_recent(self, caller: str, fingerprint: str, since: datetime) -> Image | None:
        """The newest image with this fingerprint of this caller, with or without a key.

        Only one that is `generating`, or was updated at or after `since`; none whose key was given back.
        """

    @abstractmethod
    async def mark_ready(self, guid: str, result: ImageResult, now: datetime) -> Image:
        """Record what was made, with status `ready`, `now` as `updated_at` and no error; end the lease.

        Raises ImageNotFoundError if there is no such image. Repeating it with the same result changes nothing.
        """

    @abstractmethod
    async def mark_failed(
        self, guid: str, status: Status, failure: Failure, now: datetime, *, free_key: bool = False
    ) -> Image:
        """Record why no image was made, with status `failed` or `unknown`; end the lease.

        With `free_key` the image gives its claim back: another may take the key, and its fingerprint is not
        found any more.

        Raises ImageNotFoundError if there is no such image, and ConstraintViolationError if it is `ready`:
        an image that is there never turns into a failure.
        """

    @abstractmethod
    async def get(self, guid: str) -> Image:
        """The image with this guid, whatever its status; raises ImageNotFoundError if there is none."""

    @abstractmethod
    async def search(self, query: ImageQuery) -> Page:
        """The images that match all of the query and that its viewer may see, newest (highest id) first.

        At most `query.limit` of them, and a cursor unless there are no more. However many images there are and
        whatever is asked for, only so many are looked at for one page: where these do not fill it, it holds
        fewer, perhaps none, and the search goes on at its cursor. Going on at the cursors comes to an end, and an
        image that was there when the first page was read and is not changed meanwhile is on exactly one page,
        whatever is added or deleted between the pages. No match is an empty page at the end.
        """

    @abstractmethod
    async def update(self, guid: str, changes: ImageChanges, now: datetime) -> Image:
        """Change the given fields, all or none, set `updated_at` to `now`, and return the new image.

        Raises ImageNotFoundError if there is no such image.
        """

    @abstractmethod
    async def set_placeholder(self, guid: str, placeholder: str) -> None:
        """Keep a placeholder with the image, in place of an older one; nothing else of it changes, nor `updated_at`.

        It is no error if there is no such image.
        """

    @abstractmethod
    async def delete(self, guid: str) -> None:
        """Forget the image, its tags, its search terms and what it is derived from.

        Raises ImageNotFoundError if there is none. An image that is derived from it still is.
        """
