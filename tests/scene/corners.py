"""The corner cases of docs/network-policy-cases.yaml: read, and put to packets.

Here so that what the documentation claims is what the proof sends. The cast is that file's; leaves out what a case
means.
"""

import dataclasses
import pathlib
import re
from typing import Any

import yaml

from comparisons.ip_policy import compiler, model
from tests.repo import tree
from tests.scene import policed, wires

Json = dict[str, Any]
FILE: pathlib.Path = tree.ROOT / "docs" / "network-policy-cases.yaml"
CAST: dict[str, tuple[str, Json, list[Json], str]] = {
    "shop/web": ("pod-a0", {"app": "web"}, [{"name": "http", "containerPort": 80}], "Running"),
    "shop/db": (
        "pod-a1",
        {"app": "db"},
        [{"name": "sql", "containerPort": 81}, {"name": "dns", "containerPort": 80, "protocol": "UDP"}],
        "Running",
    ),
    "shop/done": ("pod-a2", {"app": "web"}, [], "Succeeded"),
    "bank/cron": ("pod-a3", {}, [], "Running"),
    "shop/job": ("pod-b0", {"app": "job"}, [], "Running"),
    "bank/web": ("pod-b1", {"app": "web"}, [{"name": "http", "containerPort": 8080}], "Running"),
    "bank/db": ("pod-b2", {"app": "db"}, [], "Running"),
}
_QUESTION = re.compile(r"(\S+) > (\S+):(\d+)(?:/(\w+))?( v6)?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Corner:
    """One case."""

    name: str
    source: str
    says: str
    here: str
    policies: list[Json]
    allowed: list[str]
    denied: list[str]


def documented() -> list[Corner]:
    """Read all cases."""
    return [Corner(**{"here": "", "allowed": [], "denied": [], **each}) for each in yaml.safe_load(FILE.read_text())]


def objects(street: policed.Policed, corner: Corner) -> list[Json]:
    """Make the cast and a case's policies, as the API server would have them."""
    places, ground = street.net.everywhere, street.ground()
    spoken = {"OUTSIDE": f"{places[wires.FABRIC].address(4)}/32", "NODE-B": f"{places['node-b'].address(4)}/32"}
    found: list[Json] = [*ground.nodes]
    found += [{"kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}} for name in ("shop", "bank")]
    for who, (seat, labels, ports, phase) in CAST.items():
        place = places[seat]
        found.append(_pod(who, place, labels, phase, {"containers": [{"name": "c", "ports": ports}]}))
    found.append(
        _pod("shop/agent", places["node-b"], {"app": "web"}, "Running", {"hostNetwork": True, "containers": []})
    )
    for number, spec in enumerate(corner.policies):
        metadata = {"name": f"{corner.name}-{number}", "namespace": spec.get("namespace", "shop")}
        said = _spoken({key: value for key, value in spec.items() if key != "namespace"}, spoken)
        found.append({"kind": "NetworkPolicy", "metadata": metadata, "spec": said})
    return found


def _pod(who: str, place: wires.Place, labels: Json, phase: str, spec: Json) -> Json:
    namespace, _, name = who.partition("/")
    return {
        "kind": "Pod",
        "metadata": {"uid": place.uid or who, "namespace": namespace, "name": name, "labels": labels},
        "spec": {"nodeName": place.node, **spec},
        "status": {"phase": phase, "podIPs": [{"ip": str(each)} for each in place.addresses]},
    }


def _spoken(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _spoken(each, words) for key, each in value.items()}
    if isinstance(value, list):
        return [_spoken(each, words) for each in value]
    return words.get(value, value) if isinstance(value, str) else value


def probe(question: str) -> wires.Probe:
    """Read ``shop/web > shop/db:80/udp v6``."""
    found = _QUESTION.fullmatch(question)
    assert found is not None, f"{question!r}: not of the form FROM > TO:PORT[/PROTOCOL][ v6]"
    source, destination, port, protocol, six = found.groups()
    names = {"outside": wires.FABRIC, **{who: seat for who, (seat, *_) in CAST.items()}}
    return wires.Probe(
        source=names.get(source, source),
        destination=names.get(destination, destination),
        protocol=None if protocol == "icmp" else model.Protocol((protocol or "tcp").upper()),
        port=int(port),
        version=6 if six else 4,
    )


def failures(street: policed.Policed, corner: Corner) -> list[str]:
    """Send a case's packets; what is not as documented, or not as all readings say."""
    known = objects(street, corner)
    options = compiler.Options(gate=False)
    state = street.enforce(known, options, anew=False)
    wanted = [*((each, True) for each in corner.allowed), *((each, False) for each in corner.denied)]
    probes = [probe(question) for question, _ in wanted]
    arrived, _ = street.net.probe(probes)
    wrong = [
        f"{corner.name}: {question}: {'allowed' if packet else 'denied'}"
        for (question, expected), packet in zip(wanted, arrived, strict=True)
        if packet is not expected
    ]
    return wrong + [f"{corner.name}: {each}" for each in street.compare(known, state, options, probes).wrong]
