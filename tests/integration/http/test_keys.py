"""API keys at a running service, on each database."""

from collections.abc import Iterator

import httpx
import pytest

from pixyproxy.containers import Container, build_container
from pixyproxy.opening import opened
from tests.fixtures.service import Service, problem
from tests.fixtures.sql.mysql_servers import in_thread


class Keys:
    """Adds and revokes keys without the service, as the command line does."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.given: list[str] = []

    def add(self, username: str) -> str:
        async def add() -> str:
            async with opened(self._container()) as container:
                return (await container.key_service().add(username, expires="2100-01-01"))[0]

        self.given.append(in_thread(add))
        return self.given[-1]

    def revoke(self, token: str) -> None:
        async def revoke() -> None:
            async with opened(self._container()) as container:
                await container.key_service().revoke(token[4:12])

        in_thread(revoke)

    def remove_user(self, username: str) -> None:
        async def remove() -> None:
            async with opened(self._container()) as container:
                await container.user_service().remove(username)

        in_thread(remove)

    def expire(self, token: str) -> None:
        """Make a key expire."""

        async def expire() -> None:
            container = self._container()
            database = getattr(container, f"{container.config.repository()}_database")()
            await database.open(self)
            sql = "UPDATE api_keys SET expires_at = '2020-01-01 00:00:00' WHERE key_id = :key_id"
            assert await database.write(lambda session: session.change(sql, {"key_id": token[4:12]})) == 1
            await database.close(self)

        in_thread(expire)

    def ask(self, token: str, method: str, path: str, **extra: object) -> httpx.Response:
        with self._service.client() as client:
            headers = {"Authorization": f"Bearer {token}"}
            return client.request(method, path, headers=headers, **extra)  # type: ignore[arg-type]

    def _container(self) -> Container:
        return build_container(self._service.settings())


@pytest.fixture
def keys(service: Service) -> Iterator[Keys]:
    keys = Keys(service)
    yield keys
    for token in keys.given:
        assert token[12:] not in service.log


def test_an_image_created_with_a_key_belongs_to_its_user(service: Service, keys: Keys) -> None:
    alice, bob = keys.add("alice"), keys.add("bob")
    made = keys.ask(alice, "POST", "/image", json={"prompt": "a duck", "size": "64x64", "visibility": "private"})
    assert made.status_code == 200, made.text
    detail = made.json()
    assert detail["author"] == "alice"
    path = f"/image/{detail['guid']}"
    assert keys.ask(alice, "GET", "/user/me").json()["username"] == "alice"
    assert keys.ask(alice, "GET", detail["content_url"]).status_code == 200
    for method in ("GET", "PATCH", "DELETE"):
        assert keys.ask(bob, method, path, json={"tags": []}).status_code == 404
    assert keys.ask(alice, "PATCH", path, json={"tags": ["x"]}).json()["tags"] == ["x"]
    assert keys.ask(alice, "DELETE", path).status_code == 204


def test_a_key_that_is_revoked_expired_or_of_a_removed_user_is_401_at_once(service: Service, keys: Keys) -> None:
    service.add_user("carol", "secret of three")
    revoked, expired, orphaned = keys.add("alice"), keys.add("alice"), keys.add("carol")
    for token in (revoked, expired, orphaned):
        assert keys.ask(token, "GET", "/user/me").status_code == 200
    keys.revoke(revoked)
    keys.expire(expired)
    keys.remove_user("carol")
    for token in (revoked, expired, orphaned, "pxy_" + "a" * 43, "sk-0123456789"):
        for path in ("/user/me", "/image", "/healthz", "/nowhere"):
            response = keys.ask(token, "GET", path)
            assert problem(response)["code"] == "authentication-required"
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == 'Basic realm="pixyproxy", charset="UTF-8"'
            assert token not in response.text
