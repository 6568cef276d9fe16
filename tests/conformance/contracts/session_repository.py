"""Contract tests for every session repository."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from pixyproxy.domain.accounts.login_session import LoginSession
from pixyproxy.domain.errors import ConstraintViolationError, UserNotFoundError
from pixyproxy.domain.user import Role, User
from pixyproxy.ports.accounts.session_repository import SessionRepository
from pixyproxy.ports.accounts.user_repository import UserRepository
from tests.conformance.contracts.api_key_repository import ALICE, BOB, CHANGES

NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, UTC)
DAY = timedelta(days=1)


def make_session(digest: str = "digest", username: str = "alice", **fields: object) -> LoginSession:
    session = LoginSession(digest, username, f"digest of the password of {username}", NOW, NOW + 14 * DAY)
    return replace(session, **fields)  # type: ignore[arg-type]


class SessionStorage(ABC):
    """Storage under test: makes repositories on it, and reads it without the adapter."""

    @abstractmethod
    def repository(self) -> SessionRepository:
        """Return a new, unopened repository on this storage."""

    @abstractmethod
    def users(self) -> UserRepository:
        """Return a new, unopened user repository on the same storage."""

    @abstractmethod
    def stored(self) -> dict[str, str]:
        """Return the stored username by digest."""

    @abstractmethod
    def open_handles(self) -> int:
        """Return the number of connections, threads and files that the repositories hold open."""


class SessionRepositoryContract:
    """Tests for a subclass that sets `adapter` and defines the fixture `storage`."""

    adapter: type[SessionRepository]
    database: type | None = None

    @pytest.fixture
    async def users(self, storage: SessionStorage) -> AsyncIterator[UserRepository]:
        users = storage.users()
        await users.open()
        for user in (ALICE, BOB):
            await users.add(user)
        yield users
        await users.close()
        assert storage.open_handles() == 0

    @pytest.fixture
    async def repository(self, storage: SessionStorage, users: UserRepository) -> AsyncIterator[SessionRepository]:
        repository = storage.repository()
        assert type(repository) is self.adapter
        assert self.database is None or type(getattr(repository, "_database", None)) is self.database
        await repository.open()
        yield repository
        await repository.close()

    async def test_another_repository_sees_everything(
        self, storage: SessionStorage, repository: SessionRepository
    ) -> None:
        await repository.add(make_session())
        other = storage.repository()
        await other.open()
        assert await other.find("digest") == (make_session(), ALICE)
        await other.remove("digest")
        await other.close()
        await other.close()
        assert await repository.find("digest") is None

    async def test_add_and_find(self, storage: SessionStorage, repository: SessionRepository) -> None:
        one, two = make_session("1"), make_session("2", "bob", expires_at=NOW + timedelta(microseconds=1))
        for session in (one, two, make_session("3")):
            await repository.add(session)
        assert await repository.find("1") == (one, ALICE)
        assert await repository.find("2") == (two, BOB)
        assert storage.stored() == {"1": "alice", "2": "bob", "3": "alice"}

    async def test_times_are_in_utc_with_microseconds(self, repository: SessionRepository) -> None:
        elsewhere = timezone(timedelta(hours=5, minutes=45))
        local = NOW.astimezone(elsewhere)
        await repository.add(make_session(created_at=local, expires_at=local))
        for _ in range(2):
            found = await repository.find("digest")
            assert found is not None
            for time in (found[0].created_at, found[0].expires_at):
                assert (time, time.tzinfo) == (NOW, UTC)
            await repository.extend("digest", local)

    async def test_an_expired_session_is_found_like_any_other(self, repository: SessionRepository) -> None:
        session = make_session(expires_at=datetime(1999, 1, 1, tzinfo=UTC))
        await repository.add(session)
        assert await repository.find("digest") == (session, ALICE)

    async def test_digests_and_usernames_are_compared_by_code_point(
        self, users: UserRepository, repository: SessionRepository
    ) -> None:
        for name in ("Bob", "bób"):
            await users.add(User(name))
        await repository.add(make_session("bob", "bob"))
        for text in ("Bob", "BOB", "bób", "bo\u0301b", "bob ", " bob", "bob\u200b", "bo", "bobb", "", "%"):
            assert await repository.find(text) is None
            await repository.extend(text, NOW)
            await repository.remove(text)
        assert await repository.find("bob") == (make_session("bob", "bob"), BOB)
        for text in ("Bob", "bób"):
            await repository.add(make_session(text, text))
            assert await repository.find(text) == (make_session(text, text), User(text))

    async def test_add_for_a_missing_user_changes_nothing(
        self, storage: SessionStorage, repository: SessionRepository
    ) -> None:
        for name in ("nobody", "", "Alice", "alice ", " alice", "álice", "猫🦆"):
            with pytest.raises(UserNotFoundError):
                await repository.add(make_session(username=name))
        assert storage.stored() == {}

    async def test_add_of_a_taken_digest_changes_nothing(
        self, storage: SessionStorage, repository: SessionRepository
    ) -> None:
        await repository.add(make_session())
        with pytest.raises(ConstraintViolationError):
            await repository.add(make_session(username="bob"))
        assert storage.stored() == {"digest": "alice"}

    async def test_extend_sets_the_end_of_one_session(self, repository: SessionRepository) -> None:
        for digest in ("1", "2"):
            await repository.add(make_session(digest))
        await repository.extend("1", NOW + 20 * DAY)
        await repository.extend("3", NOW + 20 * DAY)
        assert await repository.find("1") == (make_session("1", expires_at=NOW + 20 * DAY), ALICE)
        assert await repository.find("2") == (make_session("2"), ALICE)
        assert await repository.find("3") is None

    async def test_remove_deletes_one_session(self, storage: SessionStorage, repository: SessionRepository) -> None:
        for digest in ("1", "2"):
            await repository.add(make_session(digest))
        await repository.remove("1")
        await repository.remove("1")
        await repository.remove("猫🦆" * 100)
        assert storage.stored() == {"2": "alice"}

    async def test_expired_sessions_are_deleted(self, storage: SessionStorage, repository: SessionRepository) -> None:
        microsecond = timedelta(microseconds=1)
        for digest, end in (("before", NOW - microsecond), ("now", NOW), ("after", NOW + microsecond)):
            await repository.add(make_session(digest, expires_at=end))
        await repository.remove_expired(NOW)
        assert storage.stored() == {"after": "alice"}

    async def test_the_sessions_of_a_removed_user_are_deleted(
        self, storage: SessionStorage, users: UserRepository, repository: SessionRepository
    ) -> None:
        for number, name in enumerate(("alice", "alice", "bob")):
            await repository.add(make_session(str(number), name))
        await users.remove("alice")
        assert storage.stored() == {"2": "bob"}
        await users.add(ALICE, take_over=True)
        assert await repository.find("0") is None

    async def test_the_sessions_of_a_resumed_user_are_deleted(
        self, storage: SessionStorage, users: UserRepository, repository: SessionRepository
    ) -> None:
        for number, name in enumerate(("alice", "alice", "bob")):
            await repository.add(make_session(str(number), name))
        await users.update("alice", {"paused": True})
        found = await repository.find("0")
        assert found is not None
        assert found[1].paused
        await users.update("alice", {"role": Role.TEACHER})
        assert storage.stored() == {"0": "alice", "1": "alice", "2": "bob"}
        await users.update("alice", {"paused": False})
        assert storage.stored() == {"2": "bob"}

    async def test_a_concurrently_removed_user_gets_no_session(
        self, storage: SessionStorage, users: UserRepository, repository: SessionRepository
    ) -> None:
        for _ in range(5):
            *outcomes, _ = await asyncio.gather(
                *(repository.add(make_session(str(number))) for number in range(4)),
                users.remove("alice"),
                return_exceptions=True,
            )
            assert all(outcome is None or isinstance(outcome, UserNotFoundError) for outcome in outcomes), outcomes
            assert storage.stored() == {}
            await users.add(ALICE, take_over=True)

    async def test_a_session_is_returned_with_its_users_current_data(
        self, users: UserRepository, repository: SessionRepository
    ) -> None:
        await repository.add(make_session())
        await users.update("alice", CHANGES)
        assert await repository.find("digest") == (make_session(), replace(ALICE, **CHANGES))
