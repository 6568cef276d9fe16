"""The bound on the bytes of pictures that wait to be stored."""

import asyncio

import pytest

from pixyproxy.adapters.openai.admission import UNKNOWN_BYTES, ByteBudget, Permit

FAR_S = 3600.0


async def turns(number: int = 10) -> None:
    """Run the event loop until nothing more happens."""
    for _ in range(number):
        await asyncio.sleep(0)


def asking(permit: Permit, size: int | None, *, in_s: float = FAR_S) -> "asyncio.Task[None]":
    deadline = asyncio.get_running_loop().time() + in_s
    return asyncio.create_task(permit.admit(size, deadline=deadline))


async def test_permits_are_given_while_they_fit_and_when_one_is_released() -> None:
    budget = ByteBudget(10, hold_s=FAR_S)
    all_of_them = [Permit(budget) for _ in range(7)]
    waits = [asking(each, 4) for each in all_of_them]
    for number, each in enumerate(all_of_them):
        await turns()
        assert [wait.done() for wait in waits] == [place < number + 2 for place in range(7)]
        assert budget.bytes <= 10
        each.hold(5)
        assert budget.bytes <= 10
        each.release()
    assert budget.bytes == 0


async def test_permits_are_given_in_order_and_an_oversized_one_alone() -> None:
    budget = ByteBudget(10, hold_s=FAR_S)
    first, large, small = Permit(budget), Permit(budget), Permit(budget)
    await asking(first, 4)
    waits = [asking(large, 1000), asking(small, 1)]
    await turns()
    assert [wait.done() for wait in waits] == [False, False]
    first.release()
    await turns()
    assert [wait.done() for wait in waits] == [True, False]
    large.release()
    await waits[1]


async def test_an_unknown_length_counts_as_that_of_a_picture() -> None:
    budget = ByteBudget(hold_s=FAR_S)
    permit = Permit(budget)
    await asking(permit, None)
    assert budget.bytes == UNKNOWN_BYTES
    permit.hold(7)
    assert budget.bytes == 7


async def test_a_slow_response_does_not_block_others_and_counts_once_it_has_arrived() -> None:
    budget = ByteBudget(10, hold_s=0)
    slow, next_one = Permit(budget), Permit(budget)
    await asking(slow, 10)
    await asking(next_one, 10)
    slow.hold(8)
    next_one.hold(9)
    assert budget.bytes == 17  # a paid picture is never refused


@pytest.mark.parametrize(("patience_s", "in_s"), [(0, FAR_S), (FAR_S, 0), (FAR_S, -1)])
async def test_the_wait_ends_at_half_of_the_remaining_time(patience_s: float, in_s: float) -> None:
    budget = ByteBudget(10, hold_s=FAR_S, patience_s=patience_s)
    full, late = Permit(budget), Permit(budget)
    full.hold(10)
    await asking(late, 5, in_s=in_s)
    assert budget.bytes == 15


async def test_a_permit_may_be_admitted_twice() -> None:
    budget = ByteBudget(10, hold_s=FAR_S)
    permit = Permit(budget)
    for _ in range(3):
        await asking(permit, 10)
    assert budget.bytes == 10


async def test_a_cancelled_wait_leaves_the_queue() -> None:
    budget = ByteBudget(10, hold_s=FAR_S)
    full, large, small, last = (Permit(budget) for _ in range(4))
    await asking(full, 5)
    waits = [asking(large, 10), asking(small, 5), asking(last, 5)]
    await turns()
    waits[0].cancel()
    await turns()
    assert [wait.done() for wait in waits] == [True, True, False]
    full.release()
    waits[2].cancel()  # as soon as there is room
    await turns()
    assert waits[2].cancelled()
    small.release()
    assert budget.bytes == 0


async def test_few_arrive_at_once_while_more_wait_to_be_stored() -> None:
    budget = ByteBudget(10, 4, hold_s=FAR_S)
    all_of_them = [Permit(budget) for _ in range(4)]
    waits = [asking(each, 3) for each in all_of_them]
    for number, each in enumerate(all_of_them):
        await turns()
        assert [wait.done() for wait in waits] == [place <= min(number, 2) for place in range(4)]
        if waits[number].done():
            each.hold(3)
    assert (budget.bytes, budget.arriving_bytes) == (9, 0)
    for each in all_of_them:
        each.release()
    await turns()
    assert waits[3].done()
    assert (budget.bytes, budget.arriving_bytes) == (3, 3)
