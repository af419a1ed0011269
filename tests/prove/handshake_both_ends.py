"""Both ends of 1,270 connections between two nodes are known by the handshake alone, whatever the address says.

Straight, through a ClusterIP, through SNAT, from and to hostNetwork pods, over IPv4 and IPv6. No agent watches the
other node's pods. Beside it, for the same records: what a look-up of the other end's address says that knows every pod,
Service and node, while nothing changes: the best case for it. Then pods, many at once, whose first act is to connect:
how many were known in time depends on when the agent gets a processor, so that is printed and not claimed.
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
        owners: dict[int, dict[str, str]] = {}
        for kind in ([way for way in chosen if not way.newborns], *([way] for way in chosen if way.newborns)):
            scene.call(kind, count=EACH)
            scene.called(kind, CALLS_S)
            owners |= dict.fromkeys((way.port for way in kind), by_address(scene.lab, kind))
        return judge(chosen, scene.told(chosen, EACH), owners)


def judge(
    chosen: Sequence[_handshake.Way],
    found: Mapping[str, Mapping[int, list[flowjson.Flow]]],
    owners: Mapping[int, Mapping[str, str]],
) -> verdict.Verdict:
    """Compare with who it was."""
    lines, right, ends, looked_up = [], 0, 0, 0
    young = 0
    for way in chosen:
        said = []
        for node, at_caller in (("node-a", True), ("node-b", False)):
            flows = found[node][way.port]
            good = sum(_handshake.is_right(flow, way, at_caller=at_caller) for flow in flows)
            other = way.callee if at_caller else way.caller
            names = [look_up(flow, owners[way.port]) for flow in flows]
            by_ip = names.count(f"account {other}")
            said.append(
                f"{'callee' if at_caller else 'caller'} {good} of {len(flows)},"
                f" by address {by_ip} ({', '.join(sorted(set(names)))})"
            )
            if way.newborns:
                young += good
            else:
                right, ends, looked_up = right + good * (len(flows) == EACH), ends + EACH, looked_up + by_ip
        lines.append(f"{way.name:28} {'; '.join(said)}")
    return verdict.Verdict(
        holds=right == ends >= 2 * LEAST and young > 0,
        figure=f"{right} of {ends} ends of {ends // 2} connections known by handshake, {looked_up} by address",
        lines=tuple(lines),
    )


def look_up(flow: flowjson.Flow, owners: Mapping[str, str]) -> str:
    """Say whose the other end's address is."""
    address = flow.ip.destination if flow.traffic_direction == "EGRESS" else flow.ip.source
    return owners.get(address, "nobody")


def by_address(where: lab.Lab, calling: Sequence[_handshake.Way]) -> dict[str, str]:
    """Read who has which address: pods before Services before nodes; a hostNetwork pod's is the node's.

    Of callers those that were calling: an ended one's address may be another one's by now.
    """
    now = {name for way in calling for name in (*way.callers, way.callee)}
    owners: dict[str, str] = {}
    kinds = {"nodes": "node", "services": "service", "pods": "pod"}
    for plural, kind in kinds.items():
        for it in json.loads(where.kubectl("get", plural, "--all-namespaces", "-o", "json"))["items"]:
            if it["spec"].get("hostNetwork") or (kind == "pod" and it["metadata"]["name"] not in now):
                continue
            status, spec = it.get("status", {}), it["spec"]
            addresses = [each["ip"] for each in status.get("podIPs", ())] + list(spec.get("clusterIPs", ()))
            addresses += [each["address"] for each in status.get("addresses", ())]
            owners |= dict.fromkeys(addresses, f"account {spec['serviceAccountName']}" if kind == "pod" else kind)
    return owners
