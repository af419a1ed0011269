"""agent/selection: each filter admits what it should and nothing else. Left out: the flags (test_cli.py)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from agent import flowjson, model, selection, verdicts
from tests.fakes import flows

EDGE = flowjson.from_flow(flows.edge(), node_name="node-a")
"""shop/client-7f9c (app=client, tier=front, 10.7.0.4) to shop/web-5d44 (app=web, 10.7.1.9), port 8080."""


def admits(flow: flowjson.Flow = EDGE, **filters: Any) -> bool:
    return selection.Selection(**filters).admits(flow)


def end(**filters: Any) -> selection.EndFilter:
    return selection.EndFilter(**filters)


def test_no_filter_admits_everything() -> None:
    """Nothing was asked for, everything is shown."""
    assert admits()


@pytest.mark.parametrize(
    ("pod", "at"),
    [
        ("client", "source"),
        ("client-7f9c", "source"),
        ("shop/client", "source"),
        ("shop/", "source"),
        ("web", "destination"),
    ],
)
def test_pods_by_prefix(pod: str, at: str) -> None:
    """A prefix of the name, in a namespace if one is given; on its own side and on either."""
    other = {"source": "destination", "destination": "source"}[at]
    assert admits(**{at: end(pods=(pod,))})
    assert admits(either=end(pods=(pod,)))
    assert pod == "shop/" or not admits(**{other: end(pods=(pod,))})


@pytest.mark.parametrize("pod", ["lient", "other/client", "/client", "client-7f9cc"])
def test_other_pods(pod: str) -> None:
    """Not the middle of a name, not another namespace."""
    assert not admits(either=end(pods=(pod,)))


def test_values_are_alternatives_and_filters_are_not() -> None:
    """Any of the values, but each of the filters; and one end must have it all."""
    assert admits(source=end(pods=("nobody", "client")))
    assert not admits(source=end(pods=("client",), namespaces=("bank",)))
    assert not admits(either=end(pods=("client",), labels=(selection.label_selector("app=web"),)))


def test_what_is_no_pod_has_no_pod_name() -> None:
    """A Service called web is no pod called web."""
    service = model.End(kind=model.Kind.SERVICE, evidence=model.Evidence.IP, namespace="shop", name="web")
    flow = flowjson.from_flow(flows.edge(remote=service), node_name="node-a")
    assert not admits(flow, destination=end(pods=("",)))
    assert admits(flow, destination=end(namespaces=("shop",)))


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=client", True),
        ("app==client", True),
        ("k8s:app=client", True),
        ("app", True),
        ("!canary", True),
        ("app!=web", True),
        ("canary!=yes", True),
        ("app=client,tier=front", True),
        ("app=client, tier=front", True),
        ("app=client,tier=back", False),
        ("app=web", False),
        ("!app", False),
        ("canary", False),
        ("tier=", False),
    ],
)
def test_labels(selector: str, expected: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """The equality selectors of Kubernetes."""
    assert expected == admits(source=end(labels=(selection.label_selector(selector),)))


@pytest.mark.parametrize("selector", ["", "app in (a)", "=x", "app=a b", "!app=x", "app=web,"])
def test_no_label_selectors(selector: str) -> None:
    """What is not understood is refused, with the forms that are."""
    with pytest.raises(ValueError, match="write app=web"):
        selection.label_selector(selector)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10.7.0.4", True), ("10.7.0.0/24", True), ("10.7.1.0/24", False), ("fd00::/8", False), ("0.0.0.0/0", True)],
)
def test_addresses(text: str, expected: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """An address or a prefix."""
    assert expected == admits(source=end(addresses=(selection.prefix(text),)))


def test_ipv6_and_collapsed_addresses() -> None:
    """A prefix that an address was collapsed to is within itself, never within a smaller one."""
    six = dataclasses.replace(flows.CLIENT, address="fd00::4")
    flow = flowjson.from_flow(flows.edge(local=six, remote=flows.OUTSIDE), node_name="node-a")
    assert admits(flow, source=end(addresses=(selection.prefix("fd00::/8"),)))
    assert not admits(flow, source=end(addresses=(selection.prefix("0.0.0.0/0"),)))
    assert admits(flow, destination=end(addresses=(selection.prefix("0.0.0.0/0"),)))
    assert not admits(flow, destination=end(addresses=(selection.prefix("8.8.8.8"),)))


def test_an_end_without_an_address_is_within_nothing() -> None:
    """The kernel did not keep it: it is not claimed to match."""
    bare = dataclasses.replace(flows.CLIENT, address="")
    flow = flowjson.from_flow(flows.edge(local=bare), node_name="node-a")
    assert not admits(flow, source=end(addresses=(selection.prefix("0.0.0.0/0"),)))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"ports": (8080,)}, True),
        ({"ports": (80, 443)}, False),
        ({"protocols": ("tcp",)}, True),
        ({"protocols": ("udp",)}, False),
        ({"directions": ("egress",)}, True),
        ({"directions": ("ingress",)}, False),
        ({"types": ("edge",)}, True),
        ({"types": ("connection",)}, False),
        ({"nodes": ("node-a",)}, True),
        ({"nodes": ("node-b",)}, False),
        ({"evidence": (model.Evidence.IP,)}, True),
        ({"evidence": (model.Evidence.KERNEL,)}, True),
        ({"evidence": (model.Evidence.NONE,)}, False),
    ],
)
def test_the_rest(filters: Mapping[str, Any], expected: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Port, protocol, direction, type, node, evidence of either name."""
    assert expected == admits(**filters)


def test_source_port_of_a_connection() -> None:
    """A connection record also has the port that the source used."""
    flow = flowjson.from_flow(flows.connection(), node_name="node-a")
    assert admits(flow, ports=(40123,))


def test_udp() -> None:
    """The protocol is that of the record."""
    flow = flowjson.from_flow(flows.edge(protocol=model.Protocol.UDP, port=53), node_name="node-a")
    assert admits(flow, protocols=("udp",), ports=(53,))


def test_types_that_were_asked_for_stay() -> None:
    """A table's own choice does not override a person's."""
    assert selection.Selection().narrowed(("edge",)).types == ("edge",)
    assert selection.Selection(types=("connection",)).narrowed(("edge",)).types == ("connection",)


def misnamed(reason: verdicts.Mismatch, *, read: bool = False) -> flowjson.Flow:
    wrong = verdicts.Verdict(verdicts.Match.DIFFERENT, reason)
    judged = verdicts.Verdicts(ip_read=wrong) if read else verdicts.Verdicts(wrong)
    views = model.Views(kernel=None, ip=model.NOBODY, ip_read=model.NOBODY, judged=judged)
    return flowjson.from_flow(flows.edge(remote=dataclasses.replace(flows.WEB, views=views)), node_name="node-a")


def test_mismatches_are_found_by_reason() -> None:
    """At either end, by any method; reasons are alternatives, and one of them is a mismatch."""
    reused, late = verdicts.Mismatch.IP_REUSED, verdicts.Mismatch.LATE_EVENT
    found = [EDGE, misnamed(reused), misnamed(late, read=True)]
    for wanted, expected in (
        (selection.Selection(), [True, True, True]),
        (selection.Selection(mismatch=True), [False, True, True]),
        (selection.Selection(reasons=(reused,)), [False, True, False]),
        (selection.Selection(reasons=(reused, late)), [False, True, True]),
    ):
        assert expected == [wanted.admits(flow) for flow in found]
