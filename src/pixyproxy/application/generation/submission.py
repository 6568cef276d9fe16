"""The first step of a generation: check a submission, find an earlier identical one, or draft rows and start a run."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pixyproxy.application.generation.edit_sources import EditSources
from pixyproxy.application.generation.idempotency import ClaimLocks, UnpaidFailures, claim_of
from pixyproxy.application.generation.recorder import GenerationOutcome
from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.domain.errors import (
    BlobStoreError,
    DataValidationError,
    EditingUnsupportedError,
    IdempotencyKeyReusedError,
    IdempotencyKeyTakenError,
    ImageNotFoundError,
    ImageNotReadyError,
    recreate_error,
)
from pixyproxy.domain.filename import filename_for
from pixyproxy.domain.generation import GenerationRequest, IdempotencyClaim, ImageDraft
from pixyproxy.domain.image import Image, ImageRequest, Status, Visibility, new_guid
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import ImageGenerator, OnPartial
from pixyproxy.ports.image_repository import ImageRepository

RETRY_WINDOW = timedelta(minutes=15)
"""Time after the end of a generation during which a retry without a key joins it."""
_STORING_S = 60.0
"""Seconds that storing and recording may take beyond the deadline of the upstream call."""
_FIRST_POLL_S, _LONGEST_POLL_S = 0.05, 1.0
_CLAIM_TRIES = 3
"""Attempts to claim a key while other requests claim and release it because their generations fail."""
_PERSONAL = frozenset({"user", "safety_identifier"})
"""Options that name a person to the generator: passed on, but not recorded with an image that may be public."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for pictures and its caller (None: anonymous); None leaves a choice to the generator or to us."""

    viewer: str | None
    prompt: str
    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    n: int = 1
    tags: list[str] | None = None
    visibility: Visibility | None = None
    filename: str | None = None
    sources: EditSources = field(default_factory=EditSources)

    def canonical(self) -> dict[str, Any]:
        """Return the submission as JSON types; equal for two that ask for the same pictures."""
        pictures = {
            "image": [source.sha256 for source in self.sources.images],
            "attachments": {name: source.sha256 for name, source in self.sources.attachments.items()},
            "derived_from": list(self.sources.derived_from),
        }
        ours = {
            "prompt": self.prompt,
            "model": self.model,
            "n": None if self.n == 1 else self.n,
            "tags": self.tags,
            "visibility": self.visibility,
            "filename": self.filename,
            # The name is part of recorded fingerprints and must not change.
            "inputs": pictures if self.sources.images else None,
        }
        return {**self.options, **{name: value for name, value in ours.items() if value is not None}}


