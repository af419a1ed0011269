"""Plays scenarios against contenders in labs, run by run, and keeps what was played so that an interrupted one goes on.

Here because a comparison is half an hour in which anything may end it. Each run is a file of its own as soon as it is
over; the results appear under their names when all are there, whole. Leaves out what is played (``scenarios``) and how
it looks (``report``).
"""

import asyncio
import collections
import contextlib
import dataclasses
import pathlib
import random
import shutil
import zlib
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from comparisons import cost, match, results, scenarios, stage, turns
from comparisons.contenders import model
from comparisons.ip_policy import errors as policy_errors
from comparisons.lab import errors
from comparisons.scenarios import scene
from ipseity import kube

ATTEMPTS = 3
"""Of a run that did not set up what it is about; and of a contender, in a new lab each time."""
BROKEN = (stage.StageError, kube.KubernetesError, errors.LabError, policy_errors.PolicyError)
"""What a lab, or a contender in it, ends with when something in it has."""
Told = Callable[[str, str, int], None]
"""Hears of contender, what was done, and how many steps of the whole that was."""
UNFINISHED = ".unfinished"
Work = turns.Work[scenarios.Scenario]


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it is kept until all are there."""

    key: str
    run: results.Run
    picture: results.Timeline


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison took, or a part of one that was interrupted."""

    took_s: float = 0.0
    cpu_s: float = 0.0
    """Processor time of labs and of who played in them."""
    busy_s: float = 0.0
    """Processor time of the whole machine."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be played."""

    scenarios: Sequence[scenarios.Scenario]
    contenders: Sequence[model.Contender]
    runs: int
    seed: int
    folder: pathlib.Path
    loads: Sequence[int]
    """Cost is measured with so many callers; empty: not at all."""
    lanes: int
    """How many runs are played side by side at the most; a contender may ask for fewer."""
    lab: str
    """Name of the labs, one after the other."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Shelf:
    """Runs that have been played, on disk."""

    order: Order

    def path(self, scenario: scenarios.Scenario, contender: model.Contender, number: int) -> pathlib.Path:
        """Say where a run is kept."""
        return self.order.folder / UNFINISHED / scenario.told.name / contender.name / f"{number}.json"

    def key(self, scenario: scenarios.Scenario) -> str:
        """Say what a kept run must have been played with: the seed, the scenario and the programs as they are now."""
        told = f"{zlib.crc32(msgspec.json.encode(scenario.told)):08x}"
        return f"{self.order.seed}-{told}-{scenarios.played_with()}"

    def find(self, scenario: scenarios.Scenario, contender: model.Contender, number: int) -> _Kept | None:
        """Give a run that was played before; None if there is none that counts."""
        with contextlib.suppress(results.ResultsError):
            kept = results.read(self.path(scenario, contender, number), _Kept)
            return kept if kept.key == self.key(scenario) else None
        return None

    def keep(
        self, scenario: scenarios.Scenario, contender: model.Contender, run: results.Run, picture: results.Timeline
    ) -> None:
        """Keep a run."""
        kept = _Kept(key=self.key(scenario), run=run, picture=picture)
        results.write(self.path(scenario, contender, run.number), kept)

    def missing(self, scenario: scenarios.Scenario, contender: model.Contender) -> list[int]:
        """List the runs that are still to be played."""
        if contender.name not in scenario.told.expect:
            return []
        return [number for number in range(self.order.runs) if self.find(scenario, contender, number) is None]

    def usage(self, contender: model.Contender, pods: int) -> results.Usage | None:
        """Give a cost that was measured before."""
        with contextlib.suppress(results.ResultsError):
            return results.read(self._usage_path(contender.name, pods), results.Usage)
        return None

    def keep_usage(self, usage: results.Usage) -> None:
        """Keep a cost."""
        results.write(self._usage_path(usage.contender, usage.pods), usage)

    def _usage_path(self, contender: str, pods: int) -> pathlib.Path:
        return self.order.folder / UNFINISHED / "cost" / contender / f"{pods}.json"

    def costs(self) -> results.Costs:
        """Put costs together."""
        found = [self.usage(contender, pods) for pods in self.order.loads for contender in self.order.contenders]
        return results.Costs(usages=tuple(it for it in found if it is not None))

    def collected(self, scenario: scenarios.Scenario) -> results.Scenario:
        """Put a scenario's runs together."""
        entries = []
        for contender in self.order.contenders:
            found = [self.find(scenario, contender, number) for number in range(self.order.runs)]
            kept = [it for it in found if it is not None]
            # The picture is of the longest window: it is the one that the numbers beside it speak of.
            longest = max(kept, key=lambda it: (it.run.window_ms, it.run.lag_ms, -it.run.number), default=None)
            entries.append(
                results.Entry(
                    contender=contender.name,
                    runs=tuple(it.run for it in kept),
                    picture=longest.picture if longest else None,
                )
            )
        return msgspec.structs.replace(scenario.told, entries=tuple(entries))

    def spent(self) -> "Spent":
        """Tell what playing has taken until now, over interruptions."""
        with contextlib.suppress(results.ResultsError):
            return results.read(self._spent_path, Spent)
        return Spent()

    def spend(self, more: "Spent") -> None:
        """Add to it."""
        before = self.spent()
        added = {name: getattr(before, name) + getattr(more, name) for name in Spent.__struct_fields__}
        results.write(self._spent_path, Spent(**added))

    @property
    def _spent_path(self) -> pathlib.Path:
        return self.order.folder / UNFINISHED / "spent.json"

    def drop(self) -> None:
        """Forget single runs: they are in the results now."""
        top = self.order.folder / UNFINISHED
        names = [it.told.name for it in self.order.scenarios] + (["cost"] if self.order.loads else [])
        for name in names:
            shutil.rmtree(top / name, ignore_errors=True)
        self._spent_path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else that was interrupted goes on another time
            top.rmdir()


