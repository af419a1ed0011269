"""Looks after one Canary: reads what there is, has ``steps`` decide, writes the status, and then the route.

Here because this order makes a crash harmless at every point: what was decided stands in the status before anything is
done, and the next look does what is not done yet. What is remembered between two looks is one window of measurement;
it is begun anew whenever the status is not the one it was begun under, also by a new process. Leaves out when to look
(``controller``).
"""

import dataclasses
import http
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import structlog

from injector import names
from injector.kube import events, rest
from injector.policy import reading as lists
from injector.rollout import judge, metrics, model, place, reading, status, steps, weights
from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

Json = Mapping[str, Any]
log = structlog.get_logger("rollout")

AGAIN_S: Final = 0.0
"""Something was written: what follows from it is seen by the next look."""
LOST_S: Final = 0.1
"""Somebody else was faster: twice as long each time in a row, up to IDLE_S."""
SOON_S: Final = 2.0
"""While a rollout is under way: how soon a pod that became ready, or a weight that somebody changed, is seen."""
IDLE_S: Final = 15.0
"""Otherwise: how soon a new version is. The Canary itself is watched."""
_PODS: Final = 100
"""Behind a Service: of so many a look is SOON_S apart from the next, of twice as many twice that, up to IDLE_S."""
_RIVAL: Final = frozenset({http.HTTPStatus.CONFLICT, http.HTTPStatus.UNPROCESSABLE_ENTITY})
"""What the API server says when a ``test`` of a patch does not hold."""


class Source(typing.Protocol):
    """Measures a canary's traffic in a window."""

    async def begin(self, where: place.Place) -> Any:
        """Open a window."""

    async def end(self, where: place.Place, begun: Any, spec: model.Spec) -> model.Observed:
        """Close it. Never raises for what cannot be read: that is a problem of what was observed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all keepers share."""

    api: "client.ApiClient"
    sources: Mapping[model.Provider, Source]
    clock: Callable[[], float]
    """Seconds that only grow."""
    wall_s: Callable[[], float]
    tell: Callable[[events.Event], None]
    counted: metrics.Metrics
    leads: Callable[[], bool]
    """Whether to act: of several processes one does."""
    others: Callable[[], Iterable[reading.Canary]]
    """All that there are."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    key: tuple[str, int, int]
    """Of the status under which it was opened: rollout, step, iterations."""
    due_s: float
    begun: Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What was read in one look."""

    found: reading.Canary
    spec: model.Spec
    where: place.Place
    """The canary's."""
    stable: place.Place
    route: Json | None
    weights: weights.Found


