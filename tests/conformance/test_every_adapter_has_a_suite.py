"""Every concrete adapter runs the contract suite of its port."""

import importlib
import inspect
import pkgutil
from abc import ABC
from types import ModuleType

import pixyproxy.adapters
import pixyproxy.ports
import tests.conformance
from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.repositories.sql_repository import SQLRepository

Suite = tuple[str, str, str | None]

# The common base of ports, and readers, which the suite of the blob stores covers.
NOT_PORTS = {"Resource", "BlobReader"}


def modules(package: ModuleType) -> list[ModuleType]:
    return [importlib.import_module(m.name) for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]


def classes(package: ModuleType) -> list[type]:
    """Return the classes that the modules of a package define themselves."""
    return [
        member
        for module in modules(package)
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__
    ]


def ports() -> list[type]:
    found = [port for port in classes(pixyproxy.ports) if issubclass(port, ABC) and inspect.isabstract(port)]
    return [port for port in found if port.__name__ not in NOT_PORTS]


def databases_of(adapter: type) -> list[str | None]:
    """Return the names of the databases on which an adapter runs; None if it needs none."""
    if not issubclass(adapter, SQLRepository):
        return [None]
    return [database.__name__ for database in concrete_adapters() if issubclass(database, SQLDatabase)]


def concrete_adapters() -> list[type]:
    return [adapter for adapter in classes(pixyproxy.adapters) if not inspect.isabstract(adapter)]


def adapters_of_ports() -> set[Suite]:
    return {
        (port.__name__, adapter.__name__, database)
        for port in ports()
        for adapter in concrete_adapters()
        if issubclass(adapter, port)
        for database in databases_of(adapter)
    }


def suites() -> set[Suite]:
    """Return port, adapter and database of every test class: the contract it inherits, and the classes it names."""
    return {
        (
            base.__name__.removesuffix("Contract"),
            test.__dict__["adapter"].__name__,
            getattr(test.__dict__.get("database"), "__name__", None),
        )
        for test in classes(tests.conformance)
        if test.__name__.startswith("Test") and "adapter" in test.__dict__
        for base in test.__mro__
        if base.__name__.endswith("Contract")
    }


def test_every_adapter_is_run_through_the_contract_of_its_port() -> None:
    found = adapters_of_ports()
    assert {
        ("ImageRepository", "SQLImageRepository", "MySQLDatabase"),
        ("UserRepository", "SQLUserRepository", "SQLiteDatabase"),
        ("UserRepository", "MemoryUserRepository", None),
    } <= found
    assert found - suites() == set()
