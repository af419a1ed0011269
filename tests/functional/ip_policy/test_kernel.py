"""The kernel has what was wanted, however it came to that: by differences, after a flush, behind a Service.

Leaves out what the rules mean: ``test_packets``.
"""

import contextlib
import ipaddress
import random
import subprocess
from collections.abc import Iterator

import pytest

from comparisons.ip_policy import compiler, contender, errors, gathering, kernel, model
from comparisons.lab import netns, services
from tests.fakes import made_up_policies
from tests.functional.ip_policy import test_connections as cast
from tests.scene import policed, wires

NODE = "node-a"
SERVICE = "10.96.0.7"
STEPS = 17


def nft(street: policed.Policed, *words: str, given: str = "") -> str:
    """Run nft on the node."""
    command = ["nft", *words]
    return netns.inside(
        street.net.nodes[NODE].namespace,
        lambda: subprocess.run(command, input=given, check=True, capture_output=True, text=True).stdout,
    )


def listed(street: policed.Policed) -> list[str]:
    """Give what nft says of the node, in an order of its own: rules in theirs, elements and blocks sorted."""
    found, family = [], ""
    for block in nft(street, "-s", "list", "ruleset").replace("\ntable", "\n\ntable").split("\n\n"):
        lines = [line.strip() for line in block.splitlines() if line.strip() not in {"", "}"}]
        if lines and lines[0].startswith("table "):
            family = lines.pop(0)
        if "elements" in block:
            lines = sorted(" ".join(lines).replace(",", " ").split())
        found.append(" ".join((family, *lines)))
    return sorted(found)


def test_differences_lead_where_the_whole_does(street: policed.Policed) -> None:
    """Clusters that have little in common, one after another: nothing is forgotten, and nothing left over."""
    rules = kernel.Kernel(street.net.nodes[NODE].namespace)
    dice = random.Random(7)
    options = compiler.Options()
    for _ in range(STEPS):
        state = gathering.state(made_up_policies.cluster(street.ground(), dice))
        wanted = compiler.compile_for(NODE, state, options)
        assert rules.bring(wanted) is not kernel.How.NOTHING
        by_difference = listed(street)
        assert rules.bring(wanted) is kernel.How.NOTHING
        rules.doubt()
        assert rules.bring(wanted) is kernel.How.WHOLE
        assert listed(street) == by_difference
    assert 0 == rules.failures


def test_somebody_elses_flush_is_made_good(street: policed.Policed) -> None:
    """The next change is refused by the kernel as a difference, so all is loaded."""
    rules = kernel.Kernel(street.net.nodes[NODE].namespace)
    options = compiler.Options()
    rules.bring(compiler.compile_for(NODE, gathering.state(cast.cluster(street)), options))
    nft(street, "flush", "ruleset")
    deny = {**cast.DENY, "spec": {"podSelector": {}}}
    wanted = compiler.compile_for(NODE, gathering.state(cast.cluster(street, deny)), options)
    assert rules.bring(wanted) is kernel.How.WHOLE
    assert 1 == rules.failures
    rules.remove(contender.TABLES)
    assert "" == nft(street, "list", "tables")


def test_a_refusal_is_an_error_with_its_words(street: policed.Policed) -> None:
    """And says what nft said."""
    rules = kernel.Kernel(street.net.nodes[NODE].namespace)
    with pytest.raises(errors.Refused, match=r"cannot set the policy rules: nft: .*syntax error"):
        rules._run("not a rule\n")


@contextlib.contextmanager
def service(street: policed.Policed, server: wires.Place) -> Iterator[None]:
    """Have a Service in front of a pod, as the lab carries it out."""
    backends = (services.Backend(ip=str(server.address(4)), port=80),)
    fronts = [
        services.Frontend(ip=SERVICE, protocol=protocol, port=7, backends=backends) for protocol in ("tcp", "udp")
    ]
    nft(street, "-f", "-", given=services.ruleset(fronts))
    node = street.net.nodes[NODE]
    street.net.places["service"] = wires.Place(
        name="service", namespace=node.namespace, node="", addresses=(ipaddress.ip_address(SERVICE),)
    )
    try:
        yield
    finally:
        del street.net.places["service"]
        nft(street, "delete", "table", "inet", services.TABLE)


def test_a_service_is_seen_through(street: policed.Policed) -> None:
    """Policies see who serves, not the Service's address; and a pod reaches itself through its own Service."""
    spec = {
        "podSelector": {"matchLabels": {"at": "pod-a1"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"at": "pod-a0"}}}], "ports": [{"port": 80}]}],
    }
    policy = {"kind": "NetworkPolicy", "metadata": {"name": "some", "namespace": "x"}, "spec": spec}
    street.enforce(cast.cluster(street, policy), compiler.Options(), anew=True)
    tcp, udp = model.Protocol.TCP, model.Protocol.UDP
    wanted = {
        ("pod-a0", tcp): True,
        ("pod-a0", udp): False,
        ("pod-a1", tcp): True,
        ("pod-a1", udp): True,
        ("pod-a2", tcp): False,
        ("pod-a2", udp): False,
    }
    with service(street, street.net.places["pod-a1"]):
        probes = [wires.Probe(source=one, destination="service", protocol=each, port=7) for one, each in wanted]
        arrived, _ = street.net.probe(probes)
    assert wanted == dict(zip(wanted, arrived, strict=True))
