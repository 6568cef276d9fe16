"""The scenarios that break: creating, changing, deleting and reconciling."""

import asyncio
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pixyproxy.application.generation import submission
from pixyproxy.containers import Container
from pixyproxy.domain.errors import BlobStoreError, DBConnectionError, PixyProxyException
from pixyproxy.domain.generation import ImageDraft, Lease
from pixyproxy.domain.image import ImageRequest, Visibility, new_guid
from tests.faults.crash_points.sandbox import BYSTANDER, LEASE_S, SUBJECT, Sandbox
from tests.faults.crash_points.steps import BEFORE, Fault, Step, Steps

AUTHOR = "alice"
REQUEST = {"prompt": SUBJECT, "tags": ["before"], "filename": "before.png"}
KEY = "key-of-the-subject"
CHANGES = {"filename": "after.png", "tags": ["after"], "visibility": "private"}


class Scenario(ABC):
    """A preparation without faults, and an action during which things break."""

    name: str

    async def prepare(self, sandbox: Sandbox, container: Container, steps: Steps) -> None:
        """Create what exists before, always including a bystander that must not change."""
        await make(sandbox, container, BYSTANDER)

    @abstractmethod
    async def act(self, sandbox: Sandbox, container: Container) -> None:
        """Act, and record the response."""


async def make(sandbox: Sandbox, container: Container, prompt: str) -> str:
    """Create an image and record the response."""
    data = REQUEST if prompt == SUBJECT else {"prompt": prompt}
    created = await container.image_service().create(AUTHOR, data, idempotency_key=f"key-of-{prompt}".replace(" ", "-"))
    image = created.image
    sandbox.record(
        event="created", guid=image.guid, prompt=prompt, sha256=image.result.sha256, replayed=created.replayed
    )
    return image.guid


class Create(Scenario):
    name = "create"

    async def act(self, sandbox: Sandbox, container: Container) -> None:
        await make(sandbox, container, SUBJECT)


class Update(Scenario):
    name = "update"

    async def prepare(self, sandbox: Sandbox, container: Container, steps: Steps) -> None:
        await super().prepare(sandbox, container, steps)
        self._guid = await make(sandbox, container, SUBJECT)

    async def act(self, sandbox: Sandbox, container: Container) -> None:
        await container.image_service().update(AUTHOR, self._guid, CHANGES)
        sandbox.record(event="updated", guid=self._guid)


class Delete(Scenario):
    name = "delete"

    async def prepare(self, sandbox: Sandbox, container: Container, steps: Steps) -> None:
        await super().prepare(sandbox, container, steps)
        self._guid = await make(sandbox, container, SUBJECT)

    async def act(self, sandbox: Sandbox, container: Container) -> None:
        sandbox.record(event="deleting", guid=self._guid)
        await container.image_service().delete(AUTHOR, self._guid)
        sandbox.record(event="deleted", guid=self._guid)


class Reconcile(Scenario):
    """Reconciling after several accidents, and being interrupted."""

    name = "reconcile"

    async def prepare(self, sandbox: Sandbox, container: Container, steps: Steps) -> None:
        await super().prepare(sandbox, container, steps)
        # The picture of the subject is rescued, those of two others are stored and not recorded.
        for prompt, broken in (
            (SUBJECT, "rename image"),
            ("stored and not recorded", "commit mark_ready"),
            ("kept in the rescue folder", "mkdir folder"),
        ):
            await self._accident(sandbox, container, steps, prompt, broken)
        # A row without bytes, bytes without a row, and half-written files.
        await self._interrupted(container)
        guid = await make(sandbox, container, "deleted in part")
        steps.arm(breaking("unlink image", sandbox.images))
        await container.image_service().delete(AUTHOR, guid)
        steps.disarm()
        sandbox.record(event="deleted", guid=guid)
        folder = sandbox.images / guid[:2] / guid[2:4]
        for suffix in ("tmp", "old"):
            (folder / f".{guid}.{new_guid().replace('-', '')}.{suffix}").write_bytes(b"half")
        long_ago = (datetime.now(UTC) - timedelta(days=1)).timestamp()
        for path in sandbox.images.rglob("*"):
            os.utime(path, (long_ago, long_ago))
        await asyncio.sleep(LEASE_S * 1.5)  # a backup is as old as its name, which no call can change

    async def act(self, sandbox: Sandbox, container: Container) -> None:
        reconciler = container.reconciler()
        for look in (reconciler.interrupted, reconciler.sweep):
            async for finding in look(apply=True):
                sandbox.record(event="found", guid=finding.guid, action=finding.action)

    async def _accident(self, sandbox: Sandbox, container: Container, steps: Steps, prompt: str, broken: str) -> None:
        steps.arm(breaking(broken, sandbox.images))
        try:
            await make(sandbox, container, prompt)
        except (BlobStoreError, DBConnectionError) as error:
            sandbox.record(event="refused", guid=error.guid, prompt=prompt, code=error.code)
        else:
            raise AssertionError(f"{broken} was never reached")
        finally:
            steps.disarm()

    async def _interrupted(self, container: Container) -> None:
        now = datetime.now(UTC)
        await container.image_repository().add(
            ImageDraft(
                ImageRequest(
                    guid=submission.new_guid(),
                    filename="never.png",
                    prompt="never made",
                    tags=(),
                    author=AUTHOR,
                    visibility=Visibility.PUBLIC,
                    generator="ledger",
                    model=None,
                    parameters={},
                    created_at=now,
                ),
                Lease("a process that is gone", now - timedelta(seconds=1)),
            )
        )


def breaking(name: str, disk: Path) -> Fault:
    """Return a fault in the first step of this name; if it makes a folder, all later changes of the disk fail too."""
    broken: list[Step] = []

    def fault(step: Step, when: str) -> None:
        if when != BEFORE or (broken and not step.path):
            return
        first = not broken and step.name == name
        if first:
            broken.append(step)
        if step.is_commit and first:
            raise DBConnectionError("The database was lost.")
        if first or (broken and name == "mkdir folder" and step.path and step.path.is_relative_to(disk)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(step.path))

    return fault


SCENARIOS: dict[str, type[Scenario]] = {kind.name: kind for kind in (Create, Update, Delete, Reconcile)}


async def run(sandbox: Sandbox, scenario: Scenario, steps: Steps, arm: Callable[[], None]) -> None:
    """Prepare, `arm`, act, and continue as a service whose disk and database work again."""
    async with sandbox.service(steps) as container:
        await scenario.prepare(sandbox, container, steps)
        arm()
        try:
            await scenario.act(sandbox, container)
        except PixyProxyException as error:
            steps.disarm()
            sandbox.record(event="refused", kind=type(error).__name__, guid=error.guid, prompt=SUBJECT, code=error.code)
        steps.disarm()
        await container.generation_runner().maintain()
