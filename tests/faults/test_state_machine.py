"""A state machine: after any sequence of operations, the images are those of a plain dictionary."""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
from pixyproxy.adapters.memory.blob_store import MemoryBlobStore
from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.application.maintenance.findings import Finding
from pixyproxy.domain import errors
from pixyproxy.domain.access import Staff, Viewer, username_of
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.filename import filename_for
from pixyproxy.domain.generation import GeneratedImage, GenerationOutcome, GenerationRequest, PartialImage
from pixyproxy.domain.image import Image
from pixyproxy.domain.query import Page
from pixyproxy.domain.user import User
from pixyproxy.ports.clock import Clock
from tests.fixtures.core import ScriptedGenerator, image_service_on, reconciler_on
from tests.fixtures.sql.mysql_servers import MySQLSettings

LEASE_S = 60.0
PATIENCE_S = 30.0
AFTER_REFUSAL_S = 61.0
"""Seconds after which a refusal for the rate slows nothing any more."""
DERANDOMIZED = bool(os.environ.get("CI") or os.environ.get("PIXYPROXY_REQUIRE_MYSQL"))
ABSENT = "00000000-0000-4000-8000-000000000000"

WORDS = ("duck", "ducks", "bath", "sink")
STUDENTS = {"alice": "9a", "bob": "9b"}
ROOT, MILLER = Staff("root", None), Staff("miller", "9a")
VIEWERS = st.sampled_from([None, "alice", "bob", ROOT, MILLER])
MAKERS = st.sampled_from(["alice", "alice", "bob", None])
TAGS = st.lists(st.sampled_from(["red", "blue", "big"]), unique=True, max_size=2)
VISIBILITY = st.sampled_from(["public", "public", "private"])
KEYS = st.sampled_from([None, None, "key-1", "key-2"])
BODIES = st.fixed_dictionaries(
    {"prompt": st.sampled_from([f"{a} {b}" for a in WORDS for b in WORDS[:2]])},
    optional={"tags": TAGS, "visibility": VISIBILITY, "filename": st.sampled_from(["mine.png", "Ünser.png"])},
)
PICTURE, NO_PICTURE, CRASH, FULL = "a picture", "no picture", "an exception", "a full store"
FAILURES: dict[str, errors.GeneratorError] = {
    error.code: error
    for error in (
        errors.PromptRejectedError("no"),
        errors.GeneratorRequestError("no such size"),
        errors.GeneratorRateLimitedError("slowly"),
        errors.GeneratorCredentialsError("who?"),
        errors.GeneratorQuotaError("no credit"),
        errors.GeneratorUnavailableError("down"),
        errors.GeneratorConnectionLostError("reset"),
        errors.GeneratorTimeoutError("late"),
        errors.GeneratorResponseError("nonsense", raw=b"<html>"),
    )
}
UNPAID = {"generator-rate-limited", "generator-credentials", "generator-quota-exhausted", "generator-unavailable"}
UNKNOWN = {
    "generator-connection-lost",
    "generator-timeout",
    "generation-interrupted",
    "generator-answer",
    "blob-store-full",
}
OUTCOMES = st.one_of(st.just(PICTURE), st.sampled_from([NO_PICTURE, CRASH, FULL, *FAILURES]))

T = TypeVar("T")


class SetClock(Clock):
    """Clock that is advanced by hand; it starts at the real time, which files have."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time a test sets forward."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class OutcomeGenerator(ScriptedGenerator):
    """Generator whose next call has a scripted outcome, behind a gate if one is set."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        outcome, self.outcome = self.outcome, RuntimeError("no call was to be made")
        gate = self.gate
        self.requests.append(request)
        if gate is not None:
            await gate.wait()
        if isinstance(outcome, Exception):
            raise outcome
        for image in outcome if isinstance(outcome, tuple) else (outcome,):
            yield image


class Backend:
    """Storage of rows and bytes; `adapters` makes new adapters after every crash."""

    def begin(self) -> None:
        self.storage = MemoryStorage()
        self.bytes: dict[str, Any] = {}

    def end(self) -> None:
        """Remove everything."""

    def adapters(self) -> tuple[Any, Any, Any, Any, Any]:
        """Return the repositories of images and of maintenance, the blob store and its maintenance, and the roster."""
        images, recovery = MemoryImageRepository(self.storage), MemoryMaintenanceRepository(self.storage)
        blobs, users = MemoryBlobStore(self.bytes), MemoryUserRepository(self.storage)
        return images, recovery, blobs, MemoryBlobMaintenance(self.bytes), users