class Submitter:
    """Turns submissions into outcomes; see `ImageService.create` for what it promises and raises."""

    def __init__(
        self, images: ImageRepository, runner: GenerationRunner, generator: ImageGenerator, clock: Clock
    ) -> None:
        self._images = images
        self._runner = runner
        self._generator = generator
        self._clock = clock
        self._claims = ClaimLocks()
        self._unpaid_failures = UnpaidFailures(clock)

    async def submit(
        self,
        submission: Submission,
        *,
        idempotency_key: str | None = None,
        retried: bool = False,
        wait: bool = True,
        on_partial: OnPartial | None = None,
    ) -> GenerationOutcome:
        """Return the outcome of a submission, whose edit sources are closed when they are no longer needed.

        With `retried` and without a key it joins an identical submission of the same caller that is running or ended
        within `RETRY_WINDOW`, unless one has failed since without being paid.
        """
        drafts: list[ImageDraft] = []
        try:
            self._check(submission)
            claim = claim_of(submission.viewer, idempotency_key, submission.canonical())
            for _ in range(_CLAIM_TRIES):
                async with self._claims.hold(claim):
                    earlier = await self._earlier(claim, retried)
                    if earlier is None:
                        drafts = self._drafts(submission, claim)
                        try:
                            with self._unpaid_failures.noticed(claim):
                                generation = await self._runner.start(drafts, _request(submission), on_partial)
                        except IdempotencyKeyTakenError:
                            continue
                if earlier is not None:
                    return await self._repeat(*earlier, claim, wait)
                if not wait:
                    return GenerationOutcome(generation.images)
                with self._unpaid_failures.noticed(claim):
                    return await asyncio.shield(generation.task)
            raise IdempotencyKeyTakenError("Other requests with this key keep failing: try again later.")
        finally:
            # A generation continues, and reads its sources, even if this call is cancelled.
            task = self._runner.task_of(drafts[0].guid) if drafts else None
            if task is None:
                submission.sources.close()
            else:
                task.add_done_callback(lambda _: submission.sources.close())

    def _check(self, submission: Submission) -> None:
        if submission.viewer is None and submission.visibility is Visibility.PRIVATE:
            message = "must be public for an anonymous caller: log in to make a private image"
            raise DataValidationError.at(("visibility",), message)
        if submission.sources.images and not self._generator.can_edit:
            raise EditingUnsupportedError(
                f"The generator {self._generator.name!r} makes pictures from prompts only: it cannot edit images."
            )

    async def _earlier(self, claim: IdempotencyClaim, retried: bool) -> tuple[Image, str] | None:
        """Return the image of the submission that this claim repeats, and its fingerprint, or None."""
        if claim.key is not None:
            return await self._images.find_claimed(claim.caller, claim.key)
        if not retried:
            return None
        since = self._unpaid_failures.earliest_match(claim, self._clock.now() - RETRY_WINDOW)
        image = await self._images.find_recent(claim.caller, claim.fingerprint, since)
        return None if image is None else (image, claim.fingerprint)

    async def _repeat(self, image: Image, fingerprint: str, claim: IdempotencyClaim, wait: bool) -> GenerationOutcome:
        """Return the outcome of an earlier submission, or raise its error again."""
        if fingerprint != claim.fingerprint:
            raise IdempotencyKeyReusedError(
                "This Idempotency-Key was used for another request: use a new key for a new picture."
            )
        batch = image.request.batch
        images = [image] if batch is None else list(await self._images.batch(batch))
        if wait:
            images = [found for one in images if (found := await self._settled(one)) is not None]
        made = tuple(one for one in images if one.failure is None)
        if made:
            return GenerationOutcome(made, replayed=True)
        failed = next((one for one in images if one.failure is not None), None)
        if failed is None or failed.failure is None:
            raise ImageNotFoundError("The image was deleted.", guid=image.guid)
        error = recreate_error(failed.failure.code, failed.failure.message, failed.guid)
        error.replayed = True
        # A store that fails before anything is paid leaves no row; this one failed afterwards.
        error.may_have_been_paid |= failed.status is Status.UNKNOWN or isinstance(error, BlobStoreError)
        raise error

    async def _settled(self, image: Image) -> Image | None:
        """Wait for a generation that was begun by another call, here or in another process; None if it was deleted."""
        deadline = asyncio.get_running_loop().time() + self._runner.timeout_s + _STORING_S
        delay_s = _FIRST_POLL_S
        try:
            if (task := self._runner.task_of(image.guid)) is not None:
                await asyncio.wait([task])
                image = await self._images.get(image.guid)
            while image.status is Status.GENERATING:
                if asyncio.get_running_loop().time() > deadline:
                    raise ImageNotReadyError("The image is still being made.", guid=image.guid, retry_after_s=5)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 1.5, _LONGEST_POLL_S)
                image = await self._images.get(image.guid)
        except ImageNotFoundError:
            return None
        return image

    def _drafts(self, submission: Submission, claim: IdempotencyClaim) -> list[ImageDraft]:
        lease = self._runner.new_lease()
        now = self._clock.now()
        guids = [new_guid() for _ in range(submission.n)]
        wanted = submission.options.get("output_format")
        media_type = f"image/{wanted if isinstance(wanted, str) else 'png'}".lower().replace("/jpg", "/jpeg")
        parameters = {name: value for name, value in submission.options.items() if name not in _PERSONAL}
        if submission.n > 1:
            parameters["n"] = submission.n
        return [
            ImageDraft(
                ImageRequest(
                    guid=guid,
                    filename=submission.filename or filename_for(submission.prompt, guid, media_type),
                    prompt=submission.prompt,
                    tags=tuple(submission.tags or ()),
                    author=submission.viewer,
                    visibility=submission.visibility or Visibility.PUBLIC,
                    generator=self._generator.name,
                    model=submission.model,
                    parameters=parameters,
                    created_at=now,
                    derived_from=submission.sources.derived_from,
                    batch=guids[0] if submission.n > 1 else None,
                ),
                lease,
                claim if guid == guids[0] else None,
            )
            for guid in guids
        ]


def _request(submission: Submission) -> GenerationRequest:
    return GenerationRequest(
        prompt=submission.prompt,
        model=submission.model,
        options=submission.options,
        n=submission.n,
        images=submission.sources.images,
        attachments=submission.sources.attachments,
    )
