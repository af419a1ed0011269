"""Two nodes whose agents know each other's pods by the handshake alone; who called whom, in every way there is.

Every way has a caller of its own (a pod with its own service account), a callee of its own and a port of its own, so a
record says by its port whose it must be. Left out: what is proven with it (``handshake_both_ends``,
``handshake_rotation``).
"""

import contextlib
import dataclasses
import ipaddress
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent import flowjson, model
from tests.prove import churn
from tests.scene import agent, lab
from tests.traffic import counted, plan

NAMESPACE = "hands"
SYSTEM = "ipseity-system"
START_S, TOLD_S = 60.0, 30.0
NEWBORNS = 31
REQUEST_BYTES, REPLY_BYTES = 101, 211
FLAGS = ("--remote-evidence", "handshake", "--max-interval-s", "1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way from a pod of node-a to a pod of node-b."""

    name: str
    port: int
    family: int
    through_service: bool = False
    translated: bool = False
    """node-a gives what leaves it its own source address."""
    caller_on_host: bool = False
    callee_on_host: bool = False
    newborns: int = 0
    """So many pods call, each once, as the first thing that they do; 0: one pod, as often as asked."""

    @property
    def caller(self) -> str:
        """Name of the service account that calls."""
        return f"caller-{self.port}"

    @property
    def callers(self) -> tuple[str, ...]:
        """Names of the pods that call."""
        return tuple(f"{self.caller}-{number}" for number in range(self.newborns or 1))

    def connections(self, count: int) -> int:
        """How many there will be, if a caller that is asked makes so many."""
        return self.newborns or count

    @property
    def callee(self) -> str:
        """Name of the called pod, and of its service account."""
        return "host-server" if self.callee_on_host else "server"


def ways() -> tuple[Way, ...]:
    """List all, for both families."""
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("straight", {}),
        ("through a ClusterIP", {"through_service": True}),
        ("through SNAT", {"translated": True}),
        ("from a hostNetwork pod", {"caller_on_host": True}),
        ("to a hostNetwork pod", {"callee_on_host": True}),
        ("first act of a pod", {"newborns": NEWBORNS}),
    )
    return tuple(
        Way(name=f"{name}, IPv{family}", port=7100 + 10 * family + number, family=family, **said)
        for family in (4, 6)
        for number, (name, said) in enumerate(kinds)
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A lab with all callees, and an agent on each node."""

    lab: lab.Lab
    agents: dict[str, agent.Agent]

    def call(self, chosen: Sequence[Way], *, count: int, pause_s: float = 0.0) -> None:
        """Start the callers of some ways, all at once; each makes so many connections and ends."""
        pods = [each for way in chosen for each in callers(way, self.address(way), count, pause_s)]
        self.lab.kubectl("apply", "-f", "-", given=as_list(pods))

    def running(self, chosen: Sequence[Way]) -> bool:
        """Whether these callers have begun."""
        begun = {it["metadata"]["name"] for it in self.lab.pods(NAMESPACE) if it["status"].get("phase") == "Running"}
        return {name for way in chosen for name in way.callers} <= begun

    def called(self, chosen: Sequence[Way], limit_s: float) -> None:
        """Wait until these callers have ended well."""
        names = {name for way in chosen for name in way.callers}

        def all_ended() -> bool:
            phases = {it["metadata"]["name"]: it["status"].get("phase") for it in self.lab.pods(NAMESPACE)}
            if failed := [name for name in names if phases.get(name) == "Failed"]:
                raise RuntimeError(f"{failed[0]}: {self.lab.kubectl('logs', '-n', NAMESPACE, failed[0])}")
            return {phases.get(name) for name in names} == {"Succeeded"}

        agent.wait_until(all_ended, limit_s, "every caller has made its connections")

    def address(self, way: Way) -> str:
        """Say where a way's callee is called."""
        if way.through_service:
            said = json.loads(self.lab.kubectl("get", "service", "server", "-n", NAMESPACE, "-o", "json"))
            addresses = said["spec"]["clusterIPs"]
        else:
            said = json.loads(self.lab.kubectl("get", "pod", way.callee, "-n", NAMESPACE, "-o", "json"))
            addresses = [each["ip"] for each in said["status"]["podIPs"]]
        return next(text for text in addresses if ipaddress.ip_address(text).version == way.family)

    def records(self, chosen: Sequence[Way]) -> dict[str, dict[int, list[flowjson.Flow]]]:
        """Give the records of ended connections, by node and port."""
        ports = {way.port for way in chosen}
        found: dict[str, dict[int, list[flowjson.Flow]]] = {
            node: {port: [] for port in ports} for node in self.lab.nodes
        }
        for node, watched in self.agents.items():
            for flow in watched.flows():
                port = flow.l4.tcp.destination_port if flow.type == "connection" and flow.l4.tcp else 0
                if port in ports:
                    found[node][port].append(flow)
        return found

    def told(self, chosen: Sequence[Way], count: int) -> dict[str, dict[int, list[flowjson.Flow]]]:
        """Wait until every connection has its record at both ends, as far as they come."""

        def complete() -> bool:
            known = self.records(chosen).values()
            return all(len(by[way.port]) >= way.connections(count) for by in known for way in chosen)

        with contextlib.suppress(TimeoutError):
            agent.wait_until(complete, TOLD_S, "every record is there")
        return self.records(chosen)


def is_right(flow: flowjson.Flow, way: Way, *, at_caller: bool) -> bool:
    """Whether a record knows both ends: its own by the kernel, the other one by the handshake.

    Which pod of the account it is would be told by nothing but a watch of the other node's pods.
    """
    mine, other = (way.callers, way.callee) if at_caller else ((way.callee,), way.caller)
    local, remote = counted.local(flow), counted.remote(flow)
    return (
        local.evidence is model.Evidence.KERNEL
        and local.pod_name in mine
        and (remote.evidence, remote.kind) == (model.Evidence.HANDSHAKE, model.Kind.POD)
        and (remote.namespace, remote.service_account, remote.pod_name) == (NAMESPACE, other, "")
    )


@contextlib.contextmanager
def scene(name: str, *flags: str) -> Iterator[Scene]:
    """Bring up the lab, its keys and agents, and every callee."""
    with lab.up(name, "--nodes", "2") as where:
        where.kubectl("apply", "-f", "-", given=as_list([namespace(SYSTEM), namespace(NAMESPACE)]))
        handshake(where, "init")
        translate(where, [way.port for way in ways() if way.translated])
        with lab.agents(where, *FLAGS, *flags) as agents:
            where.kubectl("apply", "-f", "-", given=as_list(furniture()))
            where.kubectl("wait", "pod", "--all", "-n", NAMESPACE, "--for=condition=Ready", "--timeout=60s")
            agent.wait_until(lambda: listening(where), START_S, "every callee listens")
            yield Scene(lab=where, agents=agents)


def handshake(where: lab.Lab, *words: str) -> str:
    """Run ``ipseity handshake``."""
    return lab.succeed(str(lab.BIN / "ipseity"), "handshake", *words, f"--kubeconfig={where.kubeconfig}")


def translate(where: lab.Lab, ports: Iterable[int]) -> None:
    """Have node-a hide its pods behind itself on the way to these ports."""
    chosen = ", ".join(map(str, ports))
    rules = f"""
        table inet hide {{
            chain out {{
                type nat hook postrouting priority srcnat;
                oifname "eth0" tcp dport {{ {chosen} }} masquerade
            }}
        }}
    """
    command = ["ip", "netns", "exec", f"ips-{where.name}-node-a", "nft", "-f", "-"]
    subprocess.run(command, input=rules, check=True, text=True)


def listening(where: lab.Lab) -> bool:
    """Whether every server has said that it listens."""
    said = [
        where.kubectl("logs", "-n", NAMESPACE, "--all-containers", name).split().count("ready")
        for name in ("server", "host-server")
    ]
    return sum(said) == len(ways())


def furniture() -> list[dict[str, Any]]:
    """Make service accounts, callees, and the Service in front of them."""
    names = {name for way in ways() for name in (way.caller, way.callee)}
    accounts = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named(name)} for name in sorted(names)]
    ports = [{"name": str(way.port), "port": way.port} for way in ways() if way.through_service]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": named("server"),
        "spec": {"selector": {"app": "server"}, "ports": ports, "ipFamilyPolicy": "RequireDualStack"},
    }
    return [*accounts, service, callee("server"), callee("host-server")]


