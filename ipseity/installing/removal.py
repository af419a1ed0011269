"""Taking Ipseity out of a cluster: in which order, so that no pod waits for what is gone, and nothing stays behind.

The control plane puts its webhook configuration back when it is missing, and a webhook that nobody answers holds back
every pod that asked for a sidecar. So first it loses the right to, then the configuration goes. Pods that got a sidecar
until then are given time to get their certificate, which nobody would give them later. Then the control plane goes; and
once its pods have ended the configuration goes once more, since one that still ran may have been let write it.
Programs in the kernel outlive the agent: a DaemonSet that runs ``ipseity agent cleanup`` once on each node ends them.
Proxies in running pods go on until their certificates end; their workloads are to be restarted. Leaves out requests
(``cluster``).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

from ipseity import kube
from ipseity.installing import cluster, manifests, trouble

Json = dict[str, Any]

WEBHOOK: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/ipseity"
MAY_WRITE_IT: Final = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/ipseity-control-webhook"
MAY_ALL: Final = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/ipseity-control"
"""Of an installation that has the other one not yet, this one lets the configuration be written."""
_NEWCOMERS_S: Final = 30.0
"""For pods that got a sidecar in the last moments: a start with its certificate takes some seconds."""
BUNDLE: Final = "ipseity-trust-bundle"
INJECTS: Final = "ipseity.io/injects"
MESHED: Final = "ipseity.io/meshed=true"
AGENT: Final = f"/apis/apps/v1/namespaces/{manifests.NAMESPACE}/daemonsets/ipseity-agent"
CLEANUP: Final = "ipseity-cleanup"
ROLLOUT: Final = tuple(
    {"kind": kind, "metadata": {"name": "ipseity-rollout", **namespace}}
    for kind, namespace in (
        ("Deployment", {"namespace": manifests.NAMESPACE}),
        ("ClusterRoleBinding", {}),
        ("ClusterRole", {}),
    )
)
"""What only the chart installs and no manifest of ours names; the rest of it goes with the namespace, or with Helm."""
EVENTS: Final = f"/api/v1/namespaces/{manifests.NAMESPACE}/events"
PODS: Final = f"/api/v1/namespaces/{manifests.NAMESPACE}/pods"
_CHECKPOINT: Final = "/run/ipseity/state"
"""What the agent leaves on its node beside pins: who has talked to whom."""
_FOR_EVER: Final = "import signal; signal.pause()"
"""SIGTERM ends it: PID 1 of a container needs a handler, which Python's default is not."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One ``ipseity uninstall``."""

    where: cluster.Cluster
    tell: Callable[[str], None]
    limit_s: float

    async def everything(self, *, purge: bool) -> None:
        """Do it. What is not there is no error, so that whoever was interrupted begins again."""
        if await self._gone("clusterrolebinding/ipseity-control-webhook", MAY_WRITE_IT):
            await self._gone("mutatingwebhookconfiguration/ipseity", WEBHOOK)
            await self._newcomers()
        await self._gone("clusterrolebinding/ipseity-control", MAY_ALL)
        for each in ROLLOUT:
            await self._gone(manifests.shown(each), manifests.path(each))
        await self._gone("mutatingwebhookconfiguration/ipseity", WEBHOOK)
        for each in reversed(manifests.of("mesh")):
            await self._gone(manifests.shown(each), manifests.path(each))
        await self._control_plane_ends()
        await self._agent()
        for each in reversed(manifests.of("agent")):
            await self._gone(manifests.shown(each), manifests.path(each))
        await self._namespaces()
        if purge:
            for each in manifests.definitions():
                await self._definition(manifests.shown(each), manifests.path(each))
        else:
            self.tell("kept: the kinds AuthorizationPolicy and Canary, and all such objects; --purge removes them")
        await self._own_namespace()
        await self._say_who_is_left()

    async def _gone(self, shown: str, path: str) -> bool:
        """Remove an object; False: it was not there."""
        said = await self.where.delete(path)
        if said == "was not there":
            return False
        self.tell(f"{shown} {said}")
        return True

    async def _newcomers(self) -> None:
        """Wait a while for pods with a sidecar that have not come up. Those that do not are named, and left."""
        if self.where.dry_run:
            return
        waiting: list[str] = []

        async def none() -> bool:
            pods = await self.where.items(kube.PODS.path, labelSelector=MESHED, fieldSelector="status.phase=Pending")
            waiting[:] = [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in pods]
            return not waiting

        try:
            await self.where.until(none, min(_NEWCOMERS_S, self.limit_s), "all pods are up", "")
        except kube.KubernetesError:
            if not waiting:
                raise
            shown = ", ".join(sorted(waiting)[:3])
            self.tell(f"{len(waiting)} pods with a sidecar do not come up ({shown}): delete them when this is done")

    async def _control_plane_ends(self) -> None:
        """Wait for its pods, and take away what one of them has put back: nobody would answer there."""
        if self.where.dry_run:
            return
        try:
            await self.where.until(
                self._none("app=ipseity-control"),
                self.limit_s,
                "the control plane ends",
                _HINT_NODES,
                self._why("app=ipseity-control"),
            )
        finally:  # also if it hangs: no pod is to wait for it
            await self._gone("mutatingwebhookconfiguration/ipseity", WEBHOOK)

    async def _agent(self) -> None:
        """End the agents, then what they have left in the kernels of their nodes."""
        found = await self.where.get(AGENT)
        if found is None:
            return
        await self._gone("daemonset/ipseity-agent", AGENT)
        if self.where.dry_run:
            self.tell("the kernels of all nodes would be cleaned")
            return
        label = "app=ipseity-agent"
        await self.where.until(self._none(label), self.limit_s, "the agents end", _HINT_NODES, self._why(label))
        each = cleanup(found)
        await self.where.apply(each, force=True)

        async def done() -> bool:
            return cluster.ready(await self.where.get(manifests.path(each)))

        label = f"app={CLEANUP}"
        try:
            await self.where.until(done, self.limit_s, "every node is cleaned", _HINT_NODES, self._why(label))
            self.tell("the kernels of all nodes are cleaned")
        finally:
            await self.where.delete(manifests.path(each))
        await self.where.until(self._none(label), self.limit_s, "the cleaning pods end", _HINT_NODES, self._why(label))

    def _none(self, selector: str) -> Callable[[], Any]:
        async def holds() -> bool:
            return not await self.where.items(PODS, labelSelector=selector)

        return holds

    def _why(self, selector: str) -> cluster.Why:
        async def why() -> list[str]:
            pods = await self.where.items(PODS, labelSelector=selector)
            return trouble.of_pods(pods, await self.where.items(EVENTS))

        return why

    async def _namespaces(self) -> None:
        """Take away what the control plane has put into the namespaces of others."""
        bundles = await self.where.items("/api/v1/configmaps", fieldSelector=f"metadata.name={BUNDLE}")
        for each in bundles:
            await self.where.delete(f"/api/v1/namespaces/{each['metadata']['namespace']}/configmaps/{BUNDLE}")
        labelled = await self.where.items("/api/v1/namespaces", labelSelector=INJECTS)
        for each in labelled:
            change = {"metadata": {"labels": {INJECTS: None}}}
            await self.where.merge(f"/api/v1/namespaces/{each['metadata']['name']}", change)
        if bundles or labelled:
            self.tell(f"{len(bundles)} trust bundles and {len(labelled)} labels of namespaces removed")

    async def _definition(self, shown: str, path: str) -> None:
        """Remove a kind, and wait: its objects go first, and who installs again meanwhile would be confused."""
        await self._gone(shown, path)

        async def why() -> list[str]:
            return trouble.of_definition(await self.where.get(path))

        if not self.where.dry_run:
            await self.where.until(self._absent(path), self.limit_s, f"{shown} is gone", _HINT_DEFINITION, why)

    async def _own_namespace(self) -> None:
        """Remove it if it is ours alone; with it go the keys of the mesh."""
        path = f"/api/v1/namespaces/{manifests.NAMESPACE}"
        found = await self.where.get(path)
        if found is None:
            return
        labels: Mapping[str, str] = found["metadata"].get("labels") or {}
        if labels.get(manifests.MANAGED_BY) != manifests.MANAGER:
            self.tell(
                f"kept: namespace/{manifests.NAMESPACE}, which somebody else has made, with the mesh's Secrets in it"
            )
            return
        await self._gone(f"namespace/{manifests.NAMESPACE}", path)
        if not self.where.dry_run:

            async def why() -> list[str]:
                return trouble.of_namespace(await self.where.get(path))

            await self.where.until(self._absent(path), self.limit_s, "the namespace is gone", _HINT_NAMESPACE, why)

    def _absent(self, path: str) -> Callable[[], Any]:
        async def holds() -> bool:
            return await self.where.get(path) is None

        return holds

    async def _say_who_is_left(self) -> None:
        pods = await self.where.items(kube.PODS.path, labelSelector=MESHED)
        if pods:
            spaces = ", ".join(sorted({each["metadata"]["namespace"] for each in pods}))
            self.tell(f"{len(pods)} pods have a sidecar yet, in {spaces}: restart their workloads within a day")


