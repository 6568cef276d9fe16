"""The port to the store of image records."""

from abc import abstractmethod
from datetime import datetime

from pixyproxy.domain.image import Failure, Image, ImageChanges, ImageDraft, ImageResult, Status
from pixyproxy.domain.query import ImageQuery, Page
from pixyproxy.ports.lifecycle import Resource


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
    async def add(self, draft: ImageDraft) -> Image:
        """Record a new image with status `generating` and return it; ids grow in the order of adding.

        Raises IdempotencyKeyTakenError if an image holds the claim of the draft (the same caller and key),
        ConstraintViolationError if one with this guid exists, and changes nothing then. Of several who claim
        the same key at once, one succeeds.
        """

    @abstractmethod
    async def find_claimed(self, caller: str, key: str) -> tuple[Image, str] | None:
        """The image that holds this idempotency key of this caller and the fingerprint of its request, or None.

        An image holds its key as long as it exists, unless its failure gave the key back.
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

        With `free_key` the image gives its idempotency key back, to be claimed by another.

        Raises ImageNotFoundError if there is no such image, and ConstraintViolationError if it is `ready`:
        an image that is there never turns into a failure.
        """

    @abstractmethod
    async def get(self, guid: str) -> Image:
        """The image with this guid, whatever its status; raises ImageNotFoundError if there is none."""

    @abstractmethod
    async def search(self, query: ImageQuery) -> Page:
        """The images that match all of the query and that its viewer may see, newest (highest id) first.

        At most `query.limit` of them, and a cursor if there are more. An image that was there when the
        first page was read and is not changed meanwhile is on exactly one page, whatever is added or
        deleted between the pages. No match is an empty page.
        """

    @abstractmethod
    async def update(self, guid: str, changes: ImageChanges, now: datetime) -> Image:
        """Change the given fields, all or none, set `updated_at` to `now`, and return the new image.

        Raises ImageNotFoundError if there is no such image.
        """

    @abstractmethod
    async def delete(self, guid: str) -> None:
        """Forget the image, its tags and its search terms. Raises ImageNotFoundError if there is none."""
