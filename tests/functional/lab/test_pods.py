"""Pods on a lab's node: what runs, in what, and what is told of it. Leaves out Services and crashes."""

import asyncio
import pathlib
import time
from typing import Any

from comparisons.lab import cgroups, lab, layout, mounts
from tests.functional.lab import conftest

SELF = "import os;print(open('/proc/self/cgroup').read());print(os.getpid());print(os.environ['POD_IP'])"
WRITTEN = pathlib.Path("/written-by-a-pod")
USER = ["1234", "55 77", "0000000000000000", "touch: cannot touch '/x': Read-only file system", "ok"]
POD_IP = {"env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}


async def test_short_pod(api: conftest.Api, state: lab.State) -> None:
    """A pod that lives for an instant has run in its own cgroup, namespace and address, and leaves only its log."""
    made = await api.pod("short", "python3", "-c", SELF, restartPolicy="Never", container=POD_IP)
    over = await api.phase("short", "Succeeded")
    uid, identity = made["metadata"]["uid"], conftest.main(over["status"])["containerID"].removeprefix("runc://")
    words = await api.log("short")
    path = f"/ipseity-{state.names.name}/node-a/kubepods/besteffort/pod{uid}/{identity}"
    assert f"0::{path}\n" in words
    assert f"\n1\n{over['status']['podIP']}\n" in words
    assert not (cgroups.unified() / path.lstrip("/")).parent.exists()
    assert not state.names.node("node-a").pod_netns(uid).exists()
    assert [ip["ip"] for ip in over["status"]["podIPs"]][1].startswith("fd69:")


async def test_address_is_reused_at_once(api: conftest.Api) -> None:
    """The next pod gets the address of the last one that ended, which still claims it."""
    await api.pod("first", "true", restartPolicy="Never")
    first = await api.phase("first", "Succeeded")
    await api.pod("second", "true", restartPolicy="Never")
    second = await api.phase("second", "Succeeded")
    assert first["status"]["podIP"] == second["status"]["podIP"]


async def test_pod_waits_for_an_address(api: conftest.Api) -> None:
    """A /29 holds five pods: the sixth starts when one ends, and can be deleted while it waits."""
    for number in range(5):
        await api.pod(f"full-{number}", "sleep", "100")
    for number in range(5):
        await api.phase(f"full-{number}", "Running")
    await api.pod("sixth", "sleep", "100")
    await api.pod("seventh", "sleep", "100")
    end_s = time.monotonic() + conftest.PATIENCE_S
    while not any(reason == "FailedCreatePodSandBox" for reason, _ in await api.events("seventh")):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)
    await api.delete("seventh", gracePeriodSeconds=1)
    await api.delete("full-3", gracePeriodSeconds=0)
    running = await api.phase("sixth", "Running")
    assert running["status"]["podIP"]


