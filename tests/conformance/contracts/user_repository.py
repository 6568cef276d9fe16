"""Contract tests for every user repository."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import ConstraintViolationError, NameReservedError, UserNotFoundError
from pixyproxy.domain.user import Role, User, UserChanges
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.image_repository import ImageRepository
from tests.fixtures.images import NOW, make_draft

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
    def add_by_hand(self, name: str, password_hash: str, class_key: str) -> None:
        """Add a row with these columns only, without the adapter."""

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
                await repository.update(name, {"password_hash": "other"})
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

    async def test_pages_go_on_after_a_name(self, repository: UserRepository) -> None:
        names = sorted(["zoe", "Zoe", "alice", "Ärger", "ärger", "_x", "\uffee", "🦆", "猫", "1", "al", "alice b"])
        for name in names:
            await repository.add(User(name, None, HASH))
        for limit in (1, 5, 12, 100):
            found: list[str] = []
            while page := await repository.page(after=found[-1] if found else None, limit=limit):
                assert len(page) <= limit
                found += [user.username for user in page]
            assert found == names
        assert [user.username for user in await repository.page(after="al ", limit=2)] == ["alice", "alice b"]

    async def test_pages_of_a_class_and_a_role(self, repository: UserRepository) -> None:
        roles = {"a": Role.STUDENT, "b": Role.TEACHER, "c": Role.ADMIN, "d": Role.STUDENT}
        for class_key in ("9a", "9A", "9b", None):
            for name, role in roles.items():
                await repository.add(User(f"{class_key} {name}", class_key, HASH, role))

        async def names(**values: Any) -> list[str]:
            return [user.username for user in await repository.page(after=None, limit=100, **values)]

        assert await names(class_key="9a") == ["9a a", "9a b", "9a c", "9a d"]
        assert await names(class_key="9a ") == []
        assert await names(class_key="9a", role=Role.STUDENT) == ["9a a", "9a d"]
        assert await names(class_key="9a", role=Role.TEACHER) == ["9a b"]
        assert await names(role=Role.ADMIN) == ["9A c", "9a c", "9b c", "None c"]
        assert len(await names(role=Role.STUDENT)) == 8

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

    async def test_update_of_the_password_hash(self, storage: UserStorage, repository: UserRepository) -> None:
        await repository.add(User("alice", "ct-2026", HASH))
        assert await repository.update("alice", {"password_hash": "new"}) == User("alice", "ct-2026", "new")
        assert await repository.get("alice") == User("alice", "ct-2026", "new")
        await repository.update("alice", {"password_hash": "new"})
        assert storage.stored() == {"alice": ("new", "ct-2026")}

    async def test_update_of_a_missing_user(self, repository: UserRepository) -> None:
        changes: tuple[UserChanges, ...] = ({"password_hash": "new"}, {"paused": False}, {})
        for each in changes:
            with pytest.raises(UserNotFoundError):
                await repository.update("nobody", each)
        assert await repository.list() == ()

    async def test_a_user_is_kept_as_it_was_added(self, repository: UserRepository) -> None:
        zone = timezone(timedelta(hours=2))
        teacher = User("miller", "9a", HASH, Role.TEACHER, True, datetime(2027, 7, 31, 2, 0, 0, 1, zone), "head: 猫")
        await repository.add(teacher)
        assert await repository.get("miller") == teacher
        assert await repository.list() == (teacher,)
        end = (await repository.get("miller")).valid_until
        assert end is not None
        assert end.tzinfo is UTC

    async def test_update_changes_only_what_is_given(self, repository: UserRepository) -> None:
        await repository.add(User("alice", "9a", HASH))
        await repository.add(User("bob", None, HASH))
        expected = User("alice", "9a", HASH)
        changes: tuple[UserChanges, ...] = (
            {"role": Role.TEACHER},
            {"paused": True},
            {"valid_until": datetime(2027, 7, 31, tzinfo=UTC)},
            {"password_hash": "new", "password_set_by": "miller"},
            {"class_key": "9b"},
            {},
            {"paused": False},
            {"class_key": None, "valid_until": None, "password_set_by": None, "role": Role.ADMIN},
        )
        for each in changes:
            expected = replace(expected, **each)
            assert await repository.update("alice", each) == expected
            assert await repository.get("alice") == expected
        assert await repository.get("bob") == User("bob", None, HASH)

    async def test_concurrent_updates_of_different_fields_all_count(self, repository: UserRepository) -> None:
        await repository.add(User("alice", None, HASH))
        changes: tuple[UserChanges, ...] = ({"paused": True}, {"role": Role.TEACHER}, {"class_key": "9a"})
        await asyncio.gather(*(repository.update("alice", each) for each in changes))
        assert await repository.get("alice") == User("alice", "9a", HASH, Role.TEACHER, paused=True)

    async def test_a_row_added_by_hand_is_a_student(self, storage: UserStorage, repository: UserRepository) -> None:
        storage.add_by_hand("alice", HASH, "9a")
        assert await repository.get("alice") == User("alice", "9a", HASH)
        assert await repository.list() == (User("alice", "9a", HASH),)

    async def test_reserved_and_taken_names_are_found(self, storage: UserStorage, repository: UserRepository) -> None:
        images = storage.images()
        await images.open()
        await images.add(make_draft(author="drawer"))
        await images.close()
        for name in ("alice", "gone"):
            await repository.add(User(name, None, HASH))
        await repository.remove("gone")
        names = {"alice", "Alice", "gone", "GONE", "drawer", "Drawer", "new", *(f"n{number}" for number in range(1200))}
        assert await repository.find_reserved(names) == {"alice", "gone", "GONE", "drawer"}
        assert await repository.find_reserved(()) == frozenset()

    async def test_apply_adds_and_changes_many(self, storage: UserStorage, repository: UserRepository) -> None:
        await repository.add(User("alice", None, HASH))
        await repository.add(User("bob", None, HASH))
        added = [User(f"user {number:04}", "9a", HASH, Role.STUDENT) for number in range(1500)]
        await repository.apply(added, {"alice": {"class_key": "9a", "role": Role.TEACHER}, "bob": {}}, [])
        assert await repository.page(after="user", limit=2000) == tuple(added)
        assert await repository.get("alice") == User("alice", "9a", HASH, Role.TEACHER)
        assert await repository.get("bob") == User("bob", None, HASH)
        await repository.apply([], {}, [])

    async def test_apply_adds_keys(self, repository: UserRepository) -> None:
        await repository.add(User("bob", None, HASH))
        keys = [ApiKey(f"id-{name}", name, None, f"digest {name}", NOW) for name in ("alice", "bob")]
        await repository.apply([User("alice", None, HASH)], {}, keys)
        with pytest.raises(ConstraintViolationError):
            await repository.apply([User("carol", None, HASH)], {}, [replace(keys[0], username="carol")])
        assert [user.username for user in await repository.list()] == ["alice", "bob"]

    async def test_apply_does_all_or_nothing(self, repository: UserRepository) -> None:
        for name in ("alice", "gone"):
            await repository.add(User(name, None, HASH))
        await repository.remove("gone")
        new, change = User("new", None, HASH), {"alice": UserChanges(class_key="9a")}
        key = ApiKey("id", "nobody", None, "digest", NOW)
        with pytest.raises(NameReservedError):
            await repository.apply([new, User("Gone", None, HASH)], change, [])
        with pytest.raises(ConstraintViolationError):
            await repository.apply([new, User("alice", None, HASH)], change, [])
        with pytest.raises(UserNotFoundError):
            await repository.apply([new], {**change, "nobody": {"paused": True}}, [])
        with pytest.raises(UserNotFoundError):
            await repository.apply([new], change, [key])
        assert await repository.list() == (User("alice", None, HASH),)

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
