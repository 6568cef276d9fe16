"""A database that a newer version of the program has changed: served if it only added something, else refused."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from dependency_injector import providers

from pixyproxy.adapters.sql.migrations import load_scripts
from pixyproxy.containers import Container, build_container
from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.image import Status, Visibility
from pixyproxy.domain.query import ImageQuery
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.opening import opened
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.settings import Settings, SettingsError
from tests.conformance.contracts.image_repository import make_draft, make_result
from tests.fixtures.core import PlainHasher
from tests.fixtures.http_app import ALICE
from tests.fixtures.sql.sqlite_storage import SQLiteFile

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
LATEST = load_scripts("pixyproxy.adapters.sqlite")[-1].version

Query = Callable[[str], Any]
Open = Callable[[], Any]


@pytest.fixture(params=["sqlite", "mysql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Query, Open]:
    """Yield two functions for a migrated database: run a statement, and open the application."""
    values = {"PIXYPROXY_BLOB_STORE": "memory", "PIXYPROXY_DATA_DIR": str(tmp_path), "PIXYPROXY_ANONYMOUS": "write"}
    query: Query
    if request.param == "mysql":
        mysql = request.getfixturevalue("mysql_settings")
        query = mysql.query
        values |= {"PIXYPROXY_REPOSITORY": "mysql", "DB_HOST": mysql.host, "DB_PORT": str(mysql.port)}
        values |= {"DB_USER": mysql.user, "DB_PASSWORD": mysql.password, "DB_NAME": mysql.name}
    else:
        file = SQLiteFile(tmp_path)
        file.path = tmp_path / "pixyproxy.sqlite3"
        query = file.query
        values |= {"PIXYPROXY_REPOSITORY": "sqlite"}
    settings = Settings(**values)  # type: ignore[call-arg]
    await build_container(settings).migrate(on_script=lambda _: None)

    @asynccontextmanager
    async def open_application() -> AsyncIterator[Container]:
        container = build_container(settings)
        container.hasher.override(providers.Singleton(PlainHasher))
        async with opened(container):
            yield container

    return query, open_application


def add_newer_script(query: Query, floor: int | str) -> None:
    """Change the database as the migration of a newer version does."""
    query("ALTER TABLE images ADD COLUMN turn INT NULL")
    values = f"({LATEST + 1}, 'newer.sql', 'x', {floor})"
    query(f"INSERT INTO schema_migrations (version, name, checksum, floor) VALUES {values}")


@pytest.mark.parametrize("floor", [LATEST + 1, "NULL"])
async def test_a_database_with_a_breaking_newer_script_is_refused(database: tuple[Query, Open], floor: int) -> None:
    query, open_application = database
    add_newer_script(query, floor)
    with pytest.raises(SettingsError, match=r"newer version of pixyproxy \(newer\.sql"):
        async with open_application():
            pass


async def test_a_database_with_an_additive_newer_script_is_served(database: tuple[Query, Open]) -> None:
    query, open_application = database
    add_newer_script(query, LATEST)
    async with open_application() as container:
        images = container.image_repository()
        image = await images.add(make_draft())
        ready = await images.mark_ready(image.guid, make_result(), NOW)
        assert await images.get(image.guid) == ready
        assert await container.migrate(on_script=lambda _: None) == []


async def add_paused(query: Query, images: ImageRepository, **values: object) -> ImageDraft:
    draft = make_draft(author="alice", prompt="a paused duck", **values)
    await images.add(draft)
    query(f"UPDATE images SET status = 'paused', lease_expires_at = '2020-01-01 00:00:00' WHERE guid = '{draft.guid}'")
    return draft


async def test_a_row_with_an_unknown_status_is_shown_as_it_is(database: tuple[Query, Open]) -> None:
    query, open_application = database
    async with open_application() as container:
        await container.user_service().add(*ALICE)
        draft = await add_paused(query, container.image_repository(), visibility=Visibility.PRIVATE)
        transport = httpx.ASGITransport(create_app(container))
        auth = httpx.BasicAuth(*(part.encode() for part in ALICE))
        async with httpx.AsyncClient(transport=transport, base_url="http://test.example", auth=auth) as client:
            details = await client.get(f"/image/{draft.guid}")
            assert details.status_code == 200, details.text
            assert details.json()["status"] == "paused"
            content = await client.get(f"/image/{draft.guid}/content")
            assert content.status_code in {409, 503}, content.text
            for query_string in ("", "?status=generating", "?status=unknown", "?status=failed"):
                found = await client.get(f"/image{query_string}")
                assert found.status_code == 200
                assert draft.guid not in found.text
            assert (await client.get("/image?status=paused")).status_code == 422
            changed = await client.patch(f"/image/{draft.guid}", json={"tags": ["duck"]})
            assert (changed.status_code, changed.json()["status"]) == (200, "paused")
            assert (await client.delete(f"/image/{draft.guid}")).status_code == 204


async def test_a_row_with_an_unknown_status_is_neither_settled_nor_swept(database: tuple[Query, Open]) -> None:
    query, open_application = database
    async with open_application() as container:
        images, maintenance = container.image_repository(), container.maintenance_repository()
        draft = await add_paused(query, images, lease_owner="web1-1")
        before = await images.get(draft.guid)
        assert before.status == Status("paused")
        await container.blob_store().put(draft.guid, b"a picture that is whole", {"sha256": "x"})
        for _ in range(2):
            assert [finding async for finding in container.reconciler().interrupted(apply=True)] == []
            assert [finding async for finding in container.reconciler().sweep(apply=True)] == []
        assert [verified async for verified in container.verifier().verify_all()] == []
        assert await maintenance.renew_leases("web1-1", NOW + timedelta(days=9999)) == 0
        assert not await maintenance.take_over(draft.guid, "web1-2", NOW, NOW + timedelta(hours=1))
        assert await maintenance.statuses([draft.guid]) == {draft.guid: "paused"}
        assert await maintenance.walk(0, 10) == (before,)
        assert (await maintenance.totals()).images == 0
        assert await images.get(draft.guid) == before
        assert (await images.search(ImageQuery())).items == ()


@pytest.mark.parametrize("status", ["a-status", "fan", "paused", "sold", "zombie"])
async def test_a_repeat_of_a_request_with_an_unknown_status_is_found(database: tuple[Query, Open], status: str) -> None:
    """The newer version may be running the generation: a second call must not be paid for."""
    query, open_application = database
    async with open_application() as container:
        service, images = container.image_service(), container.image_repository()
        first = (await service.create(None, {"prompt": "a duck"}, wait=False)).image
        await container.generation_runner().drain(10)
        query(f"UPDATE images SET status = '{status}' WHERE guid = '{first.guid}'")
        rows = query("SELECT idempotency_caller, request_fingerprint FROM images")
        [(caller, fingerprint)] = rows
        found = await images.find_recent(caller, fingerprint, first.request.created_at)
        assert found is not None
        assert (found.guid, found.status) == (first.guid, status)
        assert await images.find_recent(caller, fingerprint, NOW + timedelta(days=9999)) is None


async def test_restoring_keeps_an_unknown_status(database: tuple[Query, Open]) -> None:
    query, open_application = database
    async with open_application() as container:
        images, maintenance = container.image_repository(), container.maintenance_repository()
        draft = await add_paused(query, images)
        before = await images.get(draft.guid)
        await images.delete(draft.guid)
        assert await maintenance.restore(before)
        assert (await images.get(draft.guid)).status == "paused"
