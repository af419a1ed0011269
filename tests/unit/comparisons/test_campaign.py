"""What is kept of an interrupted comparison. Leaves out labs: ``tests/functional/comparisons``."""

import asyncio
import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, cast

from comparisons import campaign, match, scenarios, stage
from comparisons.contenders import nothing
from comparisons.scenarios import scene
from tests.unit.comparisons import made


def order(folder: pathlib.Path) -> campaign.Order:
    udp = scenarios.load()["udp"]
    return campaign.Order(
        scenarios=[udp], contenders=[nothing.Nothing()], runs=2, seed=3, folder=folder, loads=(), lanes=1, lab="none"
    )


def test_what_it_took_adds_up_over_interruptions(tmp_path: pathlib.Path) -> None:
    """Until the results are there."""
    shelf = campaign.Shelf(order=order(tmp_path))
    assert campaign.Spent() == shelf.spent()
    shelf.spend(campaign.Spent(took_s=7.0))
    campaign.Shelf(order=order(tmp_path)).spend(campaign.Spent(took_s=4.0, cpu_s=3.0, busy_s=5.0))
    assert campaign.Spent(took_s=11.0, cpu_s=3.0, busy_s=5.0) == shelf.spent()
    shelf.drop()
    assert not (tmp_path / campaign.UNFINISHED).exists()


def test_a_run_that_was_played_is_not_missing_unless_the_seed_is_another(tmp_path: pathlib.Path) -> None:
    """Nor if the scenario has changed."""
    mine = order(tmp_path)
    shelf, (udp,), (contender,) = campaign.Shelf(order=mine), mine.scenarios, mine.contenders
    shelf.keep(udp, contender, made.run(1, "lets_in"), made.picture())
    assert [0] == shelf.missing(udp, contender)
    other = campaign.Shelf(order=campaign.Order(**{**_fields(mine), "seed": 4}))
    assert [0, 1] == other.missing(udp, contender)


class Stage:
    """A lab of three lanes in which there is nothing."""

    nodes = tuple("abcdef")

    def __init__(self) -> None:
        self.api = self
        self.made: list[str] = []

    def lane(self, number: int) -> "Stage":
        return self

    async def create(self, body: dict[str, Any]) -> None:
        self.made.append(body["metadata"]["name"])

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        self.made.remove(name)

    async def read(self, path: str) -> None:
        return None

    def lines(self, *, but: Sequence[str]) -> list[str]:
        return []

    def forget(self, *endings: str) -> None: ...


class Drive:
    """Plays runs that are nothing, some alone; one ends the lab."""

    def __init__(self, *, breaks: int = -1) -> None:
        self.breaks, self.played = breaks, list[int]()

    async def prepare(self, it: scene.Scene) -> None:
        await asyncio.sleep(0.002)

    async def play(self, it: scene.Scene) -> match.Played:
        await asyncio.sleep(0.001 * (it.number % 3))
        async with it.alone() if it.number % 2 else contextlib.nullcontext():
            if it.number == self.breaks:
                raise stage.StageError("broken")
            self.played.append(it.number)
            await asyncio.sleep(0.001)
        return match.Played(accounts={}, rights=[], since_ns=1, until_ns=2)


async def play(folder: pathlib.Path, drive: Drive) -> tuple[campaign.Shelf, Stage]:
    mine = campaign.Order(**{**_fields(order(folder)), "runs": 20})
    (udp,), shelf, where = mine.scenarios, campaign.Shelf(order=mine), Stage()
    work = campaign.Work(
        scenario=dataclasses.replace(udp, drive=drive),
        alone=False,
        missing=collections.deque(shelf.missing(udp, mine.contenders[0])),
    )
    told: list[str] = []
    with contextlib.suppress(stage.StageError):
        await campaign._lanes(shelf, cast("stage.Stage", where), mine.contenders[0], [work], lambda *_: told.append(""))
    return shelf, where


async def test_lanes_play_each_missing_run_once(tmp_path: pathlib.Path) -> None:
    """Three of them, at the same scenario; all is cleared away."""
    drive = Drive()
    shelf, where = await play(tmp_path, drive)
    assert list(range(20)) == sorted(drive.played)
    assert [] == shelf.missing(shelf.order.scenarios[0], shelf.order.contenders[0]) == where.made


async def test_what_was_played_before_a_lab_broke_is_not_played_again(tmp_path: pathlib.Path) -> None:
    """And nothing that was not played is taken for played."""
    first, second = Drive(breaks=11), Drive()
    shelf, _ = await play(tmp_path, first)
    left = shelf.missing(shelf.order.scenarios[0], shelf.order.contenders[0])
    assert 11 in left
    assert len(left) < 20
    await play(tmp_path, second)
    assert left == sorted(second.played)


def _fields(it: campaign.Order) -> dict[str, object]:
    return {name: getattr(it, name) for name in it.__slots__}
