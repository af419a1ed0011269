"""A lab with the mesh in it, installed by the manifests that a user would apply, and pods that speak every protocol.

Leaves out what is asked of it: ``tests/prove`` and ``tests/functional/injector``.
"""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from comparisons.contenders import mesh as manifests
from tests.scene import agent, clone, lab

COMMAND = clone.ROOT / ".venv/bin/ipseity"
PYTHON = clone.ROOT / ".venv/bin/python"
READY_S = 90.0
Calling = contextlib.AbstractContextManager[subprocess.Popen[str]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A lab whose control plane is ready."""

    lab: lab.Lab

    def kubectl(self, *words: str, given: str = "") -> str:
        """Run kubectl, which must succeed."""
        return self.lab.kubectl(*words, given=given)

    def apply(self, manifest: str) -> None:
        """Apply YAML in which REPOSITORY and PYTHON stand for what this clone has."""
        told = manifest.replace("REPOSITORY", str(clone.ROOT)).replace("PYTHON", str(PYTHON))
        self.kubectl("apply", "-f", "-", given=told)

    def get(self, kind: str, namespace: str, *words: str) -> list[dict[str, Any]]:
        """List objects."""
        return list(json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json", *words))["items"])

    def ready(self, namespace: str, *deployments: str, limit_s: float = READY_S) -> None:
        """Wait until every pod of these Deployments is ready."""
        for name in deployments:
            self.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, f"--timeout={limit_s:.0f}s")

    def pod(self, namespace: str, app: str) -> str:
        """Name one running pod with the label ``app``."""
        found = [each for each in self.get("pods", namespace, "-l", f"app={app}") if _runs(each)]
        return str(found[0]["metadata"]["name"])

    def run(self, namespace: str, pod: str, *words: str, container: str = "app") -> str:
        """Run a command in a container; it must succeed."""
        return lab.succeed(*self.command(namespace, pod, *words, container=container))

    def command(self, namespace: str, pod: str, *words: str, container: str = "app") -> list[str]:
        """Spell a command that runs in a container."""
        enter = [str(COMMAND), "lab", "exec", "--name", self.lab.name, "-n", namespace, "-c", container, pod, "--"]
        return [*enter, *words]

    def call(self, namespace: str, pod: str, *words: str) -> dict[str, Any]:
        """Run ``tests.traffic.caller`` in a pod; gives its result."""
        return dict(json.loads(self.run(namespace, pod, *caller(*words)).splitlines()[-1]))

    @contextlib.contextmanager
    def calling(self, namespace: str, pod: str, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run ``tests.traffic.caller`` meanwhile; read its result with ``result``."""
        command = self.command(namespace, pod, *caller(*words))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def pid(self, pod: dict[str, Any]) -> int:
        """Give a process of a pod, for its network namespace."""
        uid = pod["metadata"]["uid"]
        for path in pathlib.Path("/proc").glob("[0-9]*/cgroup"):
            with contextlib.suppress(OSError):
                if uid in path.read_text() or uid.replace("-", "_") in path.read_text():
                    return int(path.parent.name)
        raise LookupError(f"no process of pod {pod['metadata']['name']}")

    def control_pids(self) -> list[int]:
        """Give the processes of the control plane."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"control-plane" in words and self.belongs(int(path.parent.name)):
                    found.append(int(path.parent.name))
        return found

    def belongs(self, pid: int) -> bool:
        """Tell whether a process is in a pod of this lab."""
        return f"ipseity-{self.lab.name}/" in pathlib.Path(f"/proc/{pid}/cgroup").read_text()


def caller(*words: str) -> list[str]:
    """Spell a call of ``tests.traffic.caller`` as it is in a pod."""
    return ["/usr/bin/env", f"PYTHONPATH={clone.ROOT}", str(PYTHON), "-m", "tests.traffic.caller", *words]


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a call that runs, and give its result."""
    said, _ = process.communicate()
    try:
        return dict(json.loads(said.splitlines()[-1]))
    except (ValueError, IndexError) as error:
        raise RuntimeError(f"a caller said no result:\n{said[-2000:]}") from error


def _runs(pod: dict[str, Any]) -> bool:
    return pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


@contextlib.contextmanager
def up(name: str, *flags: str, environ: dict[str, str] | None = None) -> Iterator[Mesh]:
    """Bring up a lab and the control plane; afterwards all is gone. ``environ``: settings of the control plane."""
    with lab.up(name, *flags) as where:
        mesh = Mesh(lab=where)
        install(mesh, environ or {})
        yield mesh


def install(mesh: Mesh, environ: dict[str, str]) -> None:
    """Apply what a user applies. Images are ignored in a lab, so that commands are those of this clone."""
    for text in manifests.manifests(environ):
        mesh.kubectl("apply", "-f", "-", given=text)
    mesh.ready("ipseity-system", "ipseity-control")


def server(  # what tests vary
    namespace: str,
    name: str,
    *,
    replicas: int = 1,
    inject: bool = True,
    annotations: dict[str, str] | None = None,
    node: str = "",
    extra: str = "",
    words: str = "",
) -> str:
    """Write a Deployment of ``polyglot`` with a service account and a Service, all called ``name``.

    ``words``: further ones of its command, each after a comma.
    """
    said = {**({"ipseity.io/inject": "enabled"} if inject else {}), **(annotations or {})}
    where = f"\n      nodeName: {node}" if node else ""
    return f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{app: {name}}}
  ports:
    - {{name: http, port: 8080}}
    - {{name: grpc, port: 9090}}
    - {{name: bytes, port: 7000}}
    - {{name: mysql, port: 3306}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {json.dumps(said)}
    spec:
      serviceAccountName: {name}{where}
      terminationGracePeriodSeconds: 20
      containers:
        - name: app
          image: tests/polyglot
          command: [PYTHON, -m, tests.traffic.polyglot, --name, $(NAME){words}]
          env:
            - {{name: PYTHONPATH, value: REPOSITORY}}
            - {{name: NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
          readinessProbe: {{httpGet: {{path: /healthy, port: 8080}}, periodSeconds: 1}}
{extra}"""


def namespace(name: str, **annotations: str) -> str:
    """Write a namespace."""
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, annotations: {json.dumps(annotations)}}}\n---\n"


def policy(namespace: str, app: str, sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Give a policy that admits ``sources`` to the pods with this label ``app``; it is called like them."""
    return {
        "apiVersion": "ipseity.io/v1alpha1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": app, "namespace": namespace},
        "spec": {
            "targetRefs": [{"kind": "Pod", "selector": {"matchLabels": {"app": app}}}],
            "action": "ALLOW",
            "rules": [{"sources": sources}],
        },
    }


def accounts(namespace: str, *names: str) -> list[dict[str, Any]]:
    """Give sources: service accounts of a namespace."""
    return [{"type": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}} for name in names]


def wait_until(holds: Any, limit_s: float, what: str) -> float:
    """Wait for something that has no event; returns how long it took."""
    return agent.wait_until(holds, limit_s, what)


def now_s() -> float:
    """Give the wall clock, to compare with what a pod says."""
    return time.time()  # noqa: TID251  # two processes of one machine compare it
