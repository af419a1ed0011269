"""All of ours is replaced and taken out under load: nothing uncounted, no failed request, no NACK, no pod that waits.

The manifests that are shipped, in a lab: two control planes and the agent. A rolling update of the agent while 1,000
connections come and go; one of the control plane, and then ``kill -9`` of the one that leads, while 40 requests a
second flow between meshed pods and new meshed pods are made all the time; ``ipseity uninstall`` under the same load.
"""

import json
import os
import pathlib
import signal
import tempfile
import time
from collections.abc import Iterator

from injector.kube import leases
from tests.prove import _rolling, verdict
from tests.scene import chart, lab, likeness, mesh

NAME = "rolling"
RATE = 40
UPDATE_S, KILL_S, UNINSTALL_S = 60, 40, 60
"""How long the load flows, with room for what is done under it."""
AGENT_S = 25
TAKEOVER_S = leases.Timing().lease_s + 2 * leases.Timing().retry_s
"""The Lease's time after the last renewal was seen, which is a round of looking after it was made."""
AT_ONCE_S = 3.0
"""For the API server to make a pod: a webhook that nobody answers takes 5 s. A busy machine takes one for kubectl."""
SETTLED_S = 20.0
SYSTEM = _rolling.SYSTEM


def prove() -> verdict.Verdict:
    """Replace everything, one part after the other."""
    with (
        tempfile.TemporaryDirectory(prefix="ipseity-rolling-", dir="/run") as folder,
        likeness.root() as root,
        lab.up(NAME, "--nodes", "1") as up,
    ):
        where = mesh.Mesh(lab=up)
        (node,) = up.nodes
        for each in manifests(str(root), folder, str(up.cgroup_root(node))):
            where.kubectl("apply", "--server-side", "-f", "-", given=json.dumps(each))
        for what in ("deployment/ipseity-control", "daemonset/ipseity-agent"):
            rolled_out(where, what)
        text = mesh.namespace("plain") + mesh.namespace("shop") + mesh.server("shop", "client")
        where.apply(text + "---" + mesh.server("shop", "web", replicas=2))
        where.ready("shop", "client", "web")
        parts = (agent(where), control_plane(where), leader(where), uninstall(where))
    return verdict.Verdict(
        holds=all(each.holds for each in parts),
        figure="; ".join(each.figure for each in parts),
        lines=tuple(line for each in parts for line in each.lines),
    )


def manifests(root: str, folder: str, cgroup_root: str) -> Iterator[chart.Json]:
    """Give what is shipped, with a root for images, and what keeps two agents of one machine apart."""
    settings = {"instance": NAME, "cgroup_root": cgroup_root}
    values = {"namespace": {"create": True}, "managedBy": "ipseity", "agent": {"settings": settings}}
    version = chart.loaded().metadata["appVersion"]
    for each in [*chart.definitions(), *chart.rendered(values)]:
        text = json.dumps(each)
        for name in ("agent", "mesh"):
            text = text.replace(f"ipseity/{name}:{version}", root)
        yield json.loads(text.replace('"/run/ipseity", "type"', f'"{folder}/run", "type"'))


def rolled_out(where: mesh.Mesh, what: str) -> float:
    """Wait for a roll-out; gives how long it took. What its containers said is the error."""
    started_s = time.monotonic()
    try:
        where.kubectl("rollout", "status", what, "-n", SYSTEM, "--timeout=90s")
    except RuntimeError as error:
        told = where.kubectl("logs", "-n", SYSTEM, what, "--all-containers", "--tail=20")
        raise RuntimeError(f"{error}\n{told}") from error
    return time.monotonic() - started_s


def agent(where: mesh.Mesh) -> verdict.Verdict:
    """Replace the agent while connections come, go and stay."""
    where.kubectl(
        "apply", "-f", "-", given=_rolling.talker("callee", ["tests.traffic.server", str(_rolling.PORT), "--tell"])
    )
    where.kubectl("wait", "-n", "plain", "pod/callee", "--for=condition=Ready", "--timeout=30s")
    address = where.get("pods", "plain")[0]["status"]["podIP"]
    before = where.pod(SYSTEM, "ipseity-agent")
    load = ["tests.traffic.client", _rolling.exchanges(address, AGENT_S)]
    where.kubectl("apply", "-f", "-", given=_rolling.talker("caller", load))
    where.kubectl("wait", "-n", "plain", "pod/caller", "--for=condition=Ready", "--timeout=30s")
    where.kubectl("rollout", "restart", "daemonset/ipseity-agent", "-n", SYSTEM)
    took_s = rolled_out(where, "daemonset/ipseity-agent")
    after = where.pod(SYSTEM, "ipseity-agent")
    loaded = where.get("pods", "plain", "--field-selector=metadata.name=caller")[0]["status"]["phase"] == "Running"
    done = "--for=jsonpath={.status.phase}=Succeeded"
    where.kubectl("wait", "-n", "plain", "pod/caller", done, f"--timeout={2 * AGENT_S}s")
    true = _rolling.truth(_rolling.said(where, "caller"), _rolling.said(where, "callee"))
    seen = settled(where, after, true)
    connections = _rolling.missing(seen, true, "opened", "closed")
    lost_bytes = _rolling.missing(seen, true, "sent_bytes", "received_bytes")
    opened = true["egress"]["opened"]
    return verdict.Verdict(
        holds=before != after and loaded and not connections and not lost_bytes and opened > 500,
        figure=f"agent replaced: {connections} of {opened} connections and {lost_bytes} bytes missing",
        lines=(
            f"agent: {before} replaced by {after} in {took_s:.1f} s, the load still ran afterwards: {loaded}",
            *(f"agent: {way}: the programs say {true[way]}, the agent {seen[way]}" for way in true),
        ),
    )


