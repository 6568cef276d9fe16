"""Contract tests for every API key repository."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import ConstraintViolationError, RecordNotFoundError, UserNotFoundError
from pixyproxy.domain.user import Role, User, UserChanges
from pixyproxy.ports.accounts.api_key_repository import ApiKeyRepository
from pixyproxy.ports.accounts.user_repository import UserRepository

NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, UTC)
ALICE, BOB = User("alice", "ct-2026", "hash of alice"), User("bob", None, "hash of bob")
CHANGES: UserChanges = {
    "password_hash": "another hash",
    "password_set_by": "miller",
    "role": Role.TEACHER,
    "valid_until": datetime(2027, 7, 31, tzinfo=UTC),
    "paused": True,
}


def make_key(key_id: str = "AbCdEfGh", username: str = "alice", **fields: object) -> ApiKey:
    key = ApiKey(key_id, username, None, f"digest of {key_id}", NOW)
    return replace(key, **fields)  # type: ignore[arg-type]


class KeyStorage(ABC):
    """Storage under test: makes repositories on it, and reads it without the adapter."""

    @abstractmethod
    def repository(self) -> ApiKeyRepository:
        """Return a new, unopened repository on this storage."""

    @abstractmethod
    def users(self) -> UserRepository:
        """Return a new, unopened user repository on the same storage."""

    @abstractmethod
    def stored(self) -> dict[str, tuple[str, str]]:
        """Return the stored username and digest by key id."""

    @abstractmethod
    def open_handles(self) -> int:
        """Return the number of connections, threads and files that the repositories hold open."""


class ApiKeyRepositoryContract:
    """Tests for a subclass that sets `adapter` and defines the fixture `storage`."""

    adapter: type[ApiKeyRepository]
    database: type | None = None

    @pytest.fixture
    async def users(self, storage: KeyStorage) -> AsyncIterator[UserRepository]:
        users = storage.users()
        await users.open()
        for user in (ALICE, BOB):
            await users.add(user)
        yield users
        await users.close()
        assert storage.open_handles() == 0

    @pytest.fixture
    async def repository(self, storage: KeyStorage, users: UserRepository) -> AsyncIterator[ApiKeyRepository]:
        repository = storage.repository()
        assert type(repository) is self.adapter
        assert self.database is None or type(repository._database) is self.database
        await repository.open()
        yield repository
        await repository.close()

    async def test_closing_frees_everything_and_reopening_works(self, storage: KeyStorage) -> None:
        repository, users = storage.repository(), storage.users()
        await repository.close()
        await asyncio.gather(users.open(), repository.open())
        await users.add(ALICE)
        await users.close()
        await repository.add(make_key())
        await asyncio.gather(*(repository.find("digest of AbCdEfGh") for _ in range(20)))
        await repository.close()
        await repository.close()
        assert storage.open_handles() == 0
        await repository.open()
        assert await repository.find("digest of AbCdEfGh") == (make_key(), ALICE)
        await repository.close()
        assert storage.open_handles() == 0

    async def test_another_repository_sees_everything(self, storage: KeyStorage, repository: ApiKeyRepository) -> None:
        key = make_key(name="my laptop", expires_at=NOW + timedelta(days=30))
        await repository.add(key)
        other = storage.repository()
        await other.open()
        assert await other.list() == (key,)
        assert await other.find(key.digest) == (key, ALICE)
        await other.remove(key.key_id)
        await other.close()
        assert await repository.find(key.digest) is None

    async def test_add_and_find(self, storage: KeyStorage, repository: ApiKeyRepository) -> None:
        one = make_key("11111111", name="Ente 🦆\\'\"", expires_at=NOW + timedelta(microseconds=1))
        two = make_key("22222222", "bob")
        for key in (one, two):
            await repository.add(key)
        assert await repository.find(one.digest) == (one, ALICE)
        assert await repository.find(two.digest) == (two, BOB)
        assert storage.stored() == {"11111111": ("alice", one.digest), "22222222": ("bob", two.digest)}

    async def test_times_are_in_utc_with_microseconds(self, repository: ApiKeyRepository) -> None:
        elsewhere = timezone(timedelta(hours=5, minutes=45))
        await repository.add(make_key(created_at=NOW.astimezone(elsewhere), expires_at=NOW.astimezone(elsewhere)))
        found = await repository.find("digest of AbCdEfGh")
        assert found is not None
        for time in (found[0].created_at, found[0].expires_at, (await repository.list())[0].created_at):
            assert time == NOW
            assert time is not None
            assert time.tzinfo is UTC

    async def test_find_of_a_missing_digest(self, repository: ApiKeyRepository) -> None:
        assert await repository.find("digest of AbCdEfGh") is None
        await repository.add(make_key())
        for digest in ("", "%", "' OR '1'='1", "猫🦆", "x" * 1000, "AbCdEfGh", "digest of AbCdEfG"):
            assert await repository.find(digest) is None

    async def test_an_expired_key_is_found_like_any_other(self, repository: ApiKeyRepository) -> None:
        key = make_key(expires_at=datetime(1999, 1, 1, tzinfo=UTC))
        await repository.add(key)
        assert await repository.find(key.digest) == (key, ALICE)
        assert await repository.list() == (key,)

    async def test_ids_digests_and_usernames_are_compared_by_code_point(
        self, users: UserRepository, repository: ApiKeyRepository
    ) -> None:
        for name in ("Bob", "bób"):
            await users.add(User(name))
        key = make_key("bob", "bob", digest="bob")
        await repository.add(key)
        for text in ("Bob", "BOB", "bób", "bo\u0301b", "bob ", " bob", "bob\u200b", "bo", "bobb"):
            assert await repository.find(text) is None
            assert await repository.list(text) == ()
            with pytest.raises(RecordNotFoundError):
                await repository.remove(text)
        for text in ("Bob", "bób"):
            other = make_key(text, text, digest=text)
            await repository.add(other)
            assert await repository.find(text) == (other, User(text))
            assert await repository.list(text) == (other,)
        assert await repository.find("bob") == (key, BOB)

    async def test_add_for_a_missing_user_changes_nothing(
        self, storage: KeyStorage, repository: ApiKeyRepository
    ) -> None:
        for name in ("nobody", "", "Alice", "ALICE", "alice ", " alice", "álice", "猫🦆"):
            with pytest.raises(UserNotFoundError):
                await repository.add(make_key(username=name))
        assert storage.stored() == {}

    async def test_add_of_a_taken_id_or_digest_changes_nothing(
        self, storage: KeyStorage, repository: ApiKeyRepository
    ) -> None:
        await repository.add(make_key())
        for other in (
            make_key(username="bob", digest="other"),
            make_key("87654321", "bob", digest="digest of AbCdEfGh"),
            make_key(),
        ):
            with pytest.raises(ConstraintViolationError):
                await repository.add(other)
        assert storage.stored() == {"AbCdEfGh": ("alice", "digest of AbCdEfGh")}

    async def test_exactly_one_concurrent_add_of_an_id_succeeds(
        self, storage: KeyStorage, repository: ApiKeyRepository
    ) -> None:
        other = storage.repository()
        await other.open()
        outcomes = await asyncio.gather(
            *((repository, other)[i % 2].add(make_key(digest=str(i))) for i in range(10)), return_exceptions=True
        )
        await other.close()
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, ConstraintViolationError) for outcome in outcomes) == 9
        assert storage.stored() == {"AbCdEfGh": ("alice", str(outcomes.index(None)))}

    async def test_list_is_ordered_by_username_then_age_then_id(
        self, users: UserRepository, repository: ApiKeyRepository
    ) -> None:
        assert await repository.list() == ()
        assert await repository.list("alice") == ()
        for name in ("Zoe", "ärger", "🦆", "\uffee"):
            await users.add(User(name))
        order = [
            make_key("z1", "Zoe"),
            make_key("a3", created_at=NOW - timedelta(microseconds=1)),
            make_key("A2"),
            make_key("a1"),
            make_key("a2"),
            make_key("a0", created_at=NOW + timedelta(seconds=1)),
            make_key("b1", "bob"),
            make_key("r1", "ärger"),
            make_key("f1", "\uffee"),
            make_key("d1", "🦆"),
        ]
        for key in sorted(order, key=lambda key: key.key_id[::-1]):
            await repository.add(key)
        assert await repository.list() == tuple(order)
        assert await repository.list("alice") == tuple(order[1:6])
        assert await repository.list("🦆") == (order[-1],)
        assert await repository.list("nobody") == ()

    async def test_remove(self, storage: KeyStorage, repository: ApiKeyRepository) -> None:
        for key_id in ("11111111", "22222222"):
            await repository.add(make_key(key_id))
        await repository.remove("11111111")
        assert list(storage.stored()) == ["22222222"]
        assert await repository.find("digest of 11111111") is None
        for key_id in ("11111111", "", "%", "猫🦆"):
            with pytest.raises(RecordNotFoundError):
                await repository.remove(key_id)
        await repository.add(make_key("11111111"))
        assert await repository.find("digest of 11111111") == (make_key("11111111"), ALICE)

    async def test_the_keys_of_a_removed_user_are_deleted(
        self, storage: KeyStorage, users: UserRepository, repository: ApiKeyRepository
    ) -> None:
        for number, name in enumerate(("alice", "alice", "bob")):
            await repository.add(make_key(str(number), name))
        await users.remove("alice")
        assert storage.stored() == {"2": ("bob", "digest of 2")}
        assert await repository.find("digest of 0") is None
        assert [key.key_id for key in await repository.list()] == ["2"]
        await users.add(ALICE, take_over=True)
        assert await repository.list("alice") == ()
        assert await repository.find("digest of 0") is None

    async def test_a_concurrently_removed_user_gets_no_key(
        self, storage: KeyStorage, users: UserRepository, repository: ApiKeyRepository
    ) -> None:
        for _ in range(5):
            *outcomes, _ = await asyncio.gather(
                *(repository.add(make_key(str(number))) for number in range(4)),
                users.remove("alice"),
                return_exceptions=True,
            )
            assert all(outcome is None or isinstance(outcome, UserNotFoundError) for outcome in outcomes), outcomes
            assert storage.stored() == {}
            await users.add(ALICE, take_over=True)

    async def test_a_key_is_returned_with_its_users_current_data(
        self, users: UserRepository, repository: ApiKeyRepository
    ) -> None:
        await repository.add(make_key())
        await users.update("alice", CHANGES)
        assert await repository.find("digest of AbCdEfGh") == (make_key(), replace(ALICE, **CHANGES))
