"""The container: every part can be swapped, by configuration alone or by override."""

from pathlib import Path

import pytest
from dependency_injector import errors as injector_errors
from dependency_injector import providers

from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.memory.api_key_repository import MemoryApiKeyRepository
from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
from pixyproxy.adapters.memory.blob_store import MemoryBlobStore
from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.mysql.user_repository import MySQLUserRepository
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.adapters.sqlite.image_repository import SQLiteImageRepository
from pixyproxy.adapters.sqlite.user_repository import SQLiteUserRepository
from pixyproxy.containers import Container, build_container, opened
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.settings import Settings, SettingsError
from tests.fixtures.core import PNG, FailingBlobStore, MagicInspector, ScriptedGenerator


def container_with(tmp_path: Path, **values: object) -> Container:
    folders = {"PIXYPROXY_DATA_DIR": tmp_path / "data", "PIXYPROXY_IMAGES_DIR": tmp_path / "images"}
    return build_container(Settings(_env_file=None, **(folders | values)))  # type: ignore[arg-type, call-arg]


MYSQL = {"PIXYPROXY_REPOSITORY": "mysql", "DB_HOST": "db.example", "DB_USER": "pixy"}
OPENAI = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-test"}


@pytest.mark.parametrize(
    ("values", "images", "users"),
    [
        ({}, SQLiteImageRepository, SQLiteUserRepository),
        (MYSQL, MySQLImageRepository, MySQLUserRepository),
        ({"PIXYPROXY_REPOSITORY": "memory"}, MemoryImageRepository, MemoryUserRepository),
    ],
)
def test_a_setting_chooses_the_repository(values: dict[str, object], images: type, users: type, tmp_path: Path) -> None:
    container = container_with(tmp_path, **values)
    assert type(container.image_repository()) is images
    assert type(container.user_repository()) is users
    assert container.image_repository() is container.image_repository()


@pytest.mark.parametrize(("values", "generator"), [({}, SketchImageGenerator), (OPENAI, OpenAIImageGenerator)])
def test_a_setting_chooses_the_generator(values: dict[str, object], generator: type, tmp_path: Path) -> None:
    assert type(container_with(tmp_path, **values).generator()) is generator


@pytest.mark.parametrize(("choice", "store"), [("filesystem", FilesystemBlobStore), ("memory", MemoryBlobStore)])
def test_a_setting_chooses_the_blob_store(choice: str, store: type, tmp_path: Path) -> None:
    assert type(container_with(tmp_path, PIXYPROXY_BLOB_STORE=choice).blob_store()) is store


@pytest.mark.parametrize("name", ["PIXYPROXY_REPOSITORY", "PIXYPROXY_GENERATOR", "PIXYPROXY_BLOB_STORE"])
def test_an_unknown_choice_names_its_setting_and_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"{name}: 'papyrus' is not known; use one of ") as caught:
        container_with(tmp_path, **{name: "papyrus"})
    assert caught.value.message.count(",") >= 1


@pytest.mark.parametrize("repository", ["sqlite", "memory"])
@pytest.mark.parametrize("store", ["filesystem", "memory"])
async def test_the_use_cases_work_on_whatever_is_configured(repository: str, store: str, tmp_path: Path) -> None:
    container = container_with(tmp_path, PIXYPROXY_REPOSITORY=repository, PIXYPROXY_BLOB_STORE=store)
    await container.migrate(on_script=lambda _: None)
    async with opened(container):
        image = (await container.image_service().create(None, {"prompt": "a duck", "size": "64x64"})).image
        content = await container.image_service().open_content(None, image.guid)
        async with await content.read() as reader:
            assert reader.first.startswith(b"\x89PNG")
    on_disk = {path.suffix for path in tmp_path.rglob("*.*") if path.is_file()}
    assert (".sqlite3" in on_disk) == (repository == "sqlite")
    assert (".bin" in on_disk) == (store == "filesystem")


