"""Who plays when, and what next. Leaves out what is played: ``test_campaign`` and the labs."""

import asyncio
import collections

import pytest

from comparisons import turns

Work = turns.Work[str]


def work(name: str, runs: int, *, alone: bool = False, begun: bool = False) -> Work:
    return turns.Work(scenario=name, alone=alone, missing=collections.deque(range(runs)), begun=begun)


async def test_who_is_alone_waits_for_the_others_and_they_for_it() -> None:
    """Two side by side; one of them alone once the other has left; then whoever came meanwhile."""
    floor, told = turns.Floor(), []
    leave = asyncio.Event()

    async def play(name: str) -> None:
        async with floor.taken():
            told.append(f"+{name}")
            await leave.wait()
            told.append(f"-{name}")

    async def race(name: str) -> None:
        async with floor.taken():
            told.append(f"+{name}")
            await asyncio.sleep(0.005)  # both are there
            async with floor.alone():
                told.append(f"+{name} alone")
                assert (floor.playing, floor.cleared) == (0, True)
                await asyncio.sleep(0.01)
                told.append(f"-{name} alone")
            told.append(f"-{name}")

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(play("a"))
        tasks.create_task(race("b"))
        tasks.create_task(race("c"))
        await asyncio.sleep(0.02)
        tasks.create_task(play("late"))
        await asyncio.sleep(0.01)
        assert ["+a", "+b", "+c"] == told
        leave.set()
    assert ["+a", "+b", "+c", "-a"] == told[:4]
    assert [f"{sign}{name} alone" for name in (told[4][1], told[6][1]) for sign in "+-"] == told[4:8]
    assert {"-b", "-c", "+late", "-late"} == set(told[8:])
    assert (0, 0, False) == (floor.playing, floor.waiting, floor.cleared)


@pytest.mark.parametrize("inside", [False, True], ids=["while it waits", "while it plays"])
async def test_who_was_ended_alone_holds_nobody_up(inside: bool) -> None:  # noqa: FBT001  # a case
    """Neither those beside it nor those who come."""
    floor, leave = turns.Floor(), asyncio.Event()

    async def race() -> None:
        async with floor.taken(), floor.alone():
            await asyncio.sleep(60)

    async def beside() -> None:
        async with floor.taken():
            await leave.wait()

    other = asyncio.create_task(beside())
    racing = asyncio.create_task(race())
    await asyncio.sleep(0.01)
    if inside:
        leave.set()
        await asyncio.sleep(0.01)
    assert inside is floor.cleared
    racing.cancel()
    await asyncio.gather(racing, return_exceptions=True)
    async with asyncio.timeout(1), floor.taken():
        assert (1 if inside else 2) == floor.playing
    leave.set()
    await other
    assert (0, 0, False) == (floor.playing, floor.waiting, floor.cleared)


async def test_an_error_in_a_race_is_let_out_before_other_races_are_played() -> None:
    """What broke the lab ends the others too: they need not each find out."""
    floor, told = turns.Floor(), []

    async def race(name: str) -> None:
        async with floor.taken():
            await asyncio.sleep(0.005)  # both are there
            async with floor.alone():
                told.append(name)
                if len(told) > 1:
                    await asyncio.Event().wait()  # until it is ended
                raise ConnectionError

    racing = [asyncio.create_task(race(name)) for name in "ab"]
    done, others = await asyncio.wait(racing, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    assert [ConnectionError] == [type(it.exception()) for it in done]
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert (0, 0, False) == (floor.playing, floor.waiting, floor.cleared)


async def test_nobody_is_alone_on_a_floor_that_was_not_taken() -> None:
    """It would wait for ever."""
    with pytest.raises(RuntimeError, match="taken the floor"):
        async with turns.Floor().alone():
            raise AssertionError


def test_what_nobody_has_begun_comes_first_then_what_most_is_left_of() -> None:
    """A scenario that is nearly over is left to those who play it."""
    todo = [work("udp", 9, begun=True), work("snat", 20, begun=True), work("spoof", 1)]
    assert "spoof" == chosen(todo)
    todo[2].begun = True
    assert "snat" == chosen(todo)
    todo[1].missing.clear()
    assert "udp" == chosen(todo)
    todo[0].missing = collections.deque(range(turns.WORTH_JOINING - 1))
    assert turns.choose(todo) is None


def chosen(todo: list[Work]) -> str:
    found = turns.choose(todo)
    assert found is not None
    return found.scenario


def test_a_race_is_a_phase_of_its_own() -> None:
    """What cuts off what all share would cut off those beside it too."""
    todo = [work("udp", 20), work("race", 20, alone=True), work("cut", 20, alone=True), work("snat", 20)]
    assert [["race"], ["cut"], ["udp", "snat"]] == [[it.scenario for it in each] for each in turns.phases(todo)]


def test_there_are_no_more_lanes_than_are_of_use() -> None:
    """A lane is two nodes."""
    assert 1 == turns.lanes([work("udp", 2)])
    assert 7 + 1 == turns.lanes([work("udp", 20), work("snat", 1)])
