"""The bound on failed logins, on a clock that stands still."""

import asyncio
from datetime import timedelta

import pytest

from pixyproxy.adapters.limits.moving_windows import LimitsMovingWindows
from pixyproxy.application.accounts.login_throttle import LoginThrottle
from pixyproxy.domain.errors import AuthenticationError, CapacityExceededError, TooManyLoginsError
from tests.fixtures.core import SteppingClock, login_throttle_on
from tests.fixtures.http_app import log_lines

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock(timedelta(0))


@pytest.fixture
def throttle(clock: SteppingClock) -> LoginThrottle:
    return login_throttle_on(clock)


async def fail(throttle: LoginThrottle, account: str, address: str, secret: str) -> None:
    """Try a wrong secret, which must be let through."""
    with pytest.raises(AuthenticationError):
        async with throttle.attempt(account, address, secret):
            raise AuthenticationError("wrong")


async def log_in(throttle: LoginThrottle, account: str, address: str) -> None:
    await throttle.require_room(account, address)
    async with throttle.attempt(account, address, "right"):
        pass


async def test_the_eleventh_login_to_an_account_from_an_address_is_refused_whatever_its_secret(
    throttle: LoginThrottle, clock: SteppingClock
) -> None:
    await log_in(throttle, "alice", HOME)
    for n in range(10):
        await fail(throttle, "alice", HOME, f"wrong {n}")
        clock.advance(timedelta(seconds=10))
    with pytest.raises(TooManyLoginsError) as refused:
        await log_in(throttle, "alice", HOME)
    assert refused.value.retry_after_s == pytest.approx(200)
    assert "200 s" in refused.value.message
    await log_in(throttle, "bob", HOME)
    await log_in(throttle, "alice", ELSEWHERE)  # failures where she has logged in say nothing about other places
    clock.advance(timedelta(seconds=200))
    await log_in(throttle, "alice", HOME)
    # The window moves: one failure has left it.
    await fail(throttle, "alice", HOME, "wrong 10")
    with pytest.raises(TooManyLoginsError):
        await log_in(throttle, "alice", HOME)


async def test_failures_from_strange_addresses_are_counted_together(
    throttle: LoginThrottle, clock: SteppingClock
) -> None:
    await log_in(throttle, "alice", HOME)
    for n in range(10):
        await fail(throttle, "alice", f"203.0.113.{n}", f"wrong {n}")
    with pytest.raises(TooManyLoginsError):
        await log_in(throttle, "alice", ELSEWHERE)
    await log_in(throttle, "alice", HOME)
    await log_in(throttle, "bob", ELSEWHERE)
    clock.advance(timedelta(minutes=5))
    await log_in(throttle, "alice", ELSEWHERE)


async def test_an_address_may_fail_a_hundred_times_and_those_it_is_familiar_to_still_get_in(
    throttle: LoginThrottle, clock: SteppingClock
) -> None:
    await log_in(throttle, "alice", HOME)
    await throttle.admit("bob", HOME)
    for n in range(100):
        await fail(throttle, f"user {n}", HOME, "wrong")
    with pytest.raises(TooManyLoginsError):
        await log_in(throttle, "carol", HOME)
    with pytest.raises(TooManyLoginsError):
        await throttle.admit("carol", HOME)
    await log_in(throttle, "alice", HOME)
    await throttle.admit("alice", HOME)
    await log_in(throttle, "bob", HOME)
    await fail(throttle, "alice", HOME, "wrong")
    await log_in(throttle, "carol", ELSEWHERE)
    clock.advance(timedelta(minutes=5))
    await log_in(throttle, "carol", HOME)
    await throttle.admit("dave", HOME)


async def test_right_logins_do_not_count(throttle: LoginThrottle) -> None:
    for n in range(300):
        await log_in(throttle, f"user {n}", HOME)
        await log_in(throttle, "alice", f"10.0.{n // 256}.{n % 256}")
    await fail(throttle, "new", HOME, "wrong")


