"""Contract tests for every user repository."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from pixyproxy.domain.errors import ConstraintViolationError, NameReservedError, UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.user_repository import UserRepository
from tests.fixtures.images import make_draft

HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$" + "h" * 40


class UserStorage(ABC):
    """Storage under test: makes repositories on it, and reads it without the adapter."""

    @abstractmethod
    def repository(self) -> UserRepository:
        """Return a new, unopened repository on this storage."""

    @abstractmethod
    def stored(self) -> dict[str, tuple[str, str | None]]:
        """Return the stored password hash and class key by name."""

    @abstractmethod
    def images(self) -> ImageRepository:
        """Return a new, unopened image repository on this storage."""

    @abstractmethod
    def delete_by_hand(self) -> None:
        """Delete all users without the adapter."""

    @abstractmethod
    def open_handles(self) -> int:
        """Return the number of connections, threads and files that the repositories hold open."""


class UserRepositoryContract:
    """Tests for a subclass that sets `adapter` and defines the fixture `storage`."""

    adapter: type[UserRepository]
    database: type | None = None

    @pytest.fixture
    async def repository(self, storage: UserStorage) -> AsyncIterator[UserRepository]:
        repository = storage.repository()
        assert type(repository) is self.adapter
        assert self.database is None or type(repository._database) is self.database
        await repository.open()
        yield repository
        await repository.close()
        assert storage.open_handles() == 0

    async def test_closing_frees_everything_and_reopening_works(self, storage: UserStorage) -> None:
        repository = storage.repository()
        await repository.close()
        await repository.open()
        await repository.add(User("alice", None, HASH))
        await asyncio.gather(*(repository.get("alice") for _ in range(20)))
        await repository.close()
        await repository.close()
        assert storage.open_handles() == 0
        await repository.open()
        assert await repository.get("alice") == User("alice", None, HASH)
        await repository.close()

    async def test_another_repository_sees_everything(self, storage: UserStorage, repository: UserRepository) -> None:
        await repository.add(User("alice", "ct-2026", HASH))
        other = storage.repository()
        await other.open()
        assert await other.list() == (User("alice", "ct-2026", HASH),)
        await other.close()
        assert (await repository.get("alice")).class_key == "ct-2026"

    async def test_add_and_get(self, storage: UserStorage, repository: UserRepository) -> None:
        await repository.add(User("alice", "ct-2026", HASH))
        await repository.add(User("bob", None, "h"))
        assert await repository.get("alice") == User("alice", "ct-2026", HASH)
        assert await repository.get("bob") == User("bob", None, "h")
        assert storage.stored() == {"alice": (HASH, "ct-2026"), "bob": ("h", None)}

    async def test_get_of_a_missing_user(self, repository: UserRepository) -> None:
        await repository.add(User("alice", None, HASH))
        for name in ("bob", "", "%", "' OR '1'='1", "猫🦆", "x" * 1000):
            with pytest.raises(UserNotFoundError):
                await repository.get(name)

    async def test_names_are_compared_by_code_point(self, repository: UserRepository) -> None:
        await repository.add(User("bob", None, "original"))
        for name in ("Bob", "BOB", "bób", "bob ", " bob", "bob\u200b", "bo", "bobb"):
            with pytest.raises(UserNotFoundError):
                await repository.get(name)
            with pytest.raises(UserNotFoundError):
                await repository.set_password_hash(name, "other")
            with pytest.raises(UserNotFoundError):
                await repository.remove(name)
        assert (await repository.get("bob")).password_hash == "original"
        names = ["Bob", "BOB", "bób", "bo\u0301b", "straße", "strasse", "猫", "🦆", "🦢", "O'Brien\\", "%"]
        for name in names:
            await repository.add(User(name, name, HASH))
        for name in names:
            assert await repository.get(name) == User(name, name, HASH)

    async def test_list_is_ordered_by_code_point(self, storage: UserStorage, repository: UserRepository) -> None:
        assert await repository.list() == ()
        names = ["zoe", "Zoe", "alice", "Ärger", "ärger", "_x", "\uffee", "🦆", "猫", "1"]
        for name in names:
            await repository.add(User(name, None, HASH))
        assert [user.username for user in await repository.list()] == [
            *("1", "Zoe", "_x", "alice", "zoe", "Ärger", "ärger", "猫", "\uffee", "🦆")
        ]
        storage.delete_by_hand()
        assert await repository.list() == ()

    async def test_add_of_a_taken_name_changes_nothing(self, repository: UserRepository) -> None:
        await repository.add(User("alice", "ct-2026", HASH))
        with pytest.raises(ConstraintViolationError):
            await repository.add(User("alice", None, "other"))
        assert await repository.get("alice") == User("alice", "ct-2026", HASH)

    async def test_exactly_one_concurrent_add_of_a_name_succeeds(
        self, storage: UserStorage, repository: UserRepository
    ) -> None:
        other = storage.repository()
        await other.open()
        outcomes = await asyncio.gather(
            *((repository, other)[i % 2].add(User("alice", str(i), HASH)) for i in range(10)), return_exceptions=True
        )
        await other.close()
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, ConstraintViolationError) for outcome in outcomes) == 9
        assert (await repository.get("alice")).class_key == str(outcomes.index(None))

    async def test_set_password_hash(self, storage: UserStorage, repository: UserRepository) -> None:
        await repository.add(User("alice", "ct-2026", HASH))
        await repository.set_password_hash("alice", "new")
        assert await repository.get("alice") == User("alice", "ct-2026", "new")
        await repository.set_password_hash("alice", "new")
        assert storage.stored() == {"alice": ("new", "ct-2026")}

    async def test_set_password_hash_of_a_missing_user(self, repository: UserRepository) -> None:
        with pytest.raises(UserNotFoundError):
            await repository.set_password_hash("nobody", "new")
        assert await repository.list() == ()

    async def test_remove(self, storage: UserStorage, repository: UserRepository) -> None:
        await repository.add(User("alice", None, HASH))
        await repository.add(User("bob", None, HASH))
        await repository.remove("alice")
        assert list(storage.stored()) == ["bob"]
        for name in ("alice", "nobody"):
            with pytest.raises(UserNotFoundError):
                await repository.remove(name)
        with pytest.raises(UserNotFoundError):
            await repository.get("alice")

    async def test_the_name_of_a_removed_user_is_reserved(self, repository: UserRepository) -> None:
        for name in ("alice", "Zo\u00eb", "straße", "猫"):
            await repository.add(User(name, None, HASH))
            await repository.remove(name)
        for name in ("alice", "Alice", "ALICE", "\uff41lice", "Zo\u00eb", "zo\u00cb", "STRASSE", "猫"):
            with pytest.raises(NameReservedError):
                await repository.add(User(name, None, "other"))
        assert await repository.list() == ()
        await repository.add(User("alic", None, HASH))
        await repository.add(User("alice2", None, HASH))

    async def test_a_reserved_name_can_be_taken_over(self, repository: UserRepository) -> None:
        await repository.add(User("alice", None, HASH))
        await repository.remove("alice")
        await repository.add(User("ALICE", None, "h"), take_over=True)
        with pytest.raises(NameReservedError):
            await repository.add(User("alice", None, "h"))
        await repository.add(User("alice", "ct-2026", "h"), take_over=True)
        assert await repository.get("alice") == User("alice", "ct-2026", "h")
        with pytest.raises(ConstraintViolationError) as caught:
            await repository.add(User("alice", None, "h"), take_over=True)
        assert type(caught.value) is ConstraintViolationError
        await repository.add(User("Alice", None, "h"))
        await repository.remove("alice")
        with pytest.raises(NameReservedError):
            await repository.add(User("alice", None, "h"))

    async def test_a_new_name_can_be_taken_over_too(self, repository: UserRepository) -> None:
        await repository.add(User("alice", None, HASH), take_over=True)
        assert (await repository.get("alice")).password_hash == HASH

    async def test_an_author_of_images_who_is_no_user_is_a_reserved_name(
        self, storage: UserStorage, repository: UserRepository
    ) -> None:
        images = storage.images()
        await images.open()
        await images.add(make_draft(author="alice"))
        await images.close()
        with pytest.raises(NameReservedError):
            await repository.add(User("alice", None, HASH))
        await repository.add(User("Alice", None, HASH))
        await repository.add(User("alice", None, HASH), take_over=True)
        with pytest.raises(ConstraintViolationError) as caught:
            await repository.add(User("alice", None, HASH))
        assert type(caught.value) is ConstraintViolationError
