"""``make test-cluster`` holds against a lab whose roles bind, says what is wrong where something is, leaves nothing.

Images are root file systems that the Dockerfile makes (``tests/scene/image.py``): a lab runs an image that is a path.
Three runs, as a user types them: a whole one; one that is interrupted once workloads run; one in which sidecars are
told of a control plane that is not there. Leaves out what no lab has: Pod Security, a network plug-in, a registry.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from tests.prove import verdict
from tests.scene import clone, image, lab

NAME = "cluster"
AIM_S = 240.0
"""Told, and not judged: most of it is pods that start and end, on a machine that may be busy."""
BROKEN = "identity_address=nowhere.invalid:1"
UNTIL = "injected pods get a certificate, and become ready"
LIMIT_S = 600.0
LEFT = (
    ("namespaces", "ipseity"),
    ("clusterroles", "ipseity"),
    ("clusterrolebindings", "ipseity"),
    ("customresourcedefinitions", "ipseity.io"),
    ("mutatingwebhookconfigurations", "ipseity"),
    ("configmaps", "ipseity-trust-bundle"),
)


def prove() -> verdict.Verdict:
    """Build the images, bring a lab up, run the suite."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("a lab and root file systems need root", hint="run it as root")
    missing = [name for name in ("debootstrap", "runc") if not shutil.which(name)]
    if missing:
        raise verdict.CannotMeasure(f"not installed: {', '.join(missing)}", hint="deploy/debian/ensure image")
    if pathlib.Path("/run/ipseity/agent.sock").exists():
        raise verdict.CannotMeasure("an agent runs on this machine, where the lab's would", hint="stop it")
    with tempfile.TemporaryDirectory(prefix="ipseity-cluster-", dir="/var/tmp") as folder:
        images = image.build(pathlib.Path(folder), ("agent", "mesh"))
        with lab.up(NAME, "--nodes", "1", "--rbac") as up:
            return judge(up, {name: str(made.root) for name, made in images.items()})


def judge(up: lab.Lab, images: dict[str, str]) -> verdict.Verdict:
    """Run it three times."""
    before = left(up)
    began_s = time.monotonic()
    whole = ran(up, images)
    took_s = time.monotonic() - began_s
    clean = left(up) == before
    cut = interrupted(up, images)
    clean_cut = left(up) == before
    broken = ran(up, images, MESH_SETTINGS=BROKEN, TIMEOUT="30")
    named = [each for each in broken["checks"] if each["outcome"] == "FAIL"]
    holding = [each for each in whole["checks"] if each["outcome"] == "ok"]
    checks = {
        "every check holds": whole["code"] == 0 and len(holding) == len(whole["checks"]) > 0,
        "it leaves nothing": clean,
        "interrupted, it says so": cut == 130,
        "interrupted, it leaves nothing": clean_cut,
        "with a sidecar that cannot start, it fails there, and says why": broken["code"] == 1
        and [each["key"] for each in named] == ["identity/workloads"]
        and "ipseity-proxy" in named[0]["text"],
        "and leaves nothing": left(up) == before,
    }
    lines = [
        f"{each['outcome']:4} {each['key']:24} {each['took_s']:5.1f} s  {each['text']}" for each in whole["checks"]
    ]
    lines += [f"broken on purpose: {each['key']}: {line}" for each in named for line in each["text"].splitlines()]
    lines += [f"DOES NOT HOLD: {name}" for name, holds in checks.items() if not holds]
    return verdict.Verdict(
        holds=all(checks.values()),
        figure=f"{len(holding)} of {len(whole['checks'])} checks hold on a lab with RBAC, in {took_s:.0f} s "
        f"(aim {AIM_S:.0f} s); {sum(checks.values())} of {len(checks)} about the suite itself",
        lines=tuple(lines),
    )


def command(up: lab.Lab, images: dict[str, str], **more: str) -> list[str]:
    """Spell what a user types."""
    (node,) = up.nodes
    settings = (
        f"instance={NAME} cgroup_root={up.cgroup_root(node)}"  # this machine is the lab's node, and more than that
    )
    said = {
        "KUBECONFIG": str(up.kubeconfig),
        "IMAGE_AGENT": images["agent"],
        "IMAGE_MESH": images["mesh"],
        "AGENT_SETTINGS": settings,
        **more,
    }
    return ["make", "--silent", "test-cluster", *(f"{name}={value}" for name, value in said.items())]


def ran(up: lab.Lab, images: dict[str, str], **more: str) -> dict[str, Any]:
    """Run it to its end; gives its JSON and exit code. ``make`` says 2 where a command said 1."""
    words = command(up, images, OUTPUT="json", **more)
    done = subprocess.run(words, cwd=clone.ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise RuntimeError(f"the suite ended with {done.returncode}: {done.stderr[-2000:]}") from error
    return {**found, "code": 0 if done.returncode == 0 else 1 if "Error 1" in done.stderr else done.returncode}


def interrupted(up: lab.Lab, images: dict[str, str]) -> int:
    """Run it until workloads are there, then press Ctrl-C; gives its exit code."""
    with running(command(up, images)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if UNTIL in line:
                os.killpg(process.pid, signal.SIGINT)
                break
        said, _ = process.communicate(timeout=LIMIT_S)
    return 130 if "Error 130" in said or process.returncode == 130 else process.returncode


@contextlib.contextmanager
def running(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a group of its own, as a terminal does."""
    with subprocess.Popen(
        words, cwd=clone.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def left(up: lab.Lab) -> list[str]:
    """List what is ours in the cluster and on its node."""
    found = [
        f"{kind} {name}"
        for kind, word in LEFT
        for name in up.kubectl("get", kind, "-A", "-o", "name").split()
        if word in name
    ]
    labelled = up.kubectl("get", "namespaces", "-l", "ipseity.io/injects", "-o", "name").split()
    places = (pathlib.Path("/sys/fs/bpf/ipseity", NAME), pathlib.Path("/run/ipseity/state"))
    return sorted([*found, *labelled, *(str(path) for path in places if path.exists())])
