"""Quantities, probes, quality of service, names of cgroups, network plans: small pure things. Leaves out the kernel."""

import fractions
import ipaddress
from typing import Any

import pytest

from comparisons.lab import cgroups, layout, network, plan, probes, quantities


@pytest.mark.parametrize(
    ("text", "expected"),
    [("250m", "1/4"), ("64Mi", "67108864"), ("1e3", "1000"), (2, "2"), ("1.5Gi", "1610612736"), ("100n", "1/10000000")],
)
def test_quantities(text: str, expected: str) -> None:
    """Exact, never a float."""
    assert fractions.Fraction(expected) == quantities.parse(text)


@pytest.mark.parametrize("text", ["", "Mi", "1Xi", "1 Mi", "0x10"])
def test_what_is_no_quantity(text: str) -> None:
    """The error quotes it."""
    with pytest.raises(ValueError, match="not a quantity"):
        quantities.parse(text)


def test_verdict_needs_enough_in_a_row() -> None:
    """One good answer in between starts the count again."""
    it = probes.probe({"livenessProbe": {"exec": {}, "failureThreshold": 2}}, probes.Purpose.LIVENESS)
    assert it is not None
    tally, verdicts = probes.Tally(), []
    for ok in (False, True, False, False):
        tally, verdict = probes.judge(it, tally, ok=ok)
        verdicts.append(verdict)
    assert verdicts == [None, True, None, False]


def test_probe_ports_by_name() -> None:
    """Of the container's own ports."""
    container = {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}
    assert probes.port({"port": "http"}, container) == 8080
    assert probes.port({"port": 81}, container) == 81
    with pytest.raises(ValueError, match="no port 'x'"):
        probes.port({"port": "x"}, container)


def resources(**parts: dict[str, str]) -> dict[str, Any]:
    """Make a pod whose one container has these resources."""
    return {"spec": {"containers": [{"name": "c", "resources": parts}]}}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (resources(), "BestEffort"),
        (resources(requests={"cpu": "0"}), "BestEffort"),
        (resources(requests={"cpu": "1"}), "Burstable"),
        (resources(limits={"cpu": "1", "memory": "1Gi"}), "Guaranteed"),
        (resources(limits={"cpu": "1", "memory": "1Gi"}, requests={"cpu": "1000m", "memory": "1Gi"}), "Guaranteed"),
        (resources(limits={"cpu": "1", "memory": "1Gi"}, requests={"cpu": "500m", "memory": "1Gi"}), "Burstable"),
    ],
)
def test_quality_of_service(pod: dict[str, Any], expected: str) -> None:
    """As the kubelet classifies pods."""
    assert expected == cgroups.qos(pod)


def test_cgroup_of_a_pod_is_the_kubelets() -> None:
    """Below the node's root; Guaranteed pods have no level of their class."""
    node = layout.Lab(name="lab").node("node-a")
    assert cgroups.pod(node.cgroup, "u-1", "BestEffort") == "/ipseity-lab/node-a/kubepods/besteffort/podu-1"
    assert cgroups.pod(node.cgroup, "u-1", "Guaranteed") == "/ipseity-lab/node-a/kubepods/podu-1"


def test_names_fit_the_kernel() -> None:
    """A link's name has at most 15 bytes, a Unix socket's path at most 107."""
    assert len(network.port("6f0c1c0e-7f4b-4d3a-9c1e-0123456789ab")) == 13
    lab = layout.Lab(name="a" * 20)
    assert len(str(lab.state / "node-a.sock")) < 108


def test_pod_plan() -> None:
    """Host addresses, the node as the gateway of both families."""
    ips = [ipaddress.ip_address("10.7.0.2"), ipaddress.ip_address("fd00::2")]
    operations = network.pod_addresses(ips, ["10.7.0.0/29", "fd00::/64"], [])
    assert operations == [
        network.Up(name="eth0"),
        network.Address(link="eth0", address="10.7.0.2/32"),
        network.Route(destination="10.7.0.1/32", link="eth0"),
        network.Route(destination="0.0.0.0/0", link="eth0", gateway="10.7.0.1"),
        network.Address(link="eth0", address="fd00::2/128"),
        network.Route(destination="fd00::1/128", link="eth0"),
        network.Route(destination="::/0", link="eth0", gateway="fd00::1"),
    ]


def test_mac_address_belongs_to_the_address() -> None:
    """So nobody's neighbour table is wrong when the address goes to another pod."""
    node = layout.Lab(name="lab").node("node-a")
    ip = [ipaddress.ip_address("10.7.0.2")]
    first, second = (network.pod_link(uid, ip, node)[-1] for uid in ("u-1", "u-2"))
    assert isinstance(first, network.Veth)
    assert isinstance(second, network.Veth)
    assert first.mac == second.mac
    assert first.peer != second.peer
    assert int(first.mac[:2], 16) & 0b11 == 0b10  # locally administered, unicast


def test_a_pod_is_announced_on_its_node() -> None:
    """By both addresses, as it is: a node that asked for one in vain would ask again only after a second."""
    node, ips = layout.Lab(name="lab").node("node-a"), [ipaddress.ip_address(it) for it in ("10.7.0.2", "fd00::2")]
    veth = network.pod_link("u-1", ips, node)[-1]
    assert isinstance(veth, network.Veth)
    known = [it for it in network.pod_port("u-1", ips) if isinstance(it, network.Neighbour)]
    assert [("10.7.0.2", veth.mac), ("fd00::2", veth.mac)] == [(it.address, it.mac) for it in known]


def test_routes_to_other_nodes_keep_families_apart() -> None:
    """IPv4 through IPv4, IPv6 through IPv6."""
    other = plan.NodePlan(name="node-b", ips=("172.30.0.3", "fd00::3"), pod_cidrs=("10.64.1.0/24", "fd01::/64"))
    expected = [("10.64.1.0/24", "172.30.0.3"), ("fd01::/64", "fd00::3")]
    found = [
        (it.destination, it.gateway) for it in network.routes([other], link="eth0") if isinstance(it, network.Route)
    ]
    assert expected == found