async def test_exit_codes_and_words(api: conftest.Api) -> None:
    """A container's exit status and last words are in the pod's status; a signal is 128 + its number."""
    await api.pod("fails", "sh", "-c", "echo -n why > /dev/termination-log; exit 3", restartPolicy="Never")
    ended = conftest.main((await api.phase("fails", "Failed"))["status"])["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "why")
    await api.pod("signal", "python3", "-c", "import ctypes; ctypes.string_at(0)", restartPolicy="Never")
    assert conftest.main((await api.phase("signal", "Failed"))["status"])["state"]["terminated"]["exitCode"] == 139
    await api.pod("absent", "no-such-program", restartPolicy="Never")
    ended = conftest.main((await api.phase("absent", "Failed"))["status"])["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "no-such-program" in ended["message"]


async def test_init_containers_and_sidecars(api: conftest.Api) -> None:
    """In order; the sidecar lives until the main container has ended, and the pod is over although it would go on."""
    shared = {"volumeMounts": [{"name": "work", "mountPath": "/work-here"}]}
    steps = [
        {"name": "one", "image": "none", "command": ["sh", "-c", "echo one >> /work-here/steps"], **shared},
        {
            "name": "side",
            "image": "none",
            "restartPolicy": "Always",
            "command": [
                "sh",
                "-c",
                "trap 'echo bye; exit 0' TERM; echo side >> /work-here/steps; while :; do sleep 0.05; done",
            ],
            "startupProbe": {"exec": {"command": ["grep", "side", "/work-here/steps"]}, "periodSeconds": 1},
            **shared,
        },
        {"name": "two", "image": "none", "command": ["sh", "-c", "echo two >> /work-here/steps"], **shared},
    ]
    volumes = [{"name": "work", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    script = "cat /work-here/steps; df -k /work-here | tail -1"
    await api.pod(
        "ordered", "sh", "-c", script, restartPolicy="Never", initContainers=steps, volumes=volumes, container=shared
    )
    over = await api.phase("ordered", "Succeeded")
    assert (await api.log("ordered")).split()[:5] == ["one", "side", "two", "tmpfs", "1024"]
    ended = {it["name"]: it["state"]["terminated"]["exitCode"] for it in over["status"]["initContainerStatuses"]}
    assert ended == {"one": 0, "side": 0, "two": 0}
    assert await api.log("ordered", "side") == "bye\n"


async def test_restart_and_previous_log(api: conftest.Api) -> None:
    """A container that fails is started again at once, then with a growing delay; the log of the last run stays."""
    await api.pod("again", "sh", "-c", "echo run; exit 1")
    found = await api.until("again", lambda status: conftest.main(status).get("restartCount") == 1)
    waiting = await api.until("again", lambda status: "waiting" in conftest.main(status).get("state", {}))
    assert conftest.main(waiting["status"])["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert conftest.main(waiting["status"])["lastState"]["terminated"]["exitCode"] == 1
    assert await api.log("again", previous="true") == "run\n"
    assert found["status"]["phase"] == "Running"


async def test_grace_period_and_hooks(api: conftest.Api) -> None:
    """PreStop first, then SIGTERM, then a second later SIGKILL: and no process is left."""
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo stopping > /proc/1/fd/1"]}}}
    deaf = "trap 'echo term' TERM; echo up; while :; do sleep 0.05; done"
    await api.pod("deaf", "sh", "-c", deaf, container={"lifecycle": hook})
    made = await api.phase("deaf", "Running")
    directory = next(cgroups.unified().rglob(f"pod{made['metadata']['uid']}"))
    begin_s = time.monotonic()
    await api.delete("deaf")
    assert 1.0 <= time.monotonic() - begin_s < 5.0
    assert not directory.exists()


async def test_forced_deletion_does_not_wait(api: conftest.Api) -> None:
    """Without grace the pod is killed at once, whatever it was told before."""
    await api.pod(
        "stubborn", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done", terminationGracePeriodSeconds=60
    )
    made = await api.phase("stubborn", "Running")
    await api.delete("stubborn", gracePeriodSeconds=0)
    end_s = time.monotonic() + 5
    while any(cgroups.unified().rglob(f"pod{made['metadata']['uid']}")):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)


async def test_probes(api: conftest.Api) -> None:
    """Readiness follows its probe; a liveness probe that fails has the container started again."""
    ready = {"readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}}
    await api.pod("late", "sh", "-c", "sleep 1.5; touch /tmp/ready; sleep 100", container=ready)
    running = await api.phase("late", "Running")
    assert conftest.conditions(running["status"])["Ready"] == "False"
    await api.ready("late")
    server = ("python3", "-m", "http.server", "8080")
    probe = {"httpGet": {"port": "web", "path": "/bin"}, "periodSeconds": 1}
    ports = [{"name": "web", "containerPort": 8080}]
    await api.pod("served", *server, container={"readinessProbe": probe, "ports": ports})
    await api.ready("served")
    dead = {"livenessProbe": {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1}}
    await api.pod("dead", "sleep", "100", container=dead)
    await api.until("dead", lambda status: conftest.main(status).get("restartCount", 0) >= 1)


async def test_probe_that_hangs(api: conftest.Api) -> None:
    """A command that does not answer in time is ended, not left behind."""
    hangs = {"exec": {"command": ["sleep", "333"]}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1}
    made = await api.pod("hangs", "sleep", "100", container={"readinessProbe": hangs})
    end_s = time.monotonic() + 20
    while sum(reason == "Unhealthy" for reason, _ in await api.events("hangs")) < 2:  # the API is asked
        assert time.monotonic() < end_s
        await asyncio.sleep(0.1)
    directory = next(cgroups.unified().rglob(f"pod{made['metadata']['uid']}"))
    assert len([pid for path in directory.rglob("cgroup.procs") for pid in path.read_text().split()]) <= 2


async def test_security_context(api: conftest.Api) -> None:
    """User, groups, capabilities, read-only root; the root of the host never changes."""
    script = (
        "exec 2>&1; id -u; id -G; grep CapEff /proc/self/status | cut -f2; "
        "touch /x && echo wrote; touch /data/x && echo ok"
    )
    container = {
        "securityContext": {"runAsUser": 1234, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod: dict[str, Any] = {
        "securityContext": {"fsGroup": 77, "runAsGroup": 55},
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    await api.pod("user", "sh", "-c", script, restartPolicy="Never", container=container, **pod)
    await api.phase("user", "Succeeded")
    assert (await api.log("user")).splitlines() == USER
    await api.pod("writes", "sh", "-c", "touch /written-by-a-pod && ls /written-by-a-pod", restartPolicy="Never")
    await api.phase("writes", "Succeeded")
    assert not await asyncio.to_thread(WRITTEN.exists)


def waiting_for(status: dict[str, Any]) -> str:
    """Why the only container waits, if it does."""
    return str(conftest.main(status).get("state", {}).get("waiting", {}).get("reason", ""))


async def test_configuration(api: conftest.Api) -> None:
    """Variables and files from ConfigMaps, Secrets and the pod; a container waits for what is not there yet."""
    env = [
        {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "k"}}},
        {"name": "L", "value": "<$(K)>"},
    ]
    volumes = [
        {
            "name": "all",
            "projected": {
                "sources": [
                    {"secret": {"name": "keys"}},
                    {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                ]
            },
        }
    ]
    container = {"env": env, "volumeMounts": [{"name": "all", "mountPath": "/etc/all"}]}
    await api.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"key": "s3"}}, "secrets"
    )
    script = "echo $K $L $(cat /etc/all/key) $(ls /etc/all); sleep 100"
    await api.pod("configured", "sh", "-c", script, container=container, volumes=volumes)
    await api.until("configured", lambda status: waiting_for(status) == "CreateContainerConfigError")
    await api.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"k": "v"}}, "configmaps"
    )
    await api.phase("configured", "Running")
    end_s = time.monotonic() + 5
    while await api.log("configured") != "v <v> s3 key labels\n":
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)