class SQLiteBackend(Backend):
    def begin(self) -> None:
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(prefix="pixyproxy-state-", dir=place)
        self._root = Path(self._folder.name)

    def end(self) -> None:
        self._folder.cleanup()

    def adapters(self) -> tuple[Any, Any, Any, Any]:
        database, root = SQLiteDatabase(self._root / "database"), self._root / "images"
        images, recovery = SQLImageRepository(database), SQLMaintenanceRepository(database)
        blobs, users = FilesystemBlobStore(root), SQLUserRepository(database)
        return images, recovery, blobs, FilesystemBlobMaintenance(root), users


class MySQLBackend(Backend):
    def __init__(self, server: MySQLSettings) -> None:
        self._server = server

    def begin(self) -> None:
        super().begin()
        self._server.query("DELETE FROM images")
        self._server.query("DELETE FROM roster")

    def adapters(self) -> tuple[Any, Any, Any, Any]:
        database = self._server.database()
        images, recovery = SQLImageRepository(database), SQLMaintenanceRepository(database)
        blobs, users = MemoryBlobStore(self.bytes), SQLUserRepository(database)
        return images, recovery, blobs, MemoryBlobMaintenance(self.bytes), users


class Machine(RuleBasedStateMachine):
    """The service on one side, and on the other `images`: what is known of each, oldest first, as plain values."""

    backend: Backend

    def __init__(self) -> None:
        super().__init__()
        self.images: dict[str, dict[str, Any]] = {}
        self.claims: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.calls = 0
        self.full = False
        self.clock = SetClock()
        self.generator = OutcomeGenerator()
        self.processes = 0
        self.parts: tuple[Any, ...] = ()
        self.classes: dict[str | None, str] = dict(STUDENTS)
        self.loop = asyncio.Runner(loop_factory=LeapingLoop)

    @initialize()
    def start(self) -> None:
        self.backend.begin()
        self.run(self._start())

    def teardown(self) -> None:
        if self.parts:
            self.run(self._stop())
            self.backend.end()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    def leap(self, seconds: float) -> None:
        """Let the event loop's time pass, in which the queue reckons."""
        loop = self.loop.get_loop()
        assert isinstance(loop, LeapingLoop)
        loop.ahead_s += seconds

    async def _start(self) -> None:
        self.processes += 1
        owner = f"process-{self.processes}"
        images, recovery, blobs, stored, self.users = self.parts = self.backend.adapters()
        for part in self.parts:
            await part.open()
        if self.processes == 1:
            for name, class_key in STUDENTS.items():
                await self.users.add(User(name, class_key))
        put = blobs.put

        async def put_if_there_is_room(*arguments: Any) -> None:
            if self.full:
                raise errors.BlobStoreFullError("No space is left in the blob store.")
            await put(*arguments)

        blobs.put = put_if_there_is_room
        self.service, self.generations = image_service_on(
            images,
            recovery,
            blobs,
            self.generator,
            self.clock,
            owner=owner,
            lease_s=LEASE_S,
            queue_timeout_s=1,
            users=self.users,
        )
        self.reconciler = reconciler_on(
            images, recovery, blobs, stored, self.clock, owner=owner, lease_s=LEASE_S, generator=self.generator
        )

    async def _stop(self) -> None:
        """End like a killed process: work is interrupted and nothing is recorded."""
        tasks = [task for guid in self.gates if (task := self.generations.task_of(guid)) is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for part in reversed(self.parts):
            await part.close()

    # Making

    @rule(viewer=MAKERS, body=BODIES, key=KEYS, outcome=OUTCOMES)
    def create(self, viewer: str | None, body: dict[str, Any], key: str | None, outcome: str) -> None:
        self._create(viewer, body, key, outcome, wait=True)

    @rule(viewer=MAKERS, body=BODIES, key=KEYS)
    def begin(self, viewer: str | None, body: dict[str, Any], key: str | None) -> None:
        self.generator.gate = asyncio.Event()
        self._create(viewer, body, key, PICTURE, wait=False)
        self.generator.gate = None

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), change=st.sampled_from([None, None, "duck bath sink"]), outcome=OUTCOMES)
    def repeat(self, data: st.DataObject, change: str | None, outcome: str) -> None:
        (caller, key), (_, body) = data.draw(st.sampled_from(sorted(self.claims.items(), key=lambda item: item[0])))
        self._create(caller or None, body | ({} if change is None else {"prompt": change}), key, outcome, wait=True)

    def _create(self, viewer: str | None, body: dict[str, Any], key: str | None, outcome: str, *, wait: bool) -> None:
        if viewer is None and body.get("visibility") == "private":
            assert self._refusal(self.service.create(viewer, body, idempotency_key=key)) == "validation-failed"
            return
        claim = (viewer or "", key or "")
        if key is not None and (held := self.claims.get(claim)) and held[0] in self.images:
            self._replayed(viewer, body, key, *held)
            return
        self.calls += 1
        if key is None:
            # Else it may join an uncertain predecessor, which has tests of its own.
            body = body | {"filename": f"{self.calls}.png"}
        data = b"\x89PNG " + f"{self.calls} {body['prompt']}".encode()
        self.generator.outcome = self._made(outcome, data)
        self.full = outcome == FULL
        result = self.run(_outcome(self._begun(viewer, body, key, wait)))
        assert not result.replayed
        guid, code = (result.guid, result.code) if isinstance(result, PixyProxyException) else (result.image.guid, None)
        self.full = False
        assert guid is not None
        assert guid not in self.images
        image = self.images[guid] = {
            "prompt": body["prompt"],
            "tags": tuple(body.get("tags", ())),
            "author": viewer,
            "visibility": body.get("visibility", "public"),
            "hidden": False,
            "filename": body.get("filename") or filename_for(body["prompt"], guid, "image/png"),
            "created_at": self.clock.time,
            "status": "ready" if wait else "generating",
            "error": None,
            "data": data,
            "lease": self.clock.time + timedelta(seconds=LEASE_S),
        }
        image["stored_as"] = image["filename"]
        if key is not None:
            self.claims[claim] = (guid, body)
        if not wait:
            gate = self.generator.gate
            assert gate is not None
            self.gates[guid] = gate
        expected = {PICTURE: None, NO_PICTURE: "generator-answer", CRASH: "generator-connection-lost"}
        expected |= {FULL: "blob-store-full"}
        assert code == expected.get(outcome, outcome)
        if code == "generator-rate-limited":
            self.leap(AFTER_REFUSAL_S)
        if code is not None:
            image |= {"status": "unknown" if code in UNKNOWN else "failed", "error": code}
            if code in UNPAID:
                self.claims.pop(claim, None)

    @staticmethod
    def _made(outcome: str, data: bytes) -> GeneratedImage | Exception:
        if outcome in {PICTURE, FULL}:
            return GeneratedImage(data, model="m-1")
        if outcome == NO_PICTURE:
            return GeneratedImage(b"nonsense")
        if outcome == CRASH:
            return RuntimeError("a fault of the adapter")
        return type(FAILURES[outcome])(FAILURES[outcome].message)

    async def _begun(self, viewer: str | None, body: dict[str, Any], key: str | None, wait: bool) -> GenerationOutcome:
        created = await self.service.create(viewer, body, idempotency_key=key, wait=wait)
        async with asyncio.timeout(PATIENCE_S):
            while len(self.generator.requests) < self.calls:
                await asyncio.sleep(0.001)
        return created

    def _replayed(self, viewer: str | None, body: dict[str, Any], key: str, guid: str, first: dict[str, Any]) -> None:
        image = self.images[guid]
        create = self.service.create(viewer, body, idempotency_key=key, wait=False)
        if body != first:
            assert self._refusal(create) == "idempotency-key-reused"
        elif image["error"] is not None:
            assert self._refusal(create, guid=guid, replayed=True) == image["error"]
        else:
            created = self.run(create)
            assert (created.replayed, created.image.guid) == (True, guid)
            self._same(created.image)

    @precondition(lambda self: self.gates)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        guid = data.draw(st.sampled_from(sorted(self.gates)))
        self.run(self._finished(guid))
        if guid in self.images:
            self._adopted(self.images[guid])

    async def _finished(self, guid: str) -> None:
        self.gates.pop(guid).set()
        task = self.generations.task_of(guid)
        assert task is not None
        await asyncio.wait([task])
        if guid in self.images:
            assert (await task).image.guid == guid
        else:
            assert isinstance(task.exception(), errors.ConstraintViolationError)

    # Time, crashes and recovery

    @rule(seconds=st.sampled_from([1, LEASE_S / 2, LEASE_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self.clock.time += timedelta(seconds=seconds)

    @rule()
    def keep_up(self) -> None:
        self.run(self.generations.maintain())
        for guid in self.gates:
            if guid in self.images:
                self.images[guid]["lease"] = self.clock.time + timedelta(seconds=LEASE_S)

    @rule()
    def crash_and_restart(self) -> None:
        self.run(self._stop())
        self.gates.clear()
        self.run(self._start())

    @rule()
    def reconcile(self) -> None:
        self.run(self._reconciled())
        for image in self.images.values():
            if image["status"] == "generating" and image["lease"] < self.clock.time:
                image |= {"status": "unknown", "error": "generation-interrupted"}
            elif image["error"] == "blob-store-full":
                self._adopted(image)
        assert self.run(self._reconciled()) == []

    @staticmethod
    def _adopted(image: dict[str, Any]) -> None:
        """Ready after all; the name is the one it was stored under."""
        image |= {"status": "ready", "error": None, "filename": image["stored_as"]}

    async def _reconciled(self) -> list[Finding]:
        found = [finding async for finding in self.reconciler.interrupted(apply=True)]
        return found + [finding async for finding in self.reconciler.sweep(apply=True)]

    # Reading, changing, deleting

    def _some_guid(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from([*self.images, ABSENT]))

    @rule(viewer=VIEWERS, data=st.data())
    def get(self, viewer: Viewer, data: st.DataObject) -> None:
        guid = self._some_guid(data)
        if self._visible(guid, viewer):
            self._same(self.run(self.service.get(viewer, guid)))
        else:
            assert self._refusal(self.service.get(viewer, guid)) == "not-found"

    @rule(viewer=VIEWERS, data=st.data())
    def read(self, viewer: Viewer, data: st.DataObject) -> None:
        guid = self._some_guid(data)
        if not self._visible(guid, viewer):
            assert self._refusal(self._content(viewer, guid)) == "not-found"
        elif self.images[guid]["status"] != "ready":
            assert self._refusal(self._content(viewer, guid), guid=guid) == "image-not-ready"
        else:
            assert self.run(self._content(viewer, guid)) == self.images[guid]["data"]

    async def _content(self, viewer: Viewer, guid: str) -> bytes:
        async with await (await self.service.open_content(viewer, guid)).read() as reader:
            return b"".join([piece async for piece in reader])

    @rule(viewer=VIEWERS, data=st.data(), tags=st.none() | TAGS, visibility=st.none() | VISIBILITY, named=st.booleans())
    def update(
        self, viewer: Viewer, data: st.DataObject, tags: list[str] | None, visibility: str | None, named: bool
    ) -> None:
        guid = self._some_guid(data)
        given = {"tags": tags, "visibility": visibility, "filename": "renamed.png" if named else None}
        changes = {name: value for name, value in given.items() if value is not None}
        refused = self._may_not_change(viewer, guid)
        if refused:
            assert self._refusal(self.service.update(viewer, guid, changes)) == refused
            return
        if self.images[guid]["status"] == "generating":
            assert self._refusal(self.service.update(viewer, guid, changes), guid=guid) == "image-not-ready"
            return
        self.images[guid] |= changes | ({} if tags is None else {"tags": tuple(tags)})
        self._same(self.run(self.service.update(viewer, guid, changes)))

    @rule(viewer=VIEWERS, data=st.data(), hidden=st.sampled_from([True, True, False]))
    def hide(self, viewer: Viewer, data: st.DataObject, hidden: bool) -> None:
        guid = self._some_guid(data)
        changes = {"hidden": hidden}
        refused = self._may_not_change(viewer, guid)
        if refused in {None, "permission-denied"}:
            refused = None if self._is_staff_for(guid, viewer) else "permission-denied"
        if refused:
            assert self._refusal(self.service.update(viewer, guid, changes)) == refused
        elif self.images[guid]["status"] == "generating":
            assert self._refusal(self.service.update(viewer, guid, changes), guid=guid) == "image-not-ready"
        else:
            self.images[guid]["hidden"] = hidden
            self._same(self.run(self.service.update(viewer, guid, changes)))

    @rule(name=st.sampled_from(sorted(STUDENTS)), class_key=st.sampled_from(["9a", "9b"]))
    def move(self, name: str, class_key: str) -> None:
        self.run(self.users.update(name, {"class_key": class_key}))
        self.classes[name] = class_key

    @rule(viewer=VIEWERS, data=st.data())
    def delete(self, viewer: Viewer, data: st.DataObject) -> None:
        guid = self._some_guid(data)
        refused = self._may_not_change(viewer, guid)
        if viewer == ROOT and guid in self.images and self.images[guid]["author"] is None:
            refused = None
        if refused:
            assert self._refusal(self.service.delete(viewer, guid)) == refused
        else:
            self.run(self.service.delete(viewer, guid))
            del self.images[guid]

    @rule(
        viewer=VIEWERS,
        limit=st.sampled_from([1, 2, 50]),
        data=st.data(),
        given=st.fixed_dictionaries(
            {},
            optional={
                "prompt": st.sampled_from(["duck", "du", "sink bath", "bath", "BAT", "cat"]),
                "tag": TAGS,
                "author": st.sampled_from(["alice", "bob"]),
                "visibility": VISIBILITY,
                "status": st.sampled_from(["ready", "failed", "unknown", "generating"]),
                "filename": st.sampled_from(["unser", "mine", "png"]),
            },
        ),
        bound=st.sampled_from([None, None, "created_after", "created_before"]),
    )
    def search(self, viewer: Viewer, limit: int, data: st.DataObject, given: dict[str, Any], bound: str | None) -> None:
        if bound and self.images:
            given = given | {bound: self.images[data.draw(st.sampled_from(sorted(self.images)))]["created_at"]}
        found: list[str] = []
        cursor: str | None = None
        while True:
            requested = given | {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
            page: Page = self.run(self.service.search(viewer, requested))
            for image in page.items:
                self._same(image)
            found += [image.guid for image in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
            assert len(page.items) == limit
        assert found == [guid for guid in reversed(self.images) if self._matches(guid, viewer, given)]

    def _matches(self, guid: str, viewer: Viewer, given: dict[str, Any]) -> bool:
        image = self.images[guid]
        status = given.get("status", "ready")
        words = image["prompt"].split()
        return (
            image["status"] == status
            and (self._visible(guid, viewer) if status == "ready" else self._is_own(guid, viewer))
            and all(any(word.startswith(term) for word in words) for term in given.get("prompt", "").lower().split())
            and set(given.get("tag", ())) <= set(image["tags"])
            and given.get("author") in {None, image["author"]}
            and given.get("visibility") in {None, image["visibility"]}
            and given.get("filename", "") in image["filename"].lower().replace("ü", "u")
            and ("created_after" not in given or image["created_at"] > given["created_after"])
            and ("created_before" not in given or image["created_at"] < given["created_before"])
        )

    # What must always hold

    @invariant()
    def no_call_too_many(self) -> None:
        assert len(self.generator.requests) == self.calls

    @invariant()
    def as_many_run_as_are_known(self) -> None:
        if self.parts:
            assert self.generations.in_flight == len(self.gates)
            assert self.generations.pending_writes == 0

    def _is_own(self, guid: str, viewer: Viewer) -> bool:
        return viewer is not None and self.images[guid]["author"] == username_of(viewer)

    def _is_staff_for(self, guid: str, viewer: Viewer) -> bool:
        """Return whether the viewer may hide the image, if it exists."""
        image = self.images.get(guid)
        of_class = image is not None and viewer == MILLER and self.classes.get(image["author"]) == MILLER.class_key
        return viewer == ROOT or of_class

    def _visible(self, guid: str, viewer: Viewer) -> bool:
        image = self.images.get(guid)
        if image is None or self._is_own(guid, viewer):
            return image is not None
        return image["visibility"] == "public" and (not image["hidden"] or self._is_staff_for(guid, viewer))

    def _may_not_change(self, viewer: Viewer, guid: str) -> str | None:
        if viewer is None:
            return "authentication-required"
        if not self._visible(guid, viewer):
            return "not-found"
        return None if self._is_own(guid, viewer) else "permission-denied"

    def _same(self, image: Image) -> None:
        known = self.images[image.guid]
        names = ("prompt", "tags", "author", "visibility", "hidden", "filename", "created_at")
        assert {name: getattr(image.request, name) for name in names} == {name: known[name] for name in names}
        assert image.status == known["status"]
        assert (image.failure and image.failure.code) == known["error"]
        size = image.result and image.result.size_bytes
        assert size == (len(known["data"]) if known["status"] == "ready" else None)

    def _refusal(self, call: Coroutine[Any, Any, object], *, guid: str | None = None, replayed: bool = False) -> str:
        """Return the code of the error that a call raises."""
        error = self.run(_outcome(call))
        assert isinstance(error, PixyProxyException), error
        assert error.replayed == replayed
        assert guid in {None, error.guid}
        return error.code


async def _outcome(call: Coroutine[Any, Any, T]) -> T | PixyProxyException:
    try:
        return await call
    except PixyProxyException as error:
        return error


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Suppress the log of thousands of intended failures."""
    logger = logging.getLogger("pixyproxy")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(level)


def explore(backend: Backend, examples: int, steps: int = 30) -> None:
    """Run this many examples with this many steps."""
    kind = type("Machine", (Machine,), {"backend": backend})
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=DERANDOMIZED,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_in_memory() -> None:
    explore(Backend(), 150, 40)


@pytest.mark.slow
def test_on_sqlite_and_files() -> None:
    explore(SQLiteBackend(), 50)


@pytest.mark.slow
def test_on_mysql(module_mysql: MySQLSettings) -> None:
    explore(MySQLBackend(module_mysql), 10)
