"""NetworkPolicy by address, done as well as the best plugins do it: ``comparisons.ip_policy``, an agent on each node.

Two of them: with the gate and the eviction of connections that the best have, and without, as many ship it.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar

from comparisons import match, stage
from comparisons.contenders import model
from comparisons.ip_policy import contender


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """See the module."""

    name: str = "ip"
    title: str = "IP policy"
    what: str = (
        "NetworkPolicy to nftables sets on each node. A new pod's traffic waits for its rules (gate), and tracked "
        "connections that are no longer allowed are ended (strict)."
    )
    lanes: int = 6
    careful: bool = True
    agents: ClassVar[dict[tuple[str, str], contender.Agent]] = {}
    """By lab and node: those that run."""

    @contextlib.asynccontextmanager
    async def install(self, where: stage.Stage) -> AsyncIterator[None]:
        """Run an agent for each node."""
        async with contextlib.AsyncExitStack() as stack:
            for node in where.nodes:
                await stack.enter_async_context(self._agent(where, node))
            yield

    @contextlib.asynccontextmanager
    async def _agent(self, where: stage.Stage, node: str) -> AsyncIterator[None]:
        starting = contender.start(where.names.node(node), where.kubeconfig, strict=self.careful, gate=self.careful)
        self.agents[where.names.name, node] = await asyncio.to_thread(starting.__enter__)
        try:
            yield
        finally:
            del self.agents[where.names.name, node]
            await asyncio.to_thread(starting.__exit__, None, None, None)

    def annotations(self) -> Mapping[str, str]:
        """Pods need nothing."""
        return {}

    def admitted(self, pod: model.Json) -> model.Json:
        """Leave it as it is."""
        return pod

    def objects(self, intent: model.Intent) -> Sequence[model.Json]:
        """Admit pods by label. A method cannot be said."""
        ports = [{"port": intent.port, "protocol": "UDP" if intent.udp else "TCP"}]
        if intent.to_ranges is not None:
            rules = [{"to": [{"ipBlock": {"cidr": it}} for it in intent.to_ranges], "ports": ports}]
            said: model.Json = {"policyTypes": ["Egress"], "egress": rules if intent.to_ranges else []}
        else:
            pods = [{"podSelector": {"matchLabels": {"app": name}}} for name in intent.callers]
            blocks = [{"ipBlock": {"cidr": it}} for it in intent.from_ranges]
            said = {"policyTypes": ["Ingress"], "ingress": [{"from": blocks or pods, "ports": ports}]}
        return (
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": intent.app, "namespace": intent.namespace},
                "spec": {"podSelector": {"matchLabels": {"app": intent.app}}, **said},
            },
        )

    @contextlib.asynccontextmanager
    async def partition(self, where: stage.Stage, node: str) -> AsyncIterator[None]:
        """Freeze the node's agent: it hears nothing, and its rules stay."""
        agent = self.agents[where.names.name, node]
        agent.freeze()
        try:
            yield
        finally:
            agent.thaw()

    @contextlib.asynccontextmanager
    async def away(self, where: stage.Stage) -> AsyncIterator[None]:
        """Policy takes no part in making a pod."""
        del where
        yield

    def loot(self, where: stage.Stage, pod: model.Json) -> model.Loot | None:
        """Have nothing to steal."""
        del where, pod
        return None

    def believes(self, where: stage.Stage, node: str) -> Sequence[match.Belief]:
        """Read from its log whose pod it took an address for, from when to when."""
        for each in where.nodes:
            self.agents[where.names.name, each].alive()
        return beliefs(self.agents[where.names.name, node].delays())


def beliefs(changes: Sequence[contender.Delay]) -> list[match.Belief]:
    """Make of what a node has enforced whose pod it took an address for. Pods are told apart by their uid."""
    found: list[match.Belief] = []
    current: dict[str, tuple[contender.Delay, int]] = {}
    for change in changes:
        if change.kind != "pod":
            continue
        for address, (owner, since_ns) in list(current.items()):
            has = not change.gone and address in change.addresses
            if has is not (owner.uid == change.uid):  # its owner has it no more, or somebody else has it
                until_ns = change.enforced_mono_ns
                found.append(match.Belief(address=address, name=owner.name, from_ns=since_ns, until_ns=until_ns))
                del current[address]
        if not change.gone:
            for address in change.addresses:
                current.setdefault(address, (change, change.enforced_mono_ns))
    return [
        *found,
        *(
            match.Belief(address=address, name=owner.name, from_ns=since_ns, until_ns=match.FOREVER_NS)
            for address, (owner, since_ns) in current.items()
        ),
    ]


WITHOUT_CARE = Address(
    name="ip-lax",
    title="IP policy, no gate, no eviction",
    what="The same, as many plugins ship it: a new pod is open until its rules are there, and connections live on.",
    careful=False,
)