class Keeper:
    """Of one Canary. One task calls ``look``."""

    def __init__(self, world: World, namespace: str, name: str) -> None:
        self._world = world
        self.namespace = namespace
        self.name = name
        self._window: _Window | None = None
        self._lost = 0
        """Writes in a row that came too late."""

    async def look(self) -> float:
        """Do what is due; returns after how many seconds to look again. Raises KubernetesError."""
        world = self._world
        if not world.leads():
            self._window = None
            world.counted.aside(self.namespace, self.name)
            return IDLE_S
        item = await rest.get(world.api, f"{_collection(self.namespace)}/{self.name}")
        if item is None:
            return IDLE_S
        found = reading.canary(item)
        refused = self._refused(found)
        if refused or found.spec is None:
            self._window = None
            return IDLE_S if await self._write(found, None, refused) else self._later_s()
        scene = await self._read(found, found.spec)
        now_s = world.wall_s()
        seen = await self._seen(scene)
        decision = steps.step(found.spec, found.before, seen, now_s=now_s)
        if not await self._write(found, decision.status, found.error):
            return self._later_s()
        for said in decision.said:
            self._tell(found, said)
        return await self._follow(scene, seen, decision.status)

    def _refused(self, found: reading.Canary) -> str:
        if found.spec is None:
            return found.error
        if found.spec.provider not in self._world.sources:
            return f"spec.provider: {found.spec.provider} is not configured here: see --prometheus"
        rival = reading.rival(found, self._world.others())
        return f"Canary {rival} is older and moves the same weights" if rival else ""

    async def _read(self, found: reading.Canary, spec: model.Spec) -> _Scene:
        where, stable = await self._place(spec.canary), await self._place(spec.stable)
        route = await rest.get(self._world.api, weights.path(self.namespace, spec.route))
        weighed = weights.find(route, spec, self.name)
        return _Scene(found=found, spec=spec, where=where, stable=stable, route=route, weights=weighed)

    async def _place(self, name: str) -> place.Place:
        core = f"/api/v1/namespaces/{self.namespace}"
        service = await rest.get(self._world.api, f"{core}/services/{name}")
        selector, problem = place.selector(service, name)
        if problem:
            return place.Place(namespace=self.namespace, service=name, problem=problem)
        items = [each async for each in lists.each(self._world.api, f"{core}/pods", labels=selector)]
        return place.Place(namespace=self.namespace, service=name, pods=place.pods(items))

    async def _seen(self, scene: _Scene) -> model.Seen:
        found, before = scene.found, scene.found.before
        standing = model.Standing.ABSENT if scene.weights.problem else model.Standing.BEHIND
        if before is not None:
            standing = weights.standing(scene.weights, before, found.uid)
        return model.Seen(
            rollout=found.rollout,
            order=found.order,
            revisions=scene.where.revisions,
            ready=not scene.where.unready,
            unready=scene.where.unready,
            stable=scene.stable.revisions,
            stable_empty=scene.stable.empty,
            canary_empty=scene.where.empty,
            taken=weights.taken(scene.weights),
            standing=standing,
            absent=scene.weights.problem,
            check=await self._check(scene, standing),
        )

    async def _check(self, scene: _Scene, standing: model.Standing) -> model.Check | None:
        """Open a window, or judge one that is due."""
        before, spec = scene.found.before, scene.spec
        if before is None or before.phase is not model.Phase.PROGRESSING or standing is not model.Standing.APPLIED:
            self._window = None
            return None
        key = (before.rollout, before.step, before.iterations)
        source, now_s = self._world.sources[spec.provider], self._world.clock()
        if self._window is None or self._window.key != key:
            begun = await source.begin(scene.where)
            self._window = _Window(key=key, due_s=self._world.clock() + spec.interval_s, begun=begun)
            return None
        if now_s < self._window.due_s:
            return None
        return judge.judge(spec, await source.end(scene.where, self._window.begun, spec))

    async def _write(self, found: reading.Canary, decided: model.Status | None, refused: str) -> bool:
        """Write the status, if it is another; False: somebody else was faster."""
        world = self._world
        body = status.wanted(found, decided, refused, now_s=world.wall_s())
        if body != found.status:
            written = await self._patch(f"{status.path(found)}/status", status.patch(found, body))
            if not written:
                return False
        world.counted.stands(self.namespace, self.name, decided or found.before, found.before)
        return True

    async def _follow(self, scene: _Scene, seen: model.Seen, decided: model.Status) -> float:
        """Make the route as the status says, and say when to look again."""
        standing = weights.standing(scene.weights, decided, scene.found.uid)
        if scene.route is not None and steps.writes(decided, standing, seen):
            body = weights.patch(scene.route, scene.weights, decided, name=self.name, uid=scene.found.uid)
            written = await self._patch(weights.path(self.namespace, scene.spec.route), body)
            return AGAIN_S if written else self._later_s()
        if decided != scene.found.before and decided.phase is model.Phase.PROGRESSING:
            return AGAIN_S  # the next window begins now
        soon_s = min(IDLE_S, SOON_S * max(1.0, (len(scene.where.pods) + len(scene.stable.pods)) / _PODS))
        if self._window is not None:
            return min(soon_s, max(0.0, self._window.due_s - self._world.clock()))
        return IDLE_S if decided.phase in {model.Phase.SUCCEEDED, model.Phase.FAILED} else soon_s

    async def _patch(self, path: str, body: list[Json]) -> bool:
        """Send a patch; False: what it was made for is not as it was, or another process acts now."""
        try:
            if not self._world.leads():
                return False
            await rest.patch(self._world.api, path, body, rest.Patch.JSON)
        except kube.KubernetesError as error:
            if error.status not in {*_RIVAL, http.HTTPStatus.NOT_FOUND}:
                raise
            self._lost += 1
            return False
        self._lost = 0
        return True

    def _later_s(self) -> float:
        return min(IDLE_S, LOST_S * 2.0 ** min(self._lost, 10))

    def _tell(self, found: reading.Canary, said: model.Said) -> None:
        log.info(said.news.value, namespace=found.namespace, canary=found.name, note=said.note)
        self._world.counted.news(found.namespace, found.name, said.news)
        about = events.Object(
            kind=model.KIND,
            namespace=found.namespace,
            name=found.name,
            uid=found.uid,
            api_version=f"{names.GROUP}/{model.VERSION}",
        )
        kind = events.Kind.WARNING if said.news.warning else events.Kind.NORMAL
        self._world.tell(
            events.Event(about=about, kind=kind, reason=said.news.value, action="MoveWeights", note=said.note)
        )


def _collection(namespace: str) -> str:
    return f"{model.PATH.removesuffix(model.PLURAL)}namespaces/{namespace}/{model.PLURAL}"
