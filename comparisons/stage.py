"""A lab that a comparison plays in: objects in, pods up, addresses free again, and what the pods' programs wrote.

Here because scenarios and contenders both need it, and neither should know of paths and processes. Speaks to the API
server as any client does; the mesh and the agent are programs of a command line. Leaves out what is played.
"""

import asyncio
import contextlib
import dataclasses
import pathlib
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from comparisons.lab import cgroups, cluster, lab, layout
from ipseity import kube

Json = dict[str, Any]
ACTOR: Final = pathlib.Path(__file__).parent / "scenarios/actor.py"
PYTHON: Final = "/usr/bin/python3"
BIN: Final = pathlib.Path(sys.executable).parent
PATIENCE_S: Final = 60.0
"""For a pod to be ready. Arbitrary: it takes 3 s with a sidecar."""
POLL_S: Final = 0.01
LABS: Final = layout.ROOT
_PATHS: Final = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Pod": "/api/v1/namespaces/{}/pods",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "AuthorizationPolicy": "/apis/ipseity.io/v1alpha1/namespaces/{}/authorizationpolicies",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
}
_NOT_THERE = 404
_THERE_ALREADY = 409


class StageError(Exception):
    """Something that a scenario needs did not come about. ``hint`` is one line: what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A lab that is up, and where its pods write."""

    names: layout.Lab
    nodes: tuple[str, ...]
    api: cluster.Cluster
    top: pathlib.Path

    @property
    def kubeconfig(self) -> pathlib.Path:
        """For programs that are started."""
        return self.names.kubeconfig

    async def create(self, body: Json) -> Json:
        """Create an object; one of that name that is there already is left as it is."""
        namespace = body["metadata"].get("namespace", "")
        try:
            return await self.api.send("POST", _PATHS[body["kind"]].format(namespace), body)
        except kube.KubernetesError as error:
            if error.status != _THERE_ALREADY:
                raise
            return body

    async def patch(self, kind: str, namespace: str, name: str, body: Json) -> None:
        """Merge into an object."""
        path = f"{_PATHS[kind].format(namespace)}/{name}"
        await self.api.send("PATCH", path, body, content_type=cluster.MERGE)

    async def delete(self, kind: str, namespace: str, name: str, *, grace_s: int = 0) -> None:
        """Delete an object, if it is there."""
        try:
            path = f"{_PATHS[kind].format(namespace)}/{name}"
            await self.api.send("DELETE", path, {"gracePeriodSeconds": grace_s, "propagationPolicy": "Background"})
        except kube.KubernetesError as error:
            if error.status != _NOT_THERE:
                raise

    async def pod(self, namespace: str, name: str) -> Json | None:
        """Read a pod."""
        return await self.api.read(f"{_PATHS['Pod'].format(namespace)}/{name}")

    async def addresses(self, node: str) -> list[str]:
        """List a node's own IPv4 addresses."""
        found = await self.api.read(f"/api/v1/nodes/{node}") or {"status": {}}
        said = [it["address"] for it in found["status"].get("addresses") or () if it["type"] == "InternalIP"]
        return [it for it in said if ":" not in it]

    async def ready(self, namespace: str, name: str) -> Json:
        """Wait until a pod is ready."""
        return await self._until(namespace, name, _ready, "ready")

    async def addressed(self, namespace: str, name: str) -> Json:
        """Wait until a pod has its address."""
        return await self._until(namespace, name, lambda pod: bool(pod["status"].get("podIP")), "given an address")

    async def over(self, namespace: str, name: str) -> Json:
        """Wait until a pod has run to its end."""
        return await self._until(namespace, name, lambda pod: pod["status"].get("phase") == "Succeeded", "completed")

    async def _until(self, namespace: str, name: str, holds: Any, what: str) -> Json:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            pod = await self.pod(namespace, name)
            if pod is not None and holds(pod):
                return pod
            if time.monotonic() > deadline_s:
                status = "it is gone" if pod is None else pod.get("status", {}).get("phase", "nothing")
                raise StageError(
                    f"pod {namespace}/{name} was not {what} within {PATIENCE_S:.0f} s: {status}",
                    hint=f"see {self.names.log('*').parent}",
                )
            await asyncio.sleep(POLL_S)

    async def gone(self, pod: Json) -> None:
        """Wait until nothing of a pod is left, so that its address is free."""
        where = self.names.node(pod["spec"]["nodeName"])
        left = where.pods / pod["metadata"]["uid"]
        deadline_s = time.monotonic() + PATIENCE_S
        while left.exists() or where.pod_netns(pod["metadata"]["uid"]).exists():
            if time.monotonic() > deadline_s:
                raise StageError(f"pod {pod['metadata']['name']} does not go", hint=f"see {where.logs}")
            await asyncio.sleep(POLL_S)

    def cpu_s(self) -> float:
        """Tell how much processor time the lab has taken until now, with all that has ended in it."""
        text = (cgroups.unified() / self.names.cgroup.lstrip("/") / "cpu.stat").read_text()
        return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / 1e6

    def truth(self) -> pathlib.Path:
        """Where the programs of the pods write, a file each."""
        return self.top / "truth"

    def order(self, pod: str, who: str, words: Sequence[str]) -> None:
        """Have a pod's program carry out a command as somebody."""
        hidden = self.truth() / f"new@{pod}@{who}"  # whoever sees the order reads all of it
        hidden.write_text("\n".join(words))
        hidden.rename(self.truth() / f"order@{pod}@{who}")

    def forget(self, *endings: str) -> None:
        """Remove what programs wrote whose name ends so."""
        for path in self.truth().iterdir():
            if path.name.endswith(endings):
                path.unlink()

    def lane(self, number: int) -> "Stage":
        """Give two of the nodes, and a place of their own to write."""
        top = self.top / f"lane-{number}"
        (top / "truth").mkdir(parents=True, exist_ok=True)
        return dataclasses.replace(self, nodes=self.nodes[2 * number : 2 * number + 2], top=top)

    def lines(self, *, but: Sequence[str] = ()) -> list[str]:
        """Read all that they wrote, but those."""
        paths = [path for path in sorted(self.truth().iterdir()) if path.name not in but]
        return [line for path in paths for line in path.read_text().splitlines()]

    async def wrote(self, who: str, word: str, *, limit_s: float = PATIENCE_S) -> int:
        """Wait until a program has written a line of this kind; gives its time."""
        path, deadline_s = self.truth() / who, time.monotonic() + limit_s
        while True:
            if path.exists():
                for line in path.read_text().splitlines():
                    at_ns, _, rest = line.partition(" ")
                    if rest.startswith(f"{word} "):
                        return int(at_ns)
            if time.monotonic() > deadline_s:
                raise StageError(f"{who} did not say {word!r} within {limit_s:.0f} s")
            await asyncio.sleep(POLL_S)


