"""Whose an address was, and when, as far as anybody tells; and whether it changed hands near a flow.

Here because a name that rests on an address is worth what the address's history is. Pure.
"""

import collections
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from comparisons.observed import flows, people

NEAR_S: Final = 1800.0
"""How far from a hand-over a name by address is not believed. The longest window that has been published is 30 min:
Cilium CFP-28986, a node that is cut off from the API server."""
TRANSLATED: Final = frozenset({"clusterip", "node_ip", "sidecar", "snat"})
"""Reasons for which the address that was seen is not the pod's own."""
_SHARED: Final = TRANSLATED | {"host_network"}


class History:
    """Tenures of addresses."""

    def __init__(self) -> None:
        self._tenures: dict[str, dict[str, tuple[float, float]]] = collections.defaultdict(dict)
        self._names: dict[str, str] = {}

    def note(self, address: str, uid: str, name: str, first_s: float, last_s: float) -> None:
        """Remember that a pod had an address, at least from then to then."""
        was = self._tenures[address].get(uid, (first_s, last_s))
        self._tenures[address][uid] = (min(was[0], first_s), max(was[1], last_s))
        self._names[uid] = name

    def others(self, address: str, uid: str, first_s: float, last_s: float) -> list[str]:
        """Name whoever else had an address within ``NEAR_S`` of a time."""
        return sorted(
            self._names[other]
            for other, (since_s, until_s) in self._tenures.get(address, {}).items()
            if other != uid and since_s <= last_s + NEAR_S and until_s >= first_s - NEAR_S
        )


def history(seen: Iterable[flows.Flow], objects: Sequence[Mapping[str, Any]], known: people.People) -> History:
    """Collect what is known of every address."""
    found = History()
    for it in seen:
        if it.within:
            continue
        for end, address in ((it.source, it.source_address), (it.destination, it.destination_address)):
            _note(found, it, end, address)
    for each in objects:
        if each.get("kind") != "Pod":
            continue
        status, metadata = each.get("status") or {}, each["metadata"]
        pod = known.state.pods.get(metadata.get("uid") or "")
        if pod is None or pod.host_network:
            continue
        since_s = _seconds(status.get("startTime") or metadata.get("creationTimestamp") or "")
        until_s = _ended(status) or since_s if pod.over else float("inf")
        for own in pod.addresses:
            found.note(str(own), pod.uid, str(pod), since_s, until_s)
    return found


def _note(found: History, it: flows.Flow, end: flows.End, address: str) -> None:
    said = end.attribution
    if end.kind == "pod" and end.pod_uid and said.mismatch_reason not in _SHARED:
        if end.reason != "host_network":
            found.note(address, end.pod_uid, f"{end.namespace}/{end.pod_name}", it.start_s, it.end_s)
        if isinstance(said.ip, flows.Answer) and said.ip.kind == "pod" and said.ip.uid:
            found.note(address, said.ip.uid, f"{said.ip.namespace}/{said.ip.name}", it.start_s, it.start_s)


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp() if text else 0.0


def _ended(status: Mapping[str, Any]) -> float:
    """Give when the last container of a pod ended; 0 if it is not said."""
    states = [each.get("state") or {} for each in status.get("containerStatuses") or ()]
    return max((_seconds((each.get("terminated") or {}).get("finishedAt") or "") for each in states), default=0.0)