async def test_shared_processes_and_host_network(api: conftest.Api, state: lab.State) -> None:
    """Containers see one another's processes if the pod says so; a hostNetwork pod is in the node's namespace."""
    other = {"name": "other", "image": "none", "command": ["sleep", "77"]}
    spec = {"shareProcessNamespace": True, "restartPolicy": "Never"}
    own = {
        "name": "main",
        "image": "none",
        "command": ["sh", "-c", "until pgrep -x sleep -a | grep 77; do sleep 0.05; done"],
    }
    whole = {"nodeName": "node-a", "terminationGracePeriodSeconds": 0, "containers": [own, other], **spec}
    await api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shared"}, "spec": whole})
    await api.until("shared", lambda status: "terminated" in conftest.main(status).get("state", {}))
    await api.pod("hosted", "sh", "-c", "ip -br -4 addr show eth0", restartPolicy="Never", hostNetwork=True)
    over = await api.phase("hosted", "Succeeded")
    assert state.plan.nodes[0].ips[0] in await api.log("hosted")
    assert over["status"]["podIP"] == state.plan.nodes[0].ips[0]


async def test_deadline(api: conftest.Api) -> None:
    """A pod that is active for longer than it may is ended and has failed."""
    await api.pod("slow", "sleep", "100", activeDeadlineSeconds=1, terminationGracePeriodSeconds=0)
    over = await api.phase("slow", "Failed")
    assert over["status"]["reason"] == "DeadlineExceeded"


async def test_many_short_pods(api: conftest.Api, names: layout.Lab) -> None:
    """Sixty pods through five addresses: all succeed, none is left, and nothing of them is."""
    for number in range(60):
        await api.pod(f"many-{number}", "true", restartPolicy="Never")
    for number in range(60):
        await api.phase(f"many-{number}", "Succeeded", 60)
        await api.delete(f"many-{number}")
    node = names.node("node-a")
    assert list((cgroups.unified() / node.cgroup.lstrip("/")).rglob("podmany*")) == []
    assert len(mounts.below(node.state)) < 20
