"""What a drive plays with: a server on one node, callers on the other, an intent, and the truth that they write.

Here so that a drive reads as what happens in it. One scene is one scenario against one contender; ``number`` and
``chance`` are those of the run.
"""

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Mapping, Sequence

from comparisons import match, stage, turns
from comparisons.contenders import model

HTTP, LINES, UDP = 8080, 7000, 5353
PORTS = (
    {"name": "http", "containerPort": HTTP},
    {"name": "tcp-lines", "containerPort": LINES},
    {"name": "udp", "containerPort": UDP, "protocol": "UDP"},
)
SETTLED_S = 1.5
"""After an intent was written and before anything is judged: all contenders have heard of it long since."""
TRY_S = 0.8
"""For how long callers try where nothing else says. Arbitrary: 32 attempts or more."""
ENDLESS_S = 120
"""Longer than anybody waits for a first answer."""
ARRIVED_S = 0.1
"""For what is on its way when its sender has given up. Arbitrary: a hundred times what the way takes."""


class VoidError(Exception):
    """This run did not set up what it is about, through nobody's fault: it is played again."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Scene:
    """See the module."""

    where: stage.Stage
    contender: model.Contender
    namespace: str
    chance: random.Random
    parameters: Mapping[str, float]
    number: int = 0
    server_ip: str = ""
    intent: model.Intent | None = None
    plan: dict[str, float | int | str] = dataclasses.field(default_factory=dict)
    floor: turns.Floor = dataclasses.field(default_factory=turns.Floor)
    """Where other scenes are played too."""
    pods: dict[str, str] = dataclasses.field(default_factory=dict)
    """Who called from which pod, if that has another name."""
    meanwhile: contextlib.AsyncExitStack = dataclasses.field(default_factory=contextlib.AsyncExitStack)
    """What is in force for as long as the scene is."""
    unheard: tuple[str, ...] = ()
    """Programs whose word does not count: what has passed is said by somebody else."""

    @property
    def near(self) -> str:
        """The callers' node."""
        return self.where.nodes[0]

    @property
    def far(self) -> str:
        """The server's node."""
        return self.where.nodes[1]

    def alone(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Play this part of a run while nobody else plays."""
        return self.floor.alone()

    def draw(self, name: str, low: int, high: int) -> int:
        """Let the seed decide a number, and keep it in the run's plan."""
        self.plan[name] = self.chance.randint(low, high)
        return int(self.plan[name])

    async def account(self, role: str) -> None:
        """Have a service account."""
        metadata = {"name": role, "namespace": self.namespace}
        await self.where.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})

    async def serve(
        self,
        name: str = "web",
        *,
        annotations: Mapping[str, str] | None = None,
        spec: model.Json | None = None,
        meshed: bool = True,
    ) -> model.Json:
        """Have a server on the far node, and remember its address."""
        await self.account("web")
        words = ["serve", "--http", str(HTTP), "--lines", str(LINES), "--udp", str(UDP)]
        said = {**(self.contender.annotations() if meshed else {}), **(annotations or {})}
        body = stage.actor(
            self.namespace,
            name,
            "web",
            words,
            node=self.far,
            stage=self.where,
            annotations=said,
            ports=PORTS,
            spec=spec,
        )
        await self.where.create(self.contender.admitted(body))
        await self.where.wrote(name, "ready")
        pod = await self.where.ready(self.namespace, name)
        self.server_ip = pod["status"]["podIP"]
        return pod

    async def intend(  # noqa: PLR0913  # what an intent may say
        self,
        *callers: str,
        app: str = "web",
        port: int = HTTP,
        udp: bool = False,
        method: str = "",
        from_ranges: Sequence[str] = (),
        to_ranges: Sequence[str] | None = None,
    ) -> None:
        """Say who may call; again, with others, to change it. Returns when the API server has it."""
        intent = model.Intent(
            namespace=self.namespace,
            app=app,
            callers=callers,
            port=port,
            udp=udp,
            method=method,
            from_ranges=from_ranges,
            to_ranges=to_ranges,
        )
        for body in self.contender.objects(intent):
            if self.intent is None:
                await self.where.create(body)
            else:
                name = body["metadata"]["name"]
                await self.where.patch(body["kind"], self.namespace, name, {"spec": body["spec"]})
        if self.intent is None:
            await asyncio.sleep(SETTLED_S)
        self.intent = intent

    async def post(
        self,
        role: str,
        *,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        meshed: bool = True,
    ) -> None:
        """Have a pod on the near node that others call from, run after run; where its making is not the point.

        ``meshed``: as the contender wants its pods; ``annotations`` are beside that.
        """
        await self._pod(role, name or role, ["obey"], labels, annotations, meshed=meshed)

    async def call(  # noqa: PLR0913  # what scenarios vary
        self,
        role: str,
        what: str = "call",
        *flags: str,
        name: str = "",
        at: str = "",
        port: int = HTTP,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        meshed: bool = True,
        address: str = "",
        held: bool = False,
        endless: bool = False,
    ) -> str:
        """Start a caller on the near node; gives its name. ``role`` is its account, and its label unless said.

        ``at``: in that pod, which was posted; else in one of its own (see ``post``). ``held``: it begins at ``go``.
        ``endless``: it asks one at a time until it is answered, and then as it is told until ``stop``.
        """
        named = name or f"{role}-{self.number}"
        words = [what, f"{address or self.server_ip}:{port}", *flags]
        words += ["--wait", f"go-{named}"] if held else []
        words += ["--seconds", str(ENDLESS_S), "--until", f"stop-{named}", "--first", "answered"] if endless else []
        if at:
            self.pods[named] = at
            self.where.order(at, named, words)
        else:
            await self._pod(role, named, words, labels, annotations, meshed=meshed)
        return named

    async def _pod(  # noqa: PLR0913  # what callers vary
        self,
        role: str,
        name: str,
        words: Sequence[str],
        labels: Mapping[str, str] | None,
        annotations: Mapping[str, str] | None,
        *,
        meshed: bool,
    ) -> None:
        await self.account(role)
        body = stage.actor(
            self.namespace,
            name,
            role,
            words,
            node=self.near,
            stage=self.where,
            annotations={**(self.contender.annotations() if meshed else {}), **(annotations or {})},
            labels=labels,
        )
        await self.where.create(self.contender.admitted(body))

    async def known(self, *names: str) -> None:
        """Wait until callers could begin, and until everybody has heard of them: how soon that is, is not the point."""
        for name in names:
            await self.where.wrote(name, "started")
        await asyncio.sleep(SETTLED_S)

    async def go(self, *names: str) -> int:
        """Have callers begin that were held, once all of them can; gives the time of the first attempt of all."""
        for name in names:
            await self.where.wrote(name, "started")
        for name in names:
            (self.where.truth() / f"go-{name}").touch()
        return min([await self.where.wrote(name, "sent") for name in names])

    def stop(self, *names: str) -> None:
        """Have callers end that are endless."""
        for name in names:
            (self.where.truth() / f"stop-{name}").touch()

    async def done(self, *names: str) -> None:
        """Wait until all attempts of callers have ended, and a moment more: what was given up may still arrive."""
        for name in names:
            await self.where.wrote(name, "done")
        await asyncio.sleep(ARRIVED_S)

    async def dismiss(self, *names: str) -> None:
        """End pods, and wait until their addresses are free."""
        pods = [await self.where.pod(self.namespace, name) for name in names]
        for name in names:
            await self.where.delete("Pod", self.namespace, name)
        for pod in pods:
            if pod is not None:
                await self.where.gone(pod)

    def found(self) -> list[match.Attempt]:
        """Read what the programs wrote."""
        return match.attempts(self.where.lines(but=self.unheard))


async def pause(seconds: float) -> None:
    """Let time pass that is part of the story."""
    await asyncio.sleep(seconds)
