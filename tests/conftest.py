"""Make the shared fixtures known to all tests, and mark the tests that need a program or a server."""

import gc
import signal
from itertools import chain

import pytest

pytest_plugins = (
    "tests.fixtures.haproxy_server",
    "tests.fixtures.image_service",
    "tests.fixtures.litellm_python",
    "tests.fixtures.redis_server",
    "tests.fixtures.s3.seaweedfs",
    "tests.fixtures.services",
    "tests.fixtures.sql.counting",
    "tests.fixtures.sql.databases",
    "tests.fixtures.sql.galera",
)

MARKS = {
    "mysql_server": "mysql",
    "private_mariadb": "mysql",
    "mariadb": "mysql",
    "tls_mysql": "mysql",
    "browser": "browser",
    "galera": "galera",
    "litellm_python": "litellm",
    "nginx_binary": "nginx",
    "haproxy_binary": "haproxy",
    "node": "node",
    "redis_url": "redis",
    "private_redis": "redis",
    "s3_server": "s3",
    "private_s3": "s3",
}
"""Fixtures, and the marker of every test that uses one."""


def pytest_configure() -> None:
    """Let the services that tests start notice SIGHUP, which `nohup` makes this process and them ignore."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by its fixtures, and as `mysql` if that is one of its parameters."""
    if not isinstance(item, pytest.Function):
        return
    marks = {MARKS[name] for name in item.fixturenames if name in MARKS}
    if hasattr(item, "callspec") and "mysql" in map(str, item.callspec.params.values()):
        marks.add("mysql")
    for mark in marks:
        item.add_marker(mark)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every xdist worker its share of the fault tests first: they mostly wait, and one worker would end last."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        faults = [item for item in items if "faults" in item.path.parts]
        others = [item for item in items if "faults" not in item.path.parts]
        share = -(-len(others) // workers)
        parts = ((faults[n::workers], others[n * share : (n + 1) * share]) for n in range(workers))
        items[:] = chain.from_iterable(chain.from_iterable(parts))


def pytest_collection_finish() -> None:
    """Leave the ten thousand tests out of garbage collections, which would look at them again and again."""
    gc.collect()
    gc.freeze()