def callee(name: str) -> dict[str, Any]:
    """Make a pod that listens on the ports of all ways that lead to it, each in a container of its own."""
    made = churn.pod(name, [])
    (one,) = made["spec"].pop("containers")
    listens = [way.port for way in ways() if way.callee == name]
    containers = [
        {**one, "name": f"on-{port}", "command": [*one["command"], "tests.traffic.server", str(port)]}
        for port in listens
    ]
    made["metadata"] = named(name)
    made["spec"] |= {
        "containers": containers,
        "nodeName": "node-b",
        "serviceAccountName": name,
        "hostNetwork": name == "host-server",
        "terminationGracePeriodSeconds": 1,
    }
    return made


def callers(way: Way, address: str, count: int, pause_s: float) -> Iterator[dict[str, Any]]:
    """Make the pods that make a way's connections and end."""
    step = plan.Exchange(
        address=address,
        port=way.port,
        count=count,
        request_bytes=REQUEST_BYTES,
        reply_bytes=REPLY_BYTES,
        pause_s=pause_s,
    )
    for name in way.callers:
        made = churn.pod(name, ["tests.traffic.client", plan.dump([step])])
        if way.newborns:  # no interpreter has to start first
            (container,) = made["spec"]["containers"]
            container["command"] = ["bash", "-c", f"exec 3<>/dev/tcp/{address}/{way.port}"]
        made["metadata"] = named(name)
        made["spec"] |= {"serviceAccountName": way.caller, "hostNetwork": way.caller_on_host}
        yield made


def named(name: str) -> dict[str, Any]:
    """Name an object, in our namespace."""
    return {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}


def namespace(name: str) -> dict[str, Any]:
    """Make a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def as_list(items: Sequence[dict[str, Any]]) -> str:
    """Write several objects as one document."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
