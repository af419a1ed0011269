"""The Dockerfile makes images that work: agent <= 400 MB, mesh <= 350 MB, flows seen and mTLS proven inside them.

There is no container engine here: `tests/scene/image.py` carries out the Dockerfile below a root that debootstrap made.
Then the shipped manifests are applied to a lab whose containers have these roots (runc, read-only, with the manifest's
own users and capabilities), and a meshed client calls a meshed server. Leaves out seccomp and AppArmor, which an engine
gives to runc.
"""

import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from tests.prove import mesh_works, verdict
from tests.scene import chart, image, lab, mesh

NAME = "image"
LIMITS_MB = {"agent": 400, "mesh": 350}
SYSTEM = "ipseity-system"
METRICS_PORT = 9478
SEEN_S = 60.0


def prove() -> verdict.Verdict:
    """Build, measure, run."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("root file systems are made with chroot and mounts", hint="run it as root")
    missing = [name for name in ("debootstrap", "runc") if not shutil.which(name)]
    if missing:
        raise verdict.CannotMeasure(f"not installed: {', '.join(missing)}", hint="deploy/debian/ensure image")
    with tempfile.TemporaryDirectory(prefix="ipseity-image-", dir="/var/tmp") as folder:
        images = image.build(pathlib.Path(folder), tuple(LIMITS_MB))
        return judge(images, pathlib.Path(folder))


def judge(images: dict[str, image.Image], folder: pathlib.Path) -> verdict.Verdict:
    """Measure and run what was built."""
    sizes = {name: image.megabytes(made.root) for name, made in images.items()}
    lines = [f"{name}: {sizes[name]:.0f} MB of {LIMITS_MB[name]}: {contents(images[name].root)}" for name in sizes]
    checks = {f"{name} is within {limit} MB": sizes[name] <= limit for name, limit in LIMITS_MB.items()}
    checks |= {f"{name} has no file that changes rights": not set_ids(made.root) for name, made in images.items()}
    checks |= run(images, folder, lines)
    wrong = [what for what, holds in checks.items() if not holds]
    lines += [f"DOES NOT HOLD: {what}" for what in wrong]
    return verdict.Verdict(
        holds=not wrong,
        figure=f"{len(checks) - len(wrong)} of {len(checks)} checks; "
        + ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()),
        lines=tuple(lines),
    )


def contents(root: pathlib.Path) -> str:
    """Say what the megabytes are."""
    packages = next((root / "usr/lib/ipseity/lib").glob("python3*")) / "site-packages"
    libraries = (root / "usr/lib").glob("*-linux-gnu/*.so*")
    compiler = [path for path in libraries if path.name.startswith(("libLLVM", "libclang", "libicu", "libz3"))]
    sizes = {
        "compiler (LLVM, Clang, ICU, Z3)": sum(path.stat().st_size for path in compiler if not path.is_symlink())
        + total(root / "usr/lib/llvm-14"),
        "Envoy": sum(path.stat().st_size for path in packages.glob("envoy/**/*envoy") if path.is_file()),
    }
    sizes["NumPy"] = total(packages / "numpy") + total(packages / "numpy.libs")
    sizes["other Python packages"] = total(packages) - sizes["NumPy"] - sizes["Envoy"]
    sizes["Debian and Python"] = total(root) - sum(sizes.values())
    return ", ".join(f"{name} {size / 1e6:.0f}" for name, size in sizes.items() if size > 5e5)


def total(path: pathlib.Path) -> int:
    """Add up the files below a directory; 0 if there is none."""
    return int(image.megabytes(path) * 1e6) if path.exists() else 0


def set_ids(root: pathlib.Path) -> list[pathlib.Path]:
    """List files with a set-user-id or set-group-id bit."""
    return [
        path for path in root.rglob("*") if not path.is_symlink() and path.is_file() and path.stat().st_mode & 0o6000
    ]


def run(images: dict[str, image.Image], folder: pathlib.Path, lines: list[str]) -> dict[str, bool]:
    """Apply the shipped manifests with these roots; returns what was checked."""
    with lab.up(NAME, "--nodes", "1") as up:
        where = mesh.Mesh(lab=up)
        (node,) = up.nodes
        for each in manifests(images, folder, str(up.cgroup_root(node))):
            where.kubectl("apply", "--server-side", "-f", "-", given=json.dumps(each))
        rolled_out(where, "deployment/ipseity-control")
        rolled_out(where, "daemonset/ipseity-agent")
        text = mesh.namespace("shop") + mesh.server("shop", "client") + "---" + mesh.server("shop", "web")
        where.apply(text)
        where.ready("shop", "client", "web")
        found = where.call("shop", where.pod("shop", "client"), "every", "web")
        checks = {f"in the mesh image: {what}": holds for what, holds in mesh_works.judge(found, "client").items()}
        checks |= agent_checks(where, lines)
        return checks | uninstalled(where, lines)


def uninstalled(where: mesh.Mesh, lines: list[str]) -> dict[str, bool]:
    """Take it out again, with the pods that it meshed still running."""
    pods = {app: where.pod("shop", app) for app in ("client", "web")}
    said = lab.succeed(
        str(mesh.COMMAND), "uninstall", "--purge", "--timeout", "60", "--kubeconfig", str(where.lab.kubeconfig)
    )
    lines.append(f"uninstall: {said.splitlines()[-1]}")
    left = [
        name
        for kind in (
            "mutatingwebhookconfigurations",
            "customresourcedefinitions",
            "clusterroles",
            "clusterrolebindings",
        )
        for name in where.kubectl("get", kind, "-o", "name").split()
        if "ipseity" in name
    ]
    left += [name for name in where.kubectl("get", "namespaces", "-o", "name").split() if name.endswith(SYSTEM)]
    lines += [f"left behind: {name}" for name in left]
    after = where.call("shop", pods["client"], "every", "web")
    checks = {f"after uninstall: {what}": holds for what, holds in mesh_works.judge(after, "client").items()}
    where.apply(mesh.server("shop", "late", annotations={"ipseity.io/inject": "enabled"}))
    where.ready("shop", "late", limit_s=SEEN_S)
    return checks | {
        "after uninstall: nothing is left in the cluster": not left,
        "after uninstall: nothing is pinned on the node": not pathlib.Path("/sys/fs/bpf/ipseity", NAME).exists(),
        "after uninstall: an annotated pod does not wait": True,
    }


def rolled_out(where: mesh.Mesh, what: str) -> None:
    """Wait; if it does not come to that, what its containers said is the error."""
    try:
        where.kubectl("rollout", "status", what, "-n", SYSTEM, "--timeout=60s")
    except RuntimeError as error:
        said = where.kubectl("logs", "-n", SYSTEM, what, "--all-containers", "--tail=20")
        pods = where.kubectl("get", "pods", "-n", SYSTEM, "-o", "jsonpath={.items[*].status.containerStatuses}")
        raise RuntimeError(f"{error}\n{pods}\n{said}") from error


def agent_checks(where: mesh.Mesh, lines: list[str]) -> dict[str, bool]:
    """Ask the agent, as Prometheus and as a person would."""
    pod = where.pod(SYSTEM, "ipseity-agent")
    ours = [pathlib.Path("/usr/lib/ipseity/bin/python"), "-c", _FETCH]
    words = [str(word) for word in ours]
    seen: list[dict[str, Any]] = []

    def flows() -> bool:
        said = where.run(SYSTEM, pod, "ipseity", "observe", "-o", "jsonl", "-n", "shop", container="agent")
        seen[:] = [json.loads(line) for line in said.splitlines()]
        return any(named(each, "client", "web") for each in seen)

    mesh.wait_until(flows, SEEN_S, "the agent names a flow from client to web")
    secured = [each for each in seen if each.get("tls") == "mtls"]
    answers = dict(
        json.loads(where.run(SYSTEM, pod, *words, path, container="metrics"))
        for path in ("/metrics", "/healthz", "/readyz", "/livez", "/flows", "/debug")
    )
    statuses = {path: status for path, (status, _) in answers.items()}
    lines.append(f"agent: {len(seen)} flows of the namespace, {len(secured)} of them between proven ends; {statuses}")
    lines.append(
        f"agent: {where.run(SYSTEM, pod, '/usr/lib/ipseity/bin/python', '-c', _MEMORY, container='agent').strip()}"
    )
    return {
        "in the agent image: flows are named": bool(seen),
        "in the agent image: some were proven by both ends": bool(secured),
        "the relay has metrics": "ipseity_flow_sent_bytes_total{" in answers["/metrics"][1],
        "the relay has probes": {statuses[path] for path in ("/healthz", "/readyz", "/livez")} == {200},
        "the relay has nothing else": {statuses[path] for path in ("/flows", "/debug")} == {404},
    }


_FETCH = f"""
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", {METRICS_PORT})
connection.request("GET", sys.argv[1])
answer = connection.getresponse()
print(json.dumps([sys.argv[1], [answer.status, answer.read().decode()]]))
"""
_MEMORY = """
import pathlib
for status in pathlib.Path("/proc").glob("[0-9]*/status"):
    line = status.with_name("cmdline").read_bytes().split(b"\\0")
    if line[1:2] and line[1].endswith(b"/ipseity") and line[2:4] == [b"agent", b"run"]:
        said = dict(each.split(":", 1) for each in status.read_text().splitlines() if ":" in each)
        print("resident", said["VmRSS"].strip(), "at most", said["VmHWM"].strip())
"""


def named(flow: dict[str, Any], source: str, destination: str) -> bool:
    """Tell whether both ends of a flow are these workloads."""
    ends = [[each["name"] for each in flow.get(end, {}).get("workloads", ())] for end in ("source", "destination")]
    return ends == [[source], [destination]]


def manifests(images: dict[str, image.Image], folder: pathlib.Path, cgroup_root: str) -> Iterator[chart.Json]:
    """Give what is shipped, with roots for images, and what keeps two agents of one machine apart."""
    values = {
        "namespace": {"create": True},
        "managedBy": "ipseity",
        "agent": {"settings": {"instance": NAME, "cgroup_root": cgroup_root}},
    }
    for each in [*chart.definitions(), *chart.rendered(values)]:
        yield json.loads(
            with_roots(json.dumps(each), images).replace('"/run/ipseity", "type"', f'"{folder}/run", "type"')
        )


def with_roots(text: str, images: dict[str, image.Image]) -> str:
    """Replace the names of images by where their roots are."""
    version = chart.loaded().metadata["appVersion"]
    for name, made in images.items():
        text = text.replace(f"ipseity/{name}:{version}", str(made.root))
    return text