_HINT_NODES: Final = f"see: kubectl -n {manifests.NAMESPACE} get pods -o wide; then run it again"
_HINT_DEFINITION: Final = "see: kubectl get authorizationpolicies -A, for finalizers of somebody's; then run it again"
_HINT_NAMESPACE: Final = f"see: kubectl get namespace {manifests.NAMESPACE} -o yaml; then run it again"


def cleanup(agent: Json) -> Json:
    """Make the DaemonSet that cleans, from the agent's own as it is in the cluster: same image, nodes and rights."""
    spec = agent["spec"]["template"]["spec"]
    (own,) = (each for each in spec["containers"] if each["name"] == "agent")
    places = {each["name"]: each for each in spec["volumes"]}
    settings = [each for each in own.get("env", ()) if each["name"] in {"IPSEITY_INSTANCE", "IPSEITY_BPFFS"}]
    rights = {
        "runAsUser": 0,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    run = {"image": own["image"], "imagePullPolicy": own.get("imagePullPolicy", "IfNotPresent")}
    clean = {
        **run,
        "name": "clean",
        "command": ["ipseity", "agent", "cleanup"],
        "env": [*settings, {"name": "IPSEITY_CHECKPOINT", "value": _CHECKPOINT}],
        "securityContext": {**rights, "appArmorProfile": {"type": "Unconfined"}},
        "volumeMounts": [{"name": "bpffs", "mountPath": "/sys/fs/bpf"}, {"name": "run", "mountPath": "/run/ipseity"}],
    }
    wait = {**run, "name": "done", "command": ["/usr/lib/ipseity/bin/python", "-I", "-S", "-c", _FOR_EVER]}
    kept = ("nodeSelector", "tolerations", "imagePullSecrets", "priorityClassName")
    labels = {"app": CLEANUP, manifests.MANAGED_BY: manifests.MANAGER}
    pod = {
        **{key: spec[key] for key in kept if spec.get(key)},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "initContainers": [clean],
        "containers": [{**wait, "securityContext": {**rights, "runAsUser": 65534, "runAsNonRoot": True}}],
        "volumes": [places["bpffs"], places["run"]],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": CLEANUP, "namespace": manifests.NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app": CLEANUP}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