def _ready(pod: Json) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(it["type"] == "Ready" and it["status"] == "True" for it in conditions)


def actor(  # noqa: PLR0913  # what scenarios vary
    namespace: str,
    name: str,
    role: str,
    words: Sequence[str],
    *,
    node: str,
    stage: Stage,
    annotations: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    ports: Sequence[Json] = (),
    spec: Json | None = None,
) -> Json:
    """Write a pod with one program in it; ``role`` is its service account and its label ``app``."""
    what, *rest = words
    container: Json = {
        "name": "app",
        "image": "comparisons/actor",
        "command": [PYTHON, "-I", "-S", str(ACTOR), what, f"/truth/{name}", *rest],
        "env": [{"name": "WHO", "value": name}],
        "volumeMounts": [{"name": "truth", "mountPath": "/truth"}],
    }
    if ports:
        container["ports"] = list(ports)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels if labels is not None else {"app": role}),
            "annotations": dict(annotations),
        },
        "spec": {
            "serviceAccountName": role,
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "truth", "hostPath": {"path": str(stage.truth())}}],
            **(spec or {}),
        },
    }


@contextlib.asynccontextmanager
async def beside(where: Stage, netns: pathlib.Path, name: str, *words: str) -> AsyncIterator[str]:
    """Run the pods' program outside of any pod, in a network namespace, for a while; gives its name."""
    what, *rest = words
    command_ = ["nsenter", f"--net={netns}", PYTHON, "-I", "-S", str(ACTOR), what, str(where.truth() / name), *rest]
    process = await asyncio.create_subprocess_exec(*command_, env={"WHO": name}, start_new_session=True)
    cgroup = f"{where.names.cgroup}/{where.top.name}-{name}.service"  # so that whoever sweeps the lab finds it
    with contextlib.suppress(ProcessLookupError):  # it has ended: seen below
        cgroups.adopt(cgroup, process.pid)
    saying = asyncio.ensure_future(where.wrote(name, "ready" if what in {"serve", "read"} else "started"))
    ending = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait((saying, ending), return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            raise StageError(f"{name} ended before it had begun, with {process.returncode}")
        saying.result()
        yield name
    finally:
        saying.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await ending
        await asyncio.to_thread(cgroups.end, cgroup)


@contextlib.asynccontextmanager
async def address(netns: pathlib.Path, link: str, it: str) -> AsyncIterator[None]:
    """Have an address more in a network namespace, for a while."""
    words = ("nsenter", f"--net={netns}", "ip", "address")
    await command(*words, "add", f"{it}/32", "dev", link)
    try:
        yield
    finally:
        await command(*words, "del", f"{it}/32", "dev", link)


@contextlib.asynccontextmanager
async def up(name: str, *, nodes: int) -> AsyncIterator[Stage]:
    """Bring a lab up; afterwards it is gone, whatever happened."""
    names = layout.Lab(name=name)
    top = names.state / "comparison"  # in the lab's own memory: no disk that is full, and gone with it
    try:
        state = await asyncio.to_thread(lab.up, names, lab.Wishes(nodes=nodes))
        (top / "truth").mkdir(parents=True)
        api = await kube.connect(str(names.kubeconfig))
        try:
            there = tuple(node.name for node in state.plan.nodes)
            yield Stage(names=names, nodes=there, api=cluster.Cluster(api, "comparison"), top=top)
        finally:
            await api.close()
    finally:
        await asyncio.to_thread(lab.down, names)


async def command(*words: str, given: str = "", cwd: pathlib.Path | None = None) -> str:
    """Run a program that must succeed; if it does not, what it said is the error."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        start_new_session=True,
    )
    said, complained = await process.communicate(given.encode())
    if process.returncode != 0:
        last = (complained.decode(errors="replace").strip() or said.decode(errors="replace").strip()).splitlines()
        raise StageError(f"{' '.join(words[:3])}: {last[-1] if last else 'it says nothing'}")
    return said.decode()


async def inside(node: layout.Node, *words: str, given: str = "") -> str:
    """Run a program in a node's network namespace."""
    return await command("nsenter", f"--net={node.netns}", *words, given=given)


def now_ns() -> int:
    """Give the clock that the pods' programs write by."""
    return time.monotonic_ns()
