"""The container's parts on real folders and files."""

import subprocess
import sys
from pathlib import Path

import pytest

from pixyproxy.containers import Container, build_container
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.opening import opened
from pixyproxy.settings import Settings, SettingsError

MEMORY = {"PIXYPROXY_REPOSITORY": "memory", "PIXYPROXY_BLOB_STORE": "memory"}
MYSQL = {"PIXYPROXY_REPOSITORY": "mysql", "DB_HOST": "db.example", "DB_USER": "pixy"}
OPENAI = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-test"}


def container_with(tmp_path: Path, **values: object) -> Container:
    folders = {"PIXYPROXY_DATA_DIR": tmp_path / "data", "PIXYPROXY_IMAGES_DIR": tmp_path / "images"}
    return build_container(Settings(**(folders | values)))  # type: ignore[arg-type, call-arg]


@pytest.mark.parametrize("repository", ["sqlite", "memory"])
@pytest.mark.parametrize("store", ["filesystem", "memory"])
async def test_the_use_cases_work_with_every_choice(repository: str, store: str, tmp_path: Path) -> None:
    container = container_with(tmp_path, PIXYPROXY_REPOSITORY=repository, PIXYPROXY_BLOB_STORE=store)
    await container.migrate(on_script=lambda _: None)
    async with opened(container):
        image = (await container.image_service().create(None, {"prompt": "a duck", "size": "64x64"})).image
        content = await container.image_service().open_content(None, image.guid)
        async with await content.read() as reader:
            assert (await anext(reader)).startswith(b"\x89PNG")
    on_disk = {path.suffix for path in tmp_path.rglob("*.*") if path.is_file()}
    assert (".sqlite3" in on_disk) == (repository == "sqlite")
    assert (".bin" in on_disk) == (store == "filesystem")


def test_building_a_container_connects_to_nothing_and_writes_nothing(tmp_path: Path) -> None:
    container = container_with(tmp_path, **MYSQL, **OPENAI)
    container.image_service()
    container.user_service()
    container.key_service()
    container.readiness()
    assert list(tmp_path.iterdir()) == []


async def test_open_parts_are_closed_when_a_later_part_fails(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where the folder should be")
    container = container_with(tmp_path)
    await container.migrate(on_script=lambda _: None)
    with pytest.raises(SettingsError, match="PIXYPROXY_IMAGES_DIR: "):
        async with opened(container):
            pass
    with pytest.raises(DBConnectionError):
        await container.image_repository().ping()


@pytest.mark.parametrize("values", [{}, MYSQL])
def test_a_secret_is_generated_once_and_kept_with_the_data(values: dict[str, object], tmp_path: Path) -> None:
    container = container_with(tmp_path, **values)
    assert container.secret() is container.secret()
    assert (tmp_path / "data" / "secret.key").read_bytes() == container.secret()
    assert container_with(tmp_path, **values).secret() == container.secret()


async def test_a_damaged_secret_file_stops_the_start(tmp_path: Path) -> None:
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
        await container.user_service().add("alice", "secret of one")
        token, _ = await container.key_service().add("alice")
    async with opened(container_with(tmp_path)) as container:
        assert (await container.key_service().authenticate(token, "192.0.2.1")).username == "alice"


def test_adapters_that_are_not_chosen_are_not_imported() -> None:
    code = (
        "import sys; from pixyproxy.containers import build_container; from pixyproxy.settings import Settings;"
        f"container = build_container(Settings(**{MEMORY}));"
        "container.image_repository(), container.blob_store(), container.generator();"
        "print(*(name for name in sys.modules if name.startswith('pixyproxy.adapters.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pixyproxy.adapters.sketch" in done.stdout
    for name in ("mysql", "sqlite", "openai", "filesystem.blob_store"):
        assert f"pixyproxy.adapters.{name}" not in done.stdout
