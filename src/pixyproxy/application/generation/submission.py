"""The first step of a generation: check a submission, find an earlier identical one, or draft rows and start a run."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pixyproxy.application.generation.callers import Caller, Departures
from pixyproxy.application.generation.edit_sources import EditSources
from pixyproxy.application.generation.idempotency import ClaimLocks, UnpaidFailures, claim_of
from pixyproxy.application.generation.replays import EarlierSubmission, Replays
from pixyproxy.application.generation.run import TakenOverError, Watcher
from pixyproxy.application.generation.runner import GenerationRunner, RunningGeneration
from pixyproxy.application.generation.uncertainty import UncertainSubmissions, how_to_insist
from pixyproxy.domain.errors import (
    DataValidationError,
    DBConnectionError,
    EditingUnsupportedError,
    IdempotencyKeyReusedError,
    IdempotencyKeyTakenError,
    PixyProxyException,
    ServiceStoppedError,
)
from pixyproxy.domain.filename import filename_for
from pixyproxy.domain.generation import (
    PERSONAL_OPTIONS,
    GenerationOutcome,
    GenerationRequest,
    IdempotencyClaim,
    ImageDraft,
)
from pixyproxy.domain.image import UNDER_WAY, Image, ImageRequest, Visibility, new_guid
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.money.price_list import PriceList

RETRY_WINDOW = timedelta(minutes=15)
"""Time after the end of a generation during which a retry without a key joins it."""
_LEAVING_S = 0.5
"""Seconds to wait for news that the caller of an identical request left, before it counts as one that waits.