def settled(where: mesh.Mesh, name: str, true: _rolling.Sums) -> _rolling.Sums:
    """Read what the agent has counted, once it says the same as the programs, or does not come to it."""
    until_s = time.monotonic() + SETTLED_S
    while (seen := _rolling.counted(where, name)) != true and time.monotonic() < until_s:
        pass
    return seen


def control_plane(where: mesh.Mesh) -> verdict.Verdict:
    """Replace both control planes, one after the other."""
    before = controllers(where)
    names = meshed(where)
    told = _rolling.updates(where, names)
    newcomers = _rolling.Newcomers(where, "update", ready=True)
    with loading(where, UPDATE_S) as load:
        with newcomers.coming():
            where.kubectl("rollout", "restart", "deployment/ipseity-control", "-n", SYSTEM)
            took_s = rolled_out(where, "deployment/ipseity-control")
            mesh.wait_until(lambda: controllers(where).isdisjoint(before), SETTLED_S, "the old ones are gone")
        found = mesh.result(load)
    mesh.wait_until(lambda: sum(_rolling.synced(where).values()) >= len(names), SETTLED_S, "all proxies have moved")
    now = _rolling.updates(where, names)
    connected = _rolling.synced(where)
    refused = now.refused
    came = newcomers.all_came and not newcomers.refused
    right = found["failed"] == 0 and refused == 0 and came and now.accepted > told.accepted
    return verdict.Verdict(
        holds=right and controllers(where).isdisjoint(before),
        figure=f"control plane replaced: {found['failed']} of {found['requests']} requests failed, {refused} NACKs, "
        f"{len(newcomers.ready_s)} new pods",
        lines=(
            f"control plane: {len(before)} replaced in {took_s:.1f} s; proxies are now at {sorted(connected.values())}",
            f"control plane: {now.accepted - told.accepted} updates accepted meanwhile; {newcomers.words()}",
            f"control plane: p99 {found['p99_ms']} ms; failures: {found['failures']}",
        ),
    )


def leader(where: mesh.Mesh) -> verdict.Verdict:
    """Kill the one that leads."""
    holder = _rolling.leader(where)
    newcomers = _rolling.Newcomers(where, "kill", ready=True)
    with loading(where, KILL_S) as load:
        with newcomers.coming():
            pid = _rolling.process_of(where, holder)
            killed_s = mesh.now_s()
            os.kill(pid, signal.SIGKILL)
            mesh.wait_until(lambda: _rolling.leader(where) not in ("", holder), 3 * TAKEOVER_S, "another one leads")
            took_s = _rolling.acquired_s(where) - killed_s
        found = mesh.result(load)
    refused = _rolling.updates(where, meshed(where)).refused
    next_one = _rolling.leader(where)
    other = next_one.partition("_")[0] != holder.partition("_")[0]
    # A review that is under way at the replica that dies is lost: at most the one of that moment.
    right = found["failed"] == 0 and refused == 0 and newcomers.all_came and newcomers.refused <= 1
    return verdict.Verdict(
        holds=right and took_s <= TAKEOVER_S,
        figure=f"leader killed: another one after {took_s:.1f} s (at most {TAKEOVER_S:.0f}), "
        f"{found['failed']} of {found['requests']} requests failed",
        lines=(
            f"leader: {holder} killed, then {next_one} (another pod: {other}); {newcomers.words()}",
            f"leader: p99 {found['p99_ms']} ms; failures: {found['failures']}; {refused} NACKs",
        ),
    )


def uninstall(where: mesh.Mesh) -> verdict.Verdict:
    """Take everything out, while meshed pods talk and others are made."""
    newcomers = _rolling.Newcomers(where, "late", ready=False)
    with loading(where, UNINSTALL_S) as load:
        with newcomers.coming(), _rolling.uninstalling(where) as removal:
            started_s = time.monotonic()
            told, _ = removal.communicate()
            took_s = time.monotonic() - started_s
        still = load.poll() is None
        found = mesh.result(load)
    left = _rolling.left(where)
    pinned = pathlib.Path("/sys/fs/bpf/ipseity", NAME).exists()
    slowest_s = max(newcomers.made_s, default=0.0)
    came = newcomers.all_came and not newcomers.refused
    right = found["failed"] == 0 and came and slowest_s <= AT_ONCE_S
    return verdict.Verdict(
        holds=right and removal.returncode == 0 and still and not left and not pinned,
        figure=f"uninstalled: {found['failed']} of {found['requests']} requests failed, "
        f"{len(newcomers.made_s)} pods made in {slowest_s:.1f} s at most",
        lines=(
            f"uninstall: took {took_s:.1f} s, ended with {removal.returncode}; the load still ran: {still}",
            f"uninstall: {newcomers.words()}",
            f"uninstall: left behind: {left or 'nothing'}; pinned: {pinned}; failures: {found['failures']}",
            *(f"uninstall: {line}" for line in told.splitlines()[-2:]),
        ),
    )


def loading(where: mesh.Mesh, seconds: int) -> mesh.Calling:
    """Load ``web`` from ``client`` meanwhile."""
    words = ("load", "web", "--rate", str(RATE), "--seconds", str(seconds))
    return where.calling("shop", where.pod("shop", "client"), *words)


def controllers(where: mesh.Mesh) -> set[str]:
    """Name the control planes."""
    return {each["metadata"]["name"] for each in where.get("pods", SYSTEM, "-l", "app=ipseity-control")}


def meshed(where: mesh.Mesh) -> list[str]:
    """Name the meshed pods that stay."""
    return [each["metadata"]["name"] for each in where.get("pods", "shop", "-l", "app in (client,web)")]
