"""Adapters of other installed packages, chosen by name through entry points.

A package offers an adapter in its `pyproject.toml`, and a setting selects it by the name on the left:

    [project.entry-points."pixyproxy.generators"]
    stable-diffusion = "my_package:create_generator"

| entry-point group         | selected by             | the object is a function that returns              |
| ------------------------- | ----------------------- | -------------------------------------------------- |
| `pixyproxy.generators`    | `PIXYPROXY_GENERATOR`   | an `ImageGenerator`                                 |
| `pixyproxy.blob_stores`   | `PIXYPROXY_BLOB_STORE`  | a `BlobStorage`                                     |
| `pixyproxy.repositories`  | `PIXYPROXY_REPOSITORY`  | a `Repositories`                                    |

Each function takes the service's `Settings`; settings of its own it reads from the environment, and it raises
SettingsError for a wrong one. It connects to nothing: that is for the `open` of the adapters.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from dependency_injector import providers

from pixyproxy.ports.accounts.api_key_repository import ApiKeyRepository
from pixyproxy.ports.accounts.session_repository import SessionRepository
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from pixyproxy.ports.money.ledger import Ledger
from pixyproxy.ports.thumbnail_store import ThumbnailStore
from pixyproxy.settings import Settings, SettingsError

GENERATORS = "pixyproxy.generators"
BLOB_STORES = "pixyproxy.blob_stores"
REPOSITORIES = "pixyproxy.repositories"

T = TypeVar("T")


async def migrate_nothing(**reporters: Callable[[str], None]) -> list[str]:
    """Return an empty list: there are no scripts to apply."""
    return []


@dataclass(frozen=True, slots=True)
class Repositories:
    """The repositories of one database, and the function that applies its migrations.

    `migrate` returns the names of the scripts that it applied. Two keywords may be given: `on_script`, a function to
    call with the name of each script before it runs, and `on_progress`, one to call with lines of text now and then.
    """

    images: ImageRepository
    maintenance: MaintenanceRepository
    users: UserRepository
    api_keys: ApiKeyRepository
    ledger: Ledger
    sessions: SessionRepository
    migrate: Callable[..., Awaitable[list[str]]] = migrate_nothing


@dataclass(frozen=True, slots=True)
class BlobStorage:
    """The adapters that store bytes in one place."""

    blobs: BlobStore
    maintenance: BlobMaintenance
    thumbnails: ThumbnailStore


def choose(
    settings: Settings, selector: providers.Selector[Any], setting: str, group: str, name: str, kind: type
) -> None:
    """Add the adapter of this name to a selector that does not have it.

    Raises:
        SettingsError: if it is not offered by exactly one installed package.
    """
    if name not in selector.providers:
        entry_point = find(setting, group, name, list(selector.providers))
        plugin = providers.ThreadSafeSingleton(create, setting, entry_point, kind, settings)
        selector.set_providers(**selector.providers, **{name: plugin})


def find(setting: str, group: str, name: str, built_in: list[str]) -> EntryPoint:
    """Return the entry point of this name. Raises SettingsError, with the names there are, if it is not exactly one."""
    found = entry_points(group=group)
    matching = [entry_point for entry_point in found if entry_point.name == name]
    if len(matching) > 1:
        packages = " and ".join(sorted(_package(entry_point) for entry_point in matching))
        raise SettingsError(f"{setting}: {name!r} is offered by {packages}; uninstall all but one")
    if not matching:
        names = sorted({*built_in, *(entry_point.name for entry_point in found)})
        raise SettingsError(f"{setting}: {name!r} is not known; use one of {', '.join(names)}")
    return matching[0]


def create(setting: str, entry_point: EntryPoint, kind: type[T], settings: Settings) -> T:
    """Import and call what an entry point names. Raises SettingsError if that fails or returns no `kind`."""
    subject = f"{setting}: {entry_point.name!r} of the package {_package(entry_point)} ({entry_point.value})"
    try:
        adapter = entry_point.load()(settings)
    except SettingsError:
        raise
    except Exception as error:
        raise SettingsError(f"{subject} cannot be used: {type(error).__name__}: {error}") from error
    if not isinstance(adapter, kind):
        raise SettingsError(f"{subject} returned {type(adapter).__name__}, not {kind.__name__}")
    for field in fields(adapter) if is_dataclass(adapter) else ():
        value = getattr(adapter, field.name)
        if isinstance(field.type, type) and not isinstance(value, field.type):
            raise SettingsError(f"{subject} returned {type(value).__name__} as {field.name}, not {field.type.__name__}")
    return adapter


def _package(entry_point: EntryPoint) -> str:
    return "unknown" if entry_point.dist is None else entry_point.dist.name