A client that times out closes one connection and repeats its request over another, perhaps to another process.
"""
_CLAIM_TRIES = 3
"""Attempts to claim a key while other requests claim and release it because their generations fail."""


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
        self,
        images: ImageRepository,
        runner: GenerationRunner,
        generator: ImageGenerator,
        prices: PriceList,
        clock: Clock,
        departures: Departures,
        uncertain: UncertainSubmissions,
    ) -> None:
        self._images = images
        self._runner = runner
        self._generator = generator
        self._prices = prices
        self._clock = clock
        self._departures = departures
        self._uncertain = uncertain
        self._replays = Replays(images, runner, clock)
        self._claims = ClaimLocks()
        self._unpaid_failures = UnpaidFailures(clock)

    def require_editing(self) -> None:
        """Raise EditingUnsupportedError if the generator makes pictures from prompts only."""
        if not self._generator.can_edit:
            raise EditingUnsupportedError(
                f"The generator {self._generator.name!r} makes pictures from prompts only: it cannot edit images."
            )

    async def submit(
        self,
        submission: Submission,
        *,
        idempotency_key: str | None = None,
        retried: bool = False,
        wait: bool = True,
        caller: Caller | None = None,
        watcher: Watcher | None = None,
    ) -> GenerationOutcome:
        """Return the outcome of a submission, whose edit sources are closed when they are no longer needed.

        Without a key it joins an identical submission of the same caller that is uncertain. With `retried` it also
        joins one that is running or ended within `RETRY_WINDOW`, unless one has failed since without being paid.
        `watcher` watches the generation while it runs, one that is joined as far as this process runs it.
        """
        caller = caller or Caller()
        drafts: list[ImageDraft] = []
        try:
            self.check(submission.viewer, submission.visibility, edits=bool(submission.sources.images))
            claim = claim_of(submission.viewer, idempotency_key, submission.canonical(), caller.address)
            for attempt in range(_CLAIM_TRIES):
                async with self._claims.hold(claim):
                    recorded, earlier, others_run = await self._earlier(claim, retried)
                    begins = earlier is None and (attempt > 0 or not others_run)
                    if begins:
                        drafts = await self._drafts(submission, recorded)
                        try:
                            with self._unpaid_failures.noticed(claim):
                                generation = await self._runner.start(
                                    drafts, _request(submission), watcher, caller=_party(submission.viewer, caller)
                                )
                        except IdempotencyKeyTakenError:
                            drafts = []
                            continue
                        self._departures.expect(caller, _guids(drafts))
                if earlier is not None:
                    return await self._replay(earlier, claim, caller, wait, watcher)
                if not begins:
                    await asyncio.sleep(_LEAVING_S)
                    continue
                if not wait:
                    return GenerationOutcome(generation.images)
                with self._unpaid_failures.noticed(claim):
                    return await self._outcome(generation, claim)
            raise IdempotencyKeyTakenError("Other requests with this key keep failing: try again later.")
        except PixyProxyException as error:
            if isinstance(error, ServiceStoppedError) or (error.may_have_been_paid and not error.replayed):
                self._leave(caller, drafts)
                if error.may_have_been_paid and idempotency_key is None:
                    now = self._clock.now()
                    error.advice = how_to_insist(now, now)
            raise
        except BaseException:
            # Cancelled by a shutdown, or a bug.
            self._leave(caller, drafts)
            raise
        finally:
            # A generation continues, and reads its sources, even if this call is cancelled.
            task = self._runner.task_of(drafts[0].guid) if drafts else None
            if task is None:
                submission.sources.close()
            else:
                task.add_done_callback(lambda _: submission.sources.close())

    async def _outcome(self, generation: RunningGeneration, claim: IdempotencyClaim) -> GenerationOutcome:
        try:
            return await asyncio.shield(generation.task)
        except TakenOverError:
            return await self._replays.outcome(generation.images, claim, wait=True)

    def _leave(self, caller: Caller, drafts: Sequence[ImageDraft]) -> None:
        """Record that a caller gets an error in place of pictures that may have been paid for."""
        if drafts:
            self._departures.expect(caller, _guids(drafts))
        self._departures.leave(caller)

    def check(self, viewer: str | None, visibility: Visibility | None, *, edits: bool) -> None:
        """Raise DataValidationError or EditingUnsupportedError if this viewer cannot have such a picture made."""
        if viewer is None and visibility is Visibility.PRIVATE:
            message = "must be public for an anonymous caller: log in to make a private image"
            raise DataValidationError.at(("visibility",), message)
        if edits:
            self.require_editing()

    async def _earlier(
        self, claim: IdempotencyClaim, retried: bool
    ) -> tuple[IdempotencyClaim, EarlierSubmission | None, bool]:
        """Return the claim to record, the submission that it repeats, or None, and whether others like it run."""
        if claim.key is not None:
            return *(await self._replays.claimed(claim)), False
        image, others_run = None, False
        if retried:
            since = self._unpaid_failures.earliest_match(claim, self._clock.now() - RETRY_WINDOW)
            image = await self._images.find_recent(claim.caller, claim.fingerprint, since)
        if image is None:
            image, others_run = await self._uncertain.find(claim)
        return claim, None if image is None else EarlierSubmission(image, claim.fingerprint), others_run

    async def _replay(
        self,
        earlier: EarlierSubmission,
        claim: IdempotencyClaim,
        caller: Caller,
        wait: bool,
        watcher: Watcher | None,
    ) -> GenerationOutcome:
        if earlier.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReusedError(
                "This Idempotency-Key was used for another request: use a new key for a new picture."
            )
        try:
            images = await self._replays.images_of(earlier.image)
            self._departures.expect(caller, _guids(images))
            if watcher is not None and any(image.status in UNDER_WAY for image in images):
                watcher.show(GenerationOutcome(images, replayed=True))
                self._runner.watch(images[0].guid, watcher)
            return await self._replays.outcome(images, claim, wait)
        except DBConnectionError as error:
            # The picture may be there: a caller who knows its GUID finds it when the database is back.
            error.guid = error.guid or earlier.image.guid
            raise

    async def _drafts(self, submission: Submission, claim: IdempotencyClaim) -> list[ImageDraft]:
        price = await self._prices.price_of(_request(submission).priced, self._clock.now())
        lease = self._runner.new_lease()
        now = self._clock.now()
        guids = [new_guid() for _ in range(submission.n)]
        wanted = submission.options.get("output_format")
        media_type = f"image/{wanted if isinstance(wanted, str) else 'png'}".lower().replace("/jpg", "/jpeg")
        parameters = {name: value for name, value in submission.options.items() if name not in PERSONAL_OPTIONS}
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
                # Each row says of which request it is; the key is claimed once.
                claim if guid == guids[0] else replace(claim, key=None, holder=None),
                reservation,
            )
            for guid, reservation in zip(guids, price.reservations(submission.n), strict=True)
        ]


def _party(viewer: str | None, caller: Caller) -> str:
    """Return the name under which the generations of a caller are counted."""
    return f"address {caller.address}" if viewer is None else f"user {viewer}"


def _guids(items: Iterable[ImageDraft | Image]) -> list[str]:
    return [item.guid for item in items]


def _request(submission: Submission) -> GenerationRequest:
    return GenerationRequest(
        prompt=submission.prompt,
        model=submission.model,
        options=submission.options,
        n=submission.n,
        images=submission.sources.images,
        attachments=submission.sources.attachments,
    )
