"""The rules for new passwords."""

import pytest

from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.adapters.zxcvbn.guess_estimator import ZxcvbnGuessEstimator
from pixyproxy.application.accounts.password_rules import PasswordRules
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.user import User
from tests.fixtures.core import PlainHasher, SteppingClock, user_service_on
from tests.fixtures.http_app import http_app


def rules(min_length: int = 12) -> PasswordRules:
    return PasswordRules(ZxcvbnGuessEstimator(), min_length=min_length)


@pytest.mark.parametrize(
    ("username", "password", "problem"),
    [
        ("alice", "11 letters.", "at least 12 characters"),
        ("alice", "密語" * 5, "at least 12 characters"),
        ("alice", "password1234", "guessed too easily"),
        ("alice", "PASSWORD1234", "guessed too easily"),
        ("alice", "p4ssw0rd1234", "guessed too easily"),
        ("alice", "qwertyuiop12", "guessed too easily"),
        ("alice", "123456789012", "guessed too easily"),
        ("alice", "aaaaaaaaaaaa", "guessed too easily"),
        ("alice", "alicealicealice", "guessed too easily"),
        ("alice", "alice1234567", "guessed too easily"),
        ("bartholomew-iii", "Bartholomew-III", "the user's name"),
        ("bartholomew-iii", "bartholomew-iii1", "guessed too easily"),
    ],
)
async def test_bad_passwords_are_refused_with_the_reason(username: str, password: str, problem: str) -> None:
    with pytest.raises(DataValidationError, match=problem) as caught:
        await rules().check(username, password)
    assert [error.loc for error in caught.value.errors] == [("password",)]
    assert password not in caught.value.message


@pytest.mark.parametrize("password", ["swordfish-9000", "twelve chars", "päss: 密語 wörd", "x7" + "q9 zk!" * 170])
async def test_other_passwords_are_taken(password: str) -> None:
    await rules().check("alice", password)


async def test_a_lower_length_takes_shorter_passwords_but_no_common_ones() -> None:
    await rules(6).check("alice", "zu7:qp")
    for password in ("secret", "alice1"):
        with pytest.raises(DataValidationError, match="guessed too easily"):
            await rules(6).check("alice", password)
    with pytest.raises(DataValidationError, match="at least 6 characters"):
        await rules(6).check("alice", "zu7:q")


async def test_the_length_is_counted_in_the_composed_form() -> None:
    async with http_app() as app:
        with pytest.raises(DataValidationError, match="at least 12 characters"):
            await app.container.user_service().add("zoe", "zo\u0308e\u0308 go\u0308e\u0308s")
    async with http_app(PIXYPROXY_PASSWORD_LENGTH="8") as app:
        await app.container.user_service().add("zoe", "zo\u0308e\u0308 go\u0308e\u0308s")


async def test_users_keep_the_passwords_that_they_have() -> None:
    users = MemoryUserRepository()
    await users.add(User("alice", None, "hash of secret"))
    service = user_service_on(users, PlainHasher(), SteppingClock(), rules())
    with pytest.raises(DataValidationError, match="at least 12 characters"):
        await service.change_password("alice", "another")
    assert await service.authenticate("alice", "secret", "192.0.2.1")
    await service.change_password("alice", "another one of many words")
    assert await service.authenticate("alice", "another one of many words", "192.0.2.1")


@pytest.mark.parametrize("min_length", [1, 12, 14, 15, 30, 64])
async def test_passwords_that_are_made_obey_the_rules(min_length: int) -> None:
    made = {rules(min_length).make() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        assert len(password) >= max(min_length, 14)
        await rules(min_length).check("alice", password)
