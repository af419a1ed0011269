"""How the connected proxies are, published for those who look from outside.

Here because only the control plane sees which proxies have accepted what, and ``ipseity check`` runs where a person is.
ConfigMap ``ipseity-discovery``, one key per control-plane pod. Bounded: everything is counted, the worst are named.
Leaves out what is made of it (``seeing``).
"""

import base64
import binascii
import struct
import typing
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from injector.cluster import model
from injector.discovery import hub
from injector.kube import reports

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

NAME: Final = "ipseity-discovery"
SLOW_S: Final = 5.0
"""A proxy accepts a change in well under a second; one that has not for so long is behind."""
_MOST_NAMED: Final = 50
_MOST_SAID: Final = 300
"""Characters of Envoy's reason; it may quote a whole configuration."""
_FORGOTTEN_S: Final = 600.0
"""What a control plane said that has been silent for so long is removed by the next one."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy that is not as it should be."""

    pod: str
    """``namespace/name``."""
    state: str
    """``refusing``, ``behind``, ``unknown`` (see ``hub.Status``), or ``absent``: ready, and not connected."""
    for_s: int = 0
    reason: str = ""
    """What Envoy said of what it refuses."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one control plane knows of its proxies."""

    time_s: int
    """Seconds since the epoch."""
    version: str
    """Of the control plane: what it puts into pods now."""
    connected: int
    synced: int
    troubled: int
    """Connected, and refusing, behind or unknown."""
    absent: int
    """Ready pods of the mesh that are not connected here."""
    named: tuple[Trouble, ...]
    """The worst of both, refusing ones first."""
    absent_tags: str = ""
    """Base64 of the ``tag`` of each that is absent, 4 bytes each: with several control planes, whoever is in all."""

    def tags(self) -> frozenset[int] | None:
        """Read them; None: they are not those of all that are absent."""
        try:
            raw = base64.b64decode(self.absent_tags, validate=True)
            found = frozenset(each for (each,) in _TAG.iter_unpack(raw))
        except (binascii.Error, struct.error):
            return None
        return found if len(raw) // _TAG.size == self.absent else None


_MOST_TAGGED: Final = 20_000
"""107 kB of a ConfigMap, which holds 1 MiB."""
_TAG: Final = struct.Struct(">I")
_BOARD: Final = reports.Board(name=NAME, kind=Report, what="discovery")
_ORDER: Final = ("refusing", "behind", "unknown", "absent")


def report(statuses: Iterable[hub.Status], state: model.ClusterState, *, now_s: float, version: str) -> Report:
    """Say how they are now."""
    seen = list(statuses)
    bad = [each for each in seen if each.state != "synced" and (each.state == "refusing" or each.behind_s >= SLOW_S)]
    here = {(each.namespace, each.pod) for each in seen}
    absent = [
        pod.ref
        for pod in state.pods.values()
        if pod.meshed and pod.ready and (pod.ref.namespace, pod.ref.name) not in here
    ]
    troubles = [
        Trouble(
            pod=f"{each.namespace}/{each.pod}",
            state=each.state,
            for_s=int(each.behind_s),
            reason=each.refused[:_MOST_SAID],
        )
        for each in bad
    ]
    troubles += [Trouble(pod=str(ref), state="absent") for ref in absent]
    tags = b"".join(_TAG.pack(tag(str(ref))) for ref in absent[:_MOST_TAGGED])
    troubles.sort(key=lambda each: (_ORDER.index(each.state), -each.for_s, each.pod))
    return Report(
        time_s=int(now_s),
        version=version,
        connected=len(seen),
        synced=sum(each.state == "synced" for each in seen),
        troubled=len(bad),
        absent=len(absent),
        named=tuple(troubles[:_MOST_NAMED]),
        absent_tags=base64.b64encode(tags).decode(),
    )


def tag(pod: str) -> int:
    """Shorten ``namespace/name``: two of ten thousand pods that share one are likely, and only hide one another."""
    return zlib.crc32(pod.encode())


async def read(api: "client.ApiClient", namespace: str) -> Mapping[str, Report]:
    """Read what each control plane published; what cannot be read is left out. Raises KubernetesError."""
    return await _BOARD.read(api, namespace)


async def publish(
    api: "client.ApiClient",
    namespace: str,
    name: str,
    current: Callable[[], Report],
    *,
    every_s: float = reports.EVERY_S,
) -> None:
    """Write the report for ever. ``name`` is the control plane's pod."""
    await _BOARD.publish(
        api,
        namespace,
        name,
        current,
        replaces=lambda found: _forgotten(found, name, current().time_s),
        every_s=every_s,
    )


async def withdraw(api: "client.ApiClient", namespace: str, name: str) -> None:
    """Take the report away: its proxies are others' by now. Raises KubernetesError."""
    await _BOARD.remove(api, namespace, name)


def _forgotten(found: Mapping[str, Report], own: str, now_s: float) -> tuple[str, ...]:
    return tuple(name for name, each in found.items() if name != own and now_s - each.time_s > _FORGOTTEN_S)
