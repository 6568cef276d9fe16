"""The container chooses adapters by settings, builds without side effects, and lets tests replace any part."""

import pytest
from dependency_injector import errors as injector_errors
from dependency_injector import providers

from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.memory.api_key_repository import MemoryApiKeyRepository
from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
from pixyproxy.adapters.memory.blob_store import MemoryBlobStore
from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.ledger import MemoryLedger
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.session_repository import MemorySessionRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.thumbnail_store import MemoryThumbnailStore
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.containers import Container, build_container
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.opening import PartError, opened
from pixyproxy.settings import Settings, SettingsError
from tests.fixtures.core import PNG, FailingBlobStore, MagicInspector, ScriptedGenerator

MYSQL = {"PIXYPROXY_REPOSITORY": "mysql", "DB_HOST": "db.example", "DB_USER": "pixy"}
MEMORY = {"PIXYPROXY_REPOSITORY": "memory", "PIXYPROXY_BLOB_STORE": "memory"}
OPENAI = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-test"}
KEY = "ein Geheimnis mit mehr als 32 Zeichen, größer noch"


def container_with(**values: object) -> Container:
    folders = {"PIXYPROXY_DATA_DIR": "/nowhere/data", "PIXYPROXY_IMAGES_DIR": "/nowhere/images"}
    return build_container(Settings(**(folders | values)))  # type: ignore[arg-type, call-arg]


@pytest.mark.parametrize(
    ("values", "images", "users"),
    [
        ({}, SQLImageRepository, SQLUserRepository),
        (MYSQL, SQLImageRepository, SQLUserRepository),
        (MEMORY, MemoryImageRepository, MemoryUserRepository),
    ],
)
def test_a_setting_chooses_the_repositories(values: dict[str, object], images: type, users: type) -> None:
    container = container_with(**values)
    assert type(container.image_repository()) is images
    assert type(container.user_repository()) is users
    assert container.image_repository() is container.image_repository()


@pytest.mark.parametrize(("values", "generator"), [({}, SketchImageGenerator), (OPENAI, OpenAIImageGenerator)])
def test_a_setting_chooses_the_generator(values: dict[str, object], generator: type) -> None:
    assert type(container_with(**values).generator()) is generator


@pytest.mark.parametrize(
    ("choice", "store", "maintenance"),
    [
        ("filesystem", FilesystemBlobStore, FilesystemBlobMaintenance),
        ("memory", MemoryBlobStore, MemoryBlobMaintenance),
    ],
)
def test_a_setting_chooses_the_blob_store(choice: str, store: type, maintenance: type) -> None:
    container = container_with(PIXYPROXY_BLOB_STORE=choice)
    assert type(container.blob_store()) is store
    assert type(container.blob_maintenance()) is maintenance


@pytest.mark.parametrize("name", ["PIXYPROXY_REPOSITORY", "PIXYPROXY_GENERATOR", "PIXYPROXY_BLOB_STORE"])
def test_an_unknown_choice_names_its_setting_and_the_known_ones(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name}: 'papyrus' is not known; use one of ") as caught:
        container_with(**{name: "papyrus"})
    assert caught.value.message.count(",") >= 1


async def test_every_part_can_be_overridden() -> None:
    container = container_with()
    storage = MemoryStorage()
    images, users, maintenance = (
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
        (container.session_repository, MemorySessionRepository()),
        (container.secret, b"s" * 32),
        (container.maintenance_repository, maintenance),
        (container.ledger, MemoryLedger(storage)),
        (container.blob_store, blobs),
        (container.thumbnail_store, MemoryThumbnailStore()),
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
        assert image.result.size_bytes == len(PNG)
        await container.user_service().add("alice", "secret of one")
        assert (await users.get("alice")).username == "alice"
        _, key = await container.key_service().add("alice")
        assert await keys.list() == (key,)


class Unopenable:
    """A part that cannot be opened."""

    async def open(self) -> None:
        raise PixyProxyException("There are no threads left.")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(("provider", "name"), [("hasher", "password hasher"), ("scaler", "picture scaler")])
async def test_a_part_without_a_setting_blames_none(provider: str, name: str) -> None:
    container = container_with(**MEMORY)
    getattr(container, provider).override(providers.Object(Unopenable()))
    with pytest.raises(PartError) as caught:
        async with opened(container):
            pass
    assert caught.value.message == f"The {name} cannot be opened: There are no threads left."
    assert not isinstance(caught.value, SettingsError)


@pytest.mark.parametrize(
    ("values", "provider", "setting"),
    [
        (MEMORY, "image_repository", "PIXYPROXY_REPOSITORY"),
        (MYSQL, "user_repository", "DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME"),
        ({}, "image_repository", "PIXYPROXY_DATA_DIR"),
        (MEMORY, "blob_store", "PIXYPROXY_BLOB_STORE"),
        (MEMORY, "generator", "PIXYPROXY_GENERATOR"),
    ],
)
async def test_a_part_with_settings_blames_its_own(values: dict[str, object], provider: str, setting: str) -> None:
    container = container_with(**values)
    container.image_repository.override(providers.Object(MemoryImageRepository()))
    getattr(container, provider).override(providers.Object(Unopenable()))
    with pytest.raises(SettingsError, match=rf"^{setting}: There are no threads left\."):
        async with opened(container):
            pass


def test_a_configured_secret_needs_no_file() -> None:
    assert container_with(PIXYPROXY_SECRET_KEY=KEY).secret() == KEY.encode()


def test_each_in_memory_service_has_its_own_secret() -> None:
    one, two = (container_with(**MEMORY).secret() for _ in range(2))
    assert len(one) == len(two) == 32
    assert one != two


def test_a_misspelt_setting_in_the_container_is_an_error() -> None:
    with pytest.raises(injector_errors.Error):
        container_with().config.no_such_setting()


@pytest.mark.parametrize(
    "hosts", ["http://cdn.example.org", "cdn.example.org/pictures", "a,b c", "cdn.*.org", "h:port"]
)
def test_a_wrong_host_of_pictures_is_said_with_its_setting(hosts: str) -> None:
    with pytest.raises(SettingsError, match=r"OPENAI_PICTURE_HOSTS: .* such as cdn\.example\.org"):
        container_with(**OPENAI, OPENAI_PICTURE_HOSTS=hosts).generator()