async def test_the_same_wrong_secret_counts_once(throttle: LoginThrottle) -> None:
    for n in range(50):
        await fail(throttle, "alice", HOME, "outdated")
        await fail(throttle, "alice", f"10.0.0.{n}", "outdated")
    await log_in(throttle, "alice", ELSEWHERE)
    for n in range(9):
        await fail(throttle, "alice", HOME, f"wrong {n}")
    with pytest.raises(TooManyLoginsError):
        async with throttle.attempt("alice", HOME, "outdated"):
            pass


async def test_guesses_at_the_same_moment_count_before_they_are_checked(throttle: LoginThrottle) -> None:
    checked = 0
    go_on = asyncio.Event()

    async def guess(n: int) -> None:
        nonlocal checked
        async with throttle.attempt("alice", HOME, f"guess {n}"):
            checked += 1
            await go_on.wait()
            raise AuthenticationError("wrong")

    tasks = [asyncio.create_task(guess(n)) for n in range(40)]
    await asyncio.sleep(0.01)
    go_on.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert checked == 10
    assert [type(outcome) for outcome in outcomes].count(TooManyLoginsError) == 30


async def test_a_login_that_could_not_be_checked_does_not_count(throttle: LoginThrottle) -> None:
    for n in range(30):
        with pytest.raises(CapacityExceededError):
            async with throttle.attempt("alice", HOME, f"guess {n}"):
                raise CapacityExceededError("full")
    await log_in(throttle, "alice", HOME)


async def test_wrong_api_keys_count_for_the_address_only(throttle: LoginThrottle) -> None:
    await throttle.admit("alice", HOME)
    for _ in range(3):
        for n in range(99):
            await throttle.count_wrong_key(HOME, f"key {n}")
    await throttle.count_wrong_key(HOME, "key 99")
    with pytest.raises(TooManyLoginsError):
        await throttle.count_wrong_key(HOME, "another key")
    with pytest.raises(TooManyLoginsError):
        await throttle.count_wrong_key(HOME, "key 1")
    await throttle.admit("alice", HOME)
    await log_in(throttle, "alice", HOME)
    with pytest.raises(TooManyLoginsError):
        await throttle.admit("bob", HOME)
    await throttle.count_wrong_key(ELSEWHERE, "another key")


async def test_a_familiar_address_is_remembered_for_thirty_days_after_the_last_login(clock: SteppingClock) -> None:
    windows = LimitsMovingWindows(clock)

    async def is_familiar() -> bool:
        # Another process, which shares the counters only.
        throttle = LoginThrottle(windows, clock, lambda: b"s" * 32)
        for n in range(10):
            await fail(throttle, "alice", f"203.0.113.{n}", f"wrong {n}")
        try:
            async with throttle.attempt("alice", HOME, "right"):
                return True
        except TooManyLoginsError:
            return False

    assert not await is_familiar()
    clock.advance(timedelta(minutes=5))
    await log_in(LoginThrottle(windows, clock, lambda: b"s" * 32), "alice", HOME)
    for _ in range(3):
        clock.advance(timedelta(days=29))
        assert await is_familiar()
    clock.advance(timedelta(days=31))
    assert not await is_familiar()


async def test_counters_show_neither_names_nor_addresses_nor_secrets(clock: SteppingClock) -> None:
    windows = LimitsMovingWindows(clock)
    throttle = LoginThrottle(windows, clock, lambda: b"s" * 32)
    await fail(throttle, "alice", HOME, "my password")
    await throttle.count_wrong_key(HOME, "pxy_token")
    kept = repr(windows._own._kinds)
    assert "login-pair" in kept
    assert not any(text in kept for text in ("alice", HOME, "my password", "pxy_token"))


async def test_a_refusal_is_logged_once_without_the_name(throttle: LoginThrottle) -> None:
    with log_lines() as lines:
        for n in range(10):
            await fail(throttle, "alice", HOME, f"wrong {n}")
        for _ in range(3):
            with pytest.raises(TooManyLoginsError):
                await log_in(throttle, "alice", HOME)
    [line] = [line for line in lines if "refusing more" in line]
    assert " WARNING " in line
    assert HOME in line
    assert "alice" not in line
