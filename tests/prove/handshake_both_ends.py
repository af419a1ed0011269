"""Both ends of 1,332 connections between two nodes are known by the handshake alone, whatever the address says.

Straight, through a ClusterIP, through SNAT, from and to hostNetwork pods, as a pod's first act, over IPv4 and IPv6.
No agent watches the other node's pods. Beside it, for the same records: what a look-up of the other end's address says
that knows every pod, Service and node, while nothing changes: the best case for it.
"""

import json
from collections.abc import Mapping, Sequence

from agent import flowjson
from tests.prove import _handshake, verdict
from tests.scene import lab

EACH = 127
LEAST = 1000
CALLS_S = 60.0


def prove() -> verdict.Verdict:
    """Call every way, and read what both agents say."""
    chosen = _handshake.ways()
    with _handshake.scene("ends") as scene:
        scene.call(chosen, count=EACH)
        scene.called(chosen, CALLS_S)
        found = scene.told(chosen, EACH)
        owners = by_address(scene.lab)
        return judge(chosen, found, owners)


def judge(
    chosen: Sequence[_handshake.Way],
    found: Mapping[str, Mapping[int, list[flowjson.Flow]]],
    owners: Mapping[str, str],
) -> verdict.Verdict:
    """Compare with who it was."""
    lines, right, ends, looked_up = [], 0, 0, 0
    for way in chosen:
        said = []
        for node, at_caller in (("node-a", True), ("node-b", False)):
            flows = found[node][way.port]
            good = sum(_handshake.is_right(flow, way, at_caller=at_caller) for flow in flows)
            other = way.callee if at_caller else way.caller
            names = {look_up(flow, owners) for flow in flows}
            by_ip = sum(look_up(flow, owners) == f"account {other}" for flow in flows)
            said.append(
                f"{'callee' if at_caller else 'caller'} {good} of {len(flows)},"
                f" by address {by_ip} ({', '.join(sorted(names))})"
            )
            wanted = way.connections(EACH)
            right, ends, looked_up = right + good * (len(flows) == wanted), ends + wanted, looked_up + by_ip
        lines.append(f"{way.name:28} {'; '.join(said)}")
    return verdict.Verdict(
        holds=right == ends >= 2 * LEAST,
        figure=f"{right} of {ends} ends of {ends // 2} connections known by handshake, {looked_up} by address",
        lines=tuple(lines),
    )


def look_up(flow: flowjson.Flow, owners: Mapping[str, str]) -> str:
    """Say whose the other end's address is."""
    address = flow.ip.destination if flow.traffic_direction == "EGRESS" else flow.ip.source
    return owners.get(address, "nobody")


def by_address(where: lab.Lab) -> dict[str, str]:
    """Read who has which address: pods before Services before nodes; a hostNetwork pod's is the node's."""
    owners: dict[str, str] = {}
    kinds = {"nodes": "node", "services": "service", "pods": "pod"}
    for plural, kind in kinds.items():
        for it in json.loads(where.kubectl("get", plural, "--all-namespaces", "-o", "json"))["items"]:
            if it["spec"].get("hostNetwork"):
                continue
            status, spec = it.get("status", {}), it["spec"]
            addresses = [each["ip"] for each in status.get("podIPs", ())] + list(spec.get("clusterIPs", ()))
            addresses += [each["address"] for each in status.get("addresses", ())]
            owners |= dict.fromkeys(addresses, f"account {spec['serviceAccountName']}" if kind == "pod" else kind)
    return owners