def left(order: Order) -> int:
    """Count what is left to play."""
    shelf = Shelf(order=order)
    runs = sum(len(shelf.missing(scenario, it)) for it in order.contenders for scenario in order.scenarios)
    return runs + sum(shelf.usage(it, pods) is None for it in order.contenders for pods in order.loads)


def finish(order: Order, environment: results.Environment) -> None:
    """Write the results of a campaign that has all its runs, each whole, and forget the single runs."""
    shelf = Shelf(order=order)
    for scenario in order.scenarios:
        folder = order.folder / "results" / scenario.told.name
        results.write(folder / "env.json", environment)
        results.write(folder / "results.json", shelf.collected(scenario))
    if order.loads:
        results.write(order.folder / "results" / "cost" / "env.json", environment)
        results.write(order.folder / "results" / "cost" / "results.json", shelf.costs())


async def play(order: Order, told: Told) -> None:
    """Play what is left; ``told`` hears of each step."""
    for contender in order.contenders:
        for attempt in range(ATTEMPTS):
            try:
                await _contender(order, contender, told)
                break
            except BROKEN as error:
                # Half an hour unattended: a lab that broke is made anew, and what it had played stays.
                if attempt == ATTEMPTS - 1:
                    raise
                told(contender.name, f"again, in a new lab: {error}", 0)


async def _contender(order: Order, contender: model.Contender, told: Told) -> None:
    shelf = Shelf(order=order)
    todo = [
        turns.Work(scenario=scenario, alone=scenario.alone, missing=collections.deque(missing))
        for scenario in order.scenarios
        if (missing := shelf.missing(scenario, contender))
    ]
    if todo:
        lanes = min(order.lanes, contender.lanes, turns.lanes(todo))
        async with _lab(shelf, contender, nodes=2 * lanes) as where:
            for together in turns.phases(todo):
                await _lanes(shelf, where, contender, together, told)
    loads = [pods for pods in order.loads if shelf.usage(contender, pods) is None]
    if loads:  # in a lab of its own: nothing else may run while it is measured
        async with _lab(shelf, contender, nodes=2) as where:
            for pods in loads:
                shelf.keep_usage(await cost.measure(where, contender, pods))
                told(contender.name, "cost", 1)