async def test_every_part_can_be_overridden(tmp_path: Path) -> None:
    container = container_with(tmp_path)
    storage = MemoryStorage()
    images, users, recovery = (
        MemoryImageRepository(storage),
        MemoryUserRepository(storage),
        MemoryMaintenanceRepository(storage),
    )
    blobs, generator, inspector = FailingBlobStore(), ScriptedGenerator(), MagicInspector()
    keys = MemoryApiKeyRepository(storage)
    for provider, part in (
        (container.image_repository, images),
        (container.user_repository, users),
        (container.api_key_repository, keys),
        (container.secret, b"s" * 32),
        (container.maintenance_repository, recovery),
        (container.blob_store, blobs),
        (container.blob_maintenance, MemoryBlobMaintenance({})),
        (container.generator, generator),
        (container.inspector, inspector),
    ):
        provider.override(providers.Object(part))
    async with opened(container):
        image = (await container.image_service().create(None, {"prompt": "a duck"})).image
        assert [request.prompt for request in generator.requests] == ["a duck"]
        assert await images.get(image.guid) == image
        assert (await blobs.read_sidecar(image.guid))["guid"] == image.guid
        assert image.size_bytes == len(PNG)
        await container.user_service().add("alice", "secret")
        assert (await users.get("alice")).username == "alice"
        _, key = await container.key_service().add("alice")
        assert await keys.list() == (key,)
    assert list(tmp_path.iterdir()) == []


def test_building_it_connects_to_nothing_and_makes_nothing(tmp_path: Path) -> None:
    container = container_with(tmp_path, **MYSQL, **OPENAI)
    container.image_service()
    container.user_service()
    container.key_service()
    container.readiness()
    assert list(tmp_path.iterdir()) == []


async def test_what_was_opened_is_closed_when_a_later_part_fails(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where the folder should be")
    container = container_with(tmp_path)
    await container.migrate(on_script=lambda _: None)
    with pytest.raises(SettingsError, match="PIXYPROXY_IMAGES_DIR: "):
        async with opened(container):
            pass
    with pytest.raises(DBConnectionError):
        await container.image_repository().ping()


KEY = "ein Geheimnis mit mehr als 32 Zeichen, größer noch"


def test_a_secret_that_is_given_needs_no_file(tmp_path: Path) -> None:
    container = container_with(tmp_path, PIXYPROXY_SECRET_KEY=KEY)
    assert container.secret() == KEY.encode()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values", [{}, MYSQL])
def test_a_secret_is_made_once_and_kept_with_the_data(values: dict[str, object], tmp_path: Path) -> None:
    container = container_with(tmp_path, **values)
    assert container.secret() is container.secret()
    assert (tmp_path / "data" / "secret.key").read_bytes() == container.secret()
    assert container_with(tmp_path, **values).secret() == container.secret()


def test_a_service_in_memory_has_a_secret_of_its_own(tmp_path: Path) -> None:
    one, two = (container_with(tmp_path, PIXYPROXY_REPOSITORY="memory").secret() for _ in range(2))
    assert len(one) == len(two) == 32
    assert one != two
    assert list(tmp_path.iterdir()) == []


async def test_a_secret_that_is_none_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret.key").write_bytes(b"short")
    container = container_with(tmp_path)
    with pytest.raises(SettingsError, match=r"^PIXYPROXY_DATA_DIR, PIXYPROXY_SECRET_KEY: The file .*secret\.key does"):
        async with opened(container):
            pass
    with pytest.raises(DBConnectionError):
        await container.image_repository().ping()


async def test_keys_outlive_the_process(tmp_path: Path) -> None:
    async with opened(container_with(tmp_path)) as container:
        await container.user_service().add("alice", "secret")
        token, _ = await container.key_service().add("alice")
    async with opened(container_with(tmp_path)) as container:
        assert (await container.key_service().authenticate(token)).username == "alice"


def test_a_misspelt_setting_in_the_container_is_an_error() -> None:
    with pytest.raises(injector_errors.Error):
        Container().config.no_such_setting()
