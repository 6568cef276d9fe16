"""The number of connections for which there are open files."""

import resource

import pytest

from pixyproxy.entrypoints.http.connection.open_files import most_connections
from pixyproxy.settings import SettingsError
from tests.fixtures.http_app import memory_settings


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (request.param, request.param))


@pytest.mark.parametrize(
    ("limit", "generations", "most"),
    [
        (256, 256, 32),
        (1024, 256, 192),
        (1024, 16, 432),
        (20_000, 256, 9680),
        (1_048_576, 256, 10_000),
        (resource.RLIM_INFINITY, 256, 10_000),
    ],
    indirect=["limit"],
)
def test_connections_leave_files_for_the_rest(limit: None, generations: int, most: int) -> None:
    assert most_connections(memory_settings(PIXYPROXY_MAX_GENERATIONS=generations)) == most


@pytest.mark.parametrize("limit", [1024], indirect=True)
def test_a_setting_must_fit_into_the_limit(limit: None) -> None:
    assert most_connections(memory_settings(PIXYPROXY_MAX_CONNECTIONS=192)) == 192
    with pytest.raises(
        SettingsError, match=r"PIXYPROXY_MAX_CONNECTIONS: 193 connections are more than the 192 .* 1024"
    ):
        most_connections(memory_settings(PIXYPROXY_MAX_CONNECTIONS=193))


@pytest.mark.parametrize("limit", [resource.RLIM_INFINITY], indirect=True)
def test_a_setting_may_be_more_than_the_default(limit: None) -> None:
    assert most_connections(memory_settings(PIXYPROXY_MAX_CONNECTIONS=50_000)) == 50_000