@contextlib.asynccontextmanager
async def _lab(shelf: Shelf, contender: model.Contender, *, nodes: int) -> AsyncIterator[stage.Stage]:
    """Bring up a lab with a contender in it, and note what it took."""
    async with stage.up(shelf.order.lab, nodes=nodes) as where:
        try:
            async with contender.install(where):
                yield where
        finally:
            with contextlib.suppress(OSError, results.ResultsError):  # a lab that broke has other news than this
                shelf.spend(Spent(cpu_s=where.cpu_s()))


async def _lanes(
    shelf: Shelf, where: stage.Stage, contender: model.Contender, todo: Sequence[Work], told: Told
) -> None:
    """Play scenarios side by side, each on two nodes that no other uses: addresses are a node's."""
    shared = turns.Floor()

    async def lane(number: int) -> None:
        here = where.lane(number)
        while (work := turns.choose(todo)) is not None:
            work.begun = True
            it = scene.Scene(
                where=here,
                contender=contender,
                namespace=f"{work.scenario.told.name}-{number}",
                chance=random.Random(0),  # noqa: S311  # replaced before each run
                parameters={each.name: float(each.value) for each in work.scenario.told.parameters},
                floor=shared,
            )
            await _scenario(shelf, it, work, told)

    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(len(where.nodes) // 2):
                tasks.create_task(lane(number))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def _scenario(shelf: Shelf, it: scene.Scene, work: Work, told: Told) -> None:
    """Set a scene up, play what is left of a scenario, also of what others play of it, and clear it away."""
    where, scenario = it.where, work.scenario
    async with it.meanwhile:
        async with it.floor.taken():
            await where.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": it.namespace}})
            await scenario.drive.prepare(it)
        while work.missing:
            number = work.missing.popleft()
            async with it.floor.taken():
                await _keep(shelf, it, scenario, number)
            told(it.contender.name, scenario.told.name, 1)
        async with it.floor.taken():
            await where.delete("Namespace", "", it.namespace)
            await _emptied(where, it.namespace)


async def _keep(shelf: Shelf, it: scene.Scene, scenario: scenarios.Scenario, number: int) -> None:
    """Play a run and keep it."""
    played = await _run(shelf.order, it, scenario, number)
    found = it.found()
    beliefs = it.contender.believes(it.where, it.far)
    run = match.run(number, played, found, beliefs, scenario.told.tolerance_ms)
    picture = match.picture(number, played, found, beliefs)
    shelf.keep(scenario, it.contender, run, picture)
    it.where.forget(f"-{number}", f"-w{number}")


async def _run(order: Order, it: scene.Scene, scenario: scenarios.Scenario, number: int) -> match.Played:
    for attempt in range(ATTEMPTS):
        # The seed of a run does not depend on who is compared or what was played before: same seed, same truth.
        it.chance = random.Random(f"{order.seed}/{scenario.told.name}/{number}")  # noqa: S311  # it is to be foreseen
        it.number, it.plan, it.pods = number, {}, {}
        try:
            played: match.Played = await scenario.drive.play(it)
            return dataclasses.replace(played, plan=dict(it.plan), pods=dict(it.pods))
        except scene.VoidError as error:
            if attempt == ATTEMPTS - 1:
                raise stage.StageError(
                    f"scenario {scenario.told.name}, run {number}: {error}, {ATTEMPTS} times", hint="run it again"
                ) from error
            it.where.forget(f"-{number}", f"-w{number}")
    raise AssertionError


async def _emptied(where: stage.Stage, namespace: str) -> None:
    """Wait until a namespace's pods are gone, and forget what they wrote."""
    listed = await where.api.read(f"/api/v1/namespaces/{namespace}/pods")
    for pod in (listed or {"items": ()})["items"]:
        await where.delete("Pod", namespace, pod["metadata"]["name"])
        await where.gone(pod)
    where.forget("")
