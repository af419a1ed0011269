"""Two contenders at once: what one lets through the other may still refuse."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence

from comparisons import match, stage
from comparisons.contenders import mesh, model


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """See the module."""

    first: model.Contender
    second: model.Contender
    name: str = "both"
    title: str = "Both together"
    lanes: int = 5
    what: str = "NetworkPolicy and the mesh: a caller passes if its address and its certificate are admitted."

    @contextlib.asynccontextmanager
    async def install(self, where: stage.Stage) -> AsyncIterator[None]:
        """One, then the other."""
        async with self.first.install(where), self.second.install(where):
            yield

    def annotations(self) -> Mapping[str, str]:
        """Give what either needs."""
        return {**self.first.annotations(), **self.second.annotations()}

    def admitted(self, pod: model.Json) -> model.Json:
        """Have both make something of it."""
        return self.second.admitted(self.first.admitted(pod))

    def objects(self, intent: model.Intent) -> Sequence[model.Json]:
        """Say it to both. Who may call few must be let through to the control plane, or its proxy never starts."""
        said = (*self.first.objects(intent), *self.second.objects(intent))
        return said if intent.to_ranges is None else (*said, to_control_plane(intent))

    @contextlib.asynccontextmanager
    async def partition(self, where: stage.Stage, node: str) -> AsyncIterator[None]:
        """Cut both."""
        async with self.first.partition(where, node), self.second.partition(where, node):
            yield

    @contextlib.asynccontextmanager
    async def away(self, where: stage.Stage) -> AsyncIterator[None]:
        """Have both away."""
        async with self.first.away(where), self.second.away(where):
            yield

    def loot(self, where: stage.Stage, pod: model.Json) -> model.Loot | None:
        """Give what either has."""
        return self.first.loot(where, pod) or self.second.loot(where, pod)

    def believes(self, where: stage.Stage, node: str) -> Sequence[match.Belief]:
        """Whatever either believes; a certificate is stronger, and is looked at first."""
        return (*self.first.believes(where, node), *self.second.believes(where, node))


def to_control_plane(intent: model.Intent) -> model.Json:
    """Make the NetworkPolicy that meshed pods need where what they call is restricted (docs/security.md)."""
    there = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": mesh.NAMESPACE}}}
    ports = [{"port": port, "protocol": "TCP"} for port in (8444, 8445)]  # certificates, configuration
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{intent.app}-to-control-plane", "namespace": intent.namespace},
        "spec": {
            "podSelector": {"matchLabels": {"app": intent.app}},
            "policyTypes": ["Egress"],
            "egress": [{"to": [there], "ports": ports}],
        },
    }
