"""Compare what the agents saw of the shop with what its programs say they did, and who they are."""

from collections.abc import Collection, Mapping
from typing import Any

from tests.scene import agent, lab
from tests.traffic import counted, tally

NAMESPACE = "shop"
PORTS = {8080, 5432}
NOTHING = tally.Tally()


def told(shop: lab.Lab) -> Mapping[str, tally.Tallies]:
    """Read the last report of each pod from its log, by pod name."""
    names = [pod["metadata"]["name"] for pod in shop.pods(NAMESPACE)]
    logs = {name: shop.kubectl("-n", NAMESPACE, "logs", name).splitlines() for name in names}
    return {name: tally.load(lines[-1]) for name, lines in logs.items() if lines and lines[-1].startswith("[")}


def differences(shop: lab.Lab, agents: Collection[agent.Agent]) -> list[str]:
    """Say in words what the agents counted otherwise than the programs."""
    flows = [flow for it in agents for flow in it.flows()]
    found = []
    for name, truth in told(shop).items():
        seen = counted.tallies(flow for flow in flows if counted.local(flow).pod_name == name)
        found += tally.differences(seen, truth, name)
    return found


def misnamed(shop: lab.Lab, agents: Collection[agent.Agent]) -> list[str]:
    """Say in words which local end has not the name that the API gave the pod, on the kernel's evidence."""
    pods = {pod["metadata"]["uid"]: pod for pod in shop.pods(NAMESPACE)}
    flows = [flow for it in agents for flow in it.flows() if counted.edge_of(flow).port in PORTS]
    found = []
    for end in map(counted.local, flows):
        expected = pods.get(end.pod_uid)
        if expected is None:
            found.append(
                f"an end is said to be {end.namespace}/{end.pod_name or end.name}, which is no pod of the shop"
            )
        elif (end.evidence, end.pod_name, end.service_account) != ("kernel", *names(expected)):
            found.append(f"{end.pod_name} ({end.service_account}, {end.evidence}) is {'/'.join(names(expected))}")
    return sorted(set(found))


def names(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return a pod's name and service account."""
    return pod["metadata"]["name"], pod["spec"]["serviceAccountName"]
