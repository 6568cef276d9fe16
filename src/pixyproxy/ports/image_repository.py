"""The port to the store of image records."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime

from pixyproxy.domain.access import Viewer
from pixyproxy.domain.generation import ImageDraft, Lease, Predecessor, QueuedCall
from pixyproxy.domain.image import Failure, Image, ImageChanges, ImageResult, Status
from pixyproxy.domain.query import ImageQuery, Page
from pixyproxy.ports.resource import Resource


class ImageRepository(Resource):
    """Remembers images.

    Each method is one short transaction. When it returns, its effect is durable and visible to every later read from
    any process. When it raises, it has had no effect, except that a write that raises DBConnectionError may have
    happened. Every method raises DBConnectionError within a few seconds while the store cannot be reached, and works
    again once the store is back. Text is returned exactly as it was given, whatever characters it contains. Times are
    aware, in UTC, with microseconds.
    """

    @abstractmethod
    async def open(self) -> None:
        """Make ready for use; raises SchemaVersionError if this program cannot run on the tables."""

    @abstractmethod
    async def ping(self) -> None:
        """Return if the store answers and takes writes."""

    @abstractmethod
    async def add_batch(self, drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        """Record new images, all or none, with the status of their drafts; ids grow in the order of adding.

        Only the first may have a claim with a key. Of several callers that claim the same key at once, one succeeds; a
        claim without a key is not exclusive.

        Raises:
            IdempotencyKeyTakenError: An image holds the claim (the same caller and key); nothing was changed.
            ConstraintViolationError: An image with one of the GUIDs exists; nothing was changed.
        """

    @abstractmethod
    async def start(self, guids: Sequence[str], lease: Lease, now: datetime) -> tuple[Image, ...]:
        """Give the `queued` ones of these images status `generating` and this lease, and forget their queued call.

        Return them, in the order of adding; `now` is their `updated_at`. Of several processes that try at once, one
        gets all that are queued, the others none.
        """

    @abstractmethod
    async def requeue(self, guids: Sequence[str], owner: str, call: QueuedCall, now: datetime) -> tuple[Image, ...]:
        """Give those of these images that are `generating` under a lease of this owner status `queued` again.

        The lease stays, and the first of them keeps the call. Return them, in the order of adding.
        """

    async def add(self, draft: ImageDraft) -> Image:
        """Record one new image, like `add_batch`."""
        (image,) = await self.add_batch([draft])
        return image

    @abstractmethod
    async def batch(self, guid: str) -> tuple[Image, ...]:
        """Return the images whose `batch` is this GUID, in the order of adding; none is no error."""

    @abstractmethod
    async def find_claimed(self, caller: str, key: str) -> tuple[Image, str] | None:
        """Return the image that holds this caller's idempotency key and the fingerprint of its request, or None.

        An image holds its key as long as it exists, unless its failure released the key.
        """

    @abstractmethod
    async def find_held(self, holder: str) -> tuple[Image, str] | None:
        """Return the oldest image whose claim has this holder and the fingerprint of its request, or None.

        An image keeps the holder of its claim as long as its key.
        """

    @abstractmethod
    async def find_recent(self, caller: str, fingerprint: str, since: datetime) -> Image | None:
        """Return the newest image with this caller's fingerprint, with or without a key, or None.

        The image is `generating` or was updated at or after `since`, and its claim was not released.
        """

    @abstractmethod
    async def predecessors(
        self, caller: str, fingerprint: str, *, ended_since: datetime, left_since: datetime
    ) -> tuple[Predecessor, ...]:
        """Return the images with this caller's fingerprint that may be uncertain, oldest first.

        They are not settled; or `unknown`, or `ready` under a lease, and updated at or after `ended_since`; or their
        caller left at or after `left_since`. Images that released their claim are none of them.
        """

    @abstractmethod
    async def mark_caller_left(self, guids: Collection[str], at: datetime) -> int:
        """Record that the caller of these images (at most 1,000) left without the answer; change nothing else.

        Missing images are no error. Return how many exist.
        """

    @abstractmethod
    async def mark_answered(self, guids: Collection[str]) -> None:
        """Record that the caller of these images (at most 1,000) has the answer: end the leases of `ready` ones.

        Others, and missing images, are no error and do not change.
        """

    @abstractmethod
    async def mark_ready(self, guid: str, result: ImageResult, now: datetime) -> Image:
        """Record the result, with status `ready`, `now` as `updated_at` and no failure.

        The lease stays until `mark_answered`: its owner owes the answer. Repeating it with the same result changes
        nothing. It raises ImageNotFoundError if there is no such image.
        """

    @abstractmethod
    async def mark_failed(
        self, guid: str, status: Status, failure: Failure, now: datetime, *, free_key: bool = False
    ) -> Image:
        """Record why there is no picture, with status `failed` or `unknown`; end the lease.

        With `free_key` the image releases its claim: others can take the key, and the fingerprint is no longer
        found.

        Raises:
            ImageNotFoundError: There is no such image.
            ConstraintViolationError: The image is `ready`; it never turns into a failure.
        """

    @abstractmethod
    async def get(self, guid: str) -> Image:
        """Return the image with this GUID, whatever its status; raises ImageNotFoundError if there is none."""

    @abstractmethod
    async def get_visible(self, guid: str, viewer: Viewer) -> Image:
        """Return the image with this GUID, whatever its status, if the viewer may see it (`access.can_see`).

        Teachers see hidden images of those who are students of their class now, by the roster in the same store. It
        raises ImageNotFoundError if there is none, or the viewer may not see it, after the same work in both cases.
        """

    @abstractmethod
    async def search(self, query: ImageQuery) -> Page:
        """Return a page of the images that match the query and that its viewer may see, newest (highest id) first.

        Of images that are hidden the viewer sees those that `get_visible` returns.

        The page has at most `query.limit` images, and a `next_before_id` unless there are no more. The number of images
        examined for one page is bounded, whatever the query and however many images exist: if they do not fill the
        page, it has fewer, perhaps none, and the search continues before that id. Going on in this way comes to an
        end. An image that existed when the first page was read and is not changed meanwhile is on exactly one page,
        whatever is added or deleted between the pages. Without a match the page is empty and the last.
        """

    @abstractmethod
    async def update(self, guid: str, changes: ImageChanges, now: datetime) -> Image:
        """Change the given fields, all or none, set `updated_at` to `now`, and return the new image.

        It raises ImageNotFoundError if there is none.
        """

    @abstractmethod
    async def set_placeholder(self, guid: str, placeholder: str) -> None:
        """Store the placeholder of an image and change nothing else, not even `updated_at`.

        A missing image is no error.
        """

    @abstractmethod
    async def delete(self, guid: str) -> tuple[str, ...]:
        """Delete the image with its tags, search terms and sources; images derived from it keep its GUID.

        With a `queued` image all of its call that are queued are deleted, and their charges are freed. Return the GUIDs
        of the images that were deleted. It raises ImageNotFoundError if there is none.
        """

    @abstractmethod
    async def cancel(self, guid: str) -> tuple[str, ...]:
        """Delete the image and its call like `delete`, but only while it is `queued`.

        Of `start` and `cancel` at once, one succeeds.

        Raises:
            ImageNotFoundError: There is no such image.
            ImageNotQueuedError: The image has another status; nothing was changed.
        """
