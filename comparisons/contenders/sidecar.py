"""A proxy in every pod with a certificate of its own: Ipseity's mesh. A caller is whom its certificate proves."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence

from comparisons import match, stage
from comparisons.contenders import mesh, model

TABLE = "ipseity-comparison-cut"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """See the module."""

    name: str = "sidecar"
    lanes: int = 5
    title: str = "Per-pod mTLS sidecar"
    what: str = (
        "Ipseity's mesh: an Envoy in each pod, a key that never leaves the pod, mTLS, policy by service account."
    )

    @contextlib.asynccontextmanager
    async def install(self, where: stage.Stage) -> AsyncIterator[None]:
        """Apply the manifests; the lab's end removes them."""
        await mesh.install(where)
        yield

    def annotations(self) -> Mapping[str, str]:
        """Ask for a sidecar."""
        return {"ipseity.io/inject": "enabled"}

    def admitted(self, pod: model.Json) -> model.Json:
        """Leave it as it is: the mesh has a webhook."""
        return pod

    def objects(self, intent: model.Intent) -> Sequence[model.Json]:
        """Admit service accounts. A method cannot be said: the policy is about connections."""
        if intent.to_ranges is not None:
            return ()  # this mesh has no policy for where its pods call
        sources = [{"type": "ServiceAccount", "serviceAccount": {"name": name}} for name in intent.callers]
        return (
            {
                "apiVersion": "ipseity.io/v1alpha1",
                "kind": "AuthorizationPolicy",
                "metadata": {"name": intent.app, "namespace": intent.namespace},
                "spec": {
                    "targetRefs": [{"kind": "Pod", "selector": {"matchLabels": {"app": intent.app}}}],
                    "action": "ALLOW",
                    "rules": [{"sources": sources, "networkAttributes": {"ports": [intent.port]}}],
                },
            },
        )

    @contextlib.asynccontextmanager
    async def partition(self, where: stage.Stage, node: str) -> AsyncIterator[None]:
        """Drop what passes between the node's proxies and the control plane, which others go on asking.

        A replica of it may be on this very node.
        """
        control = f"{{ {', '.join(await mesh.control_addresses(where))} }}"
        found = await where.api.read(f"/api/v1/nodes/{node}") or {"spec": {}}
        pods, here = found["spec"]["podCIDR"], where.names.node(node)
        rules = f"""table ip {TABLE} {{
            chain cut {{
                type filter hook prerouting priority -400
                ip saddr {pods} ip saddr != {control} ip daddr {control} drop
                ip daddr {pods} ip daddr != {control} ip saddr {control} drop
            }}
        }}"""
        await stage.inside(here, "nft", "-f", "-", given=rules)
        try:
            yield
        finally:
            with contextlib.suppress(stage.StageError):
                await stage.inside(here, "nft", "delete", "table", "ip", TABLE)

    @contextlib.asynccontextmanager
    async def away(self, where: stage.Stage) -> AsyncIterator[None]:
        """Cut the control plane off, with its webhook, and have the API server make pods that it cannot ask about."""
        async with mesh.cut_off(where):
            await mesh.fail(where, "Ignore")
            try:
                yield
            finally:
                await mesh.fail(where, "Fail")

    def loot(self, where: stage.Stage, pod: model.Json) -> model.Loot | None:
        """Copy the key out of the memory that only the pod's proxy mounts."""
        there = where.names.node(pod["spec"]["nodeName"]).pods / pod["metadata"]["uid"]
        keys, chains = (sorted(there.glob(f"volumes/*/{what}-*.pem")) for what in ("key", "cert"))
        return mesh.loot(pod, keys[-1].read_bytes() + chains[-1].read_bytes())

    def believes(self, where: stage.Stage, node: str) -> Sequence[match.Belief]:
        """Go by no addresses."""
        del where, node
        return ()
