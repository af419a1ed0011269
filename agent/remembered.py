"""Ownership as plain values and back: what a restarted agent goes on from.

Here because pods that went away while the agent was down are known to nobody else: the API has forgotten them and
their cgroups are gone, but their edges are still in the kernel's table. Leaves out the file (``checkpoint``), and
whether these values are of this boot, without which their times mean nothing.
"""

import functools
import ipaddress
import itertools
import struct
import sys
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from agent import lives, model, ownership, places, tenure

Plain = dict[str, typing.Any]
_SHARED: Final = ("namespace", "node", "workload_kind", "workload", "service_account")
"""What many pods have in common: one string for all of them is half of their memory."""
_AT_ONCE: Final = 1_000
"""Objects that are encoded together: 150,000 pods at once are 100 MB beside those that they are made of."""


class Unreadable(ValueError):  # noqa: N818  # it reads as what happened
    """The values are not what ``dump`` made: of another version, or damaged. Start without them."""


class _Dumped(msgspec.Struct):
    """What is decoded at once; the rest one after the other, so that it is never there twice."""

    cgroups: dict[int | str, list[Plain]]
    namespaces: dict[int | str, str]
    tenures: dict[str, msgspec.Raw]
    objects: dict[str, list[msgspec.Raw]]


def dump(owners: ownership.Ownership) -> msgspec.Raw:
    """Give all that is known as maps, arrays, strings and numbers of MessagePack."""
    return msgspec.Raw(b"".join(pieces(owners)))


def pieces(owners: ownership.Ownership) -> Iterator[bytes]:
    """Give the same as MessagePack, piece by piece: one value, whose memory nobody needs."""
    yield _MAP.pack(0xDF, 4)
    yield _encoded("cgroups") + _encoded(owners.lives.by_id)
    yield _encoded("namespaces") + _encoded(owners.namespaces)
    yield _encoded("tenures")
    yield from _map_of(owners.addresses.by_address)
    yield _encoded("objects") + _MAP.pack(0xDF, len(_MAKERS))
    for name, kind in (("Pod", model.Pod), ("Service", model.Service), ("Node", model.Node)):
        yield _encoded(name)
        yield from _list_of([known for known in owners.objects.values() if isinstance(known.object, kind)])


def _list_of(values: Collection[typing.Any]) -> Iterator[bytes]:
    yield _MAP.pack(0xDD, len(values))
    for some in _some(values):
        yield _encoded(some)[_head(some) :]


def _map_of(values: Mapping[typing.Any, typing.Any]) -> Iterator[bytes]:
    yield _MAP.pack(0xDF, len(values))
    for some in _some(values.items()):
        yield _encoded({str(key): value for key, value in some})[_head(some) :]


def _some(values: Iterable[typing.Any]) -> Iterator[list[typing.Any]]:
    rest = iter(values)
    while some := list(itertools.islice(rest, _AT_ONCE)):
        yield some


def _head(some: Collection[typing.Any]) -> int:
    """Tell how long the head of a short list or map is: fixarray and fixmap, or array 16 and map 16."""
    return 1 if len(some) < 16 else 3


def _encoded(value: typing.Any) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=str)


def load(dumped: msgspec.Raw, owners: ownership.Ownership) -> None:
    """Put what ``dump`` gave into an empty Ownership. Raises Unreadable, and then it is not to be used."""
    try:
        data = msgspec.msgpack.decode(dumped, type=_Dumped)
        for kind, make in _MAKERS.items():
            for raw in data.objects[kind]:
                known = msgspec.msgpack.decode(raw, type=Plain)
                owners.load_object(_to_known(known, make(known["object"])))
        for ip, tenures in data.tenures.items():
            held = msgspec.msgpack.decode(tenures, type=list[Plain])
            ours = [_to_tenure(each) for each in held if each["owner"] in owners.objects]
            owners.addresses.load(ipaddress.ip_address(ip), ours)
        for cgroup, each in data.cgroups.items():
            owners.lives.load(model.CgroupId(int(cgroup)), [_to_life(life) for life in each])
        owners.namespaces.update({model.NetnsCookie(int(netns)): uid for netns, uid in data.namespaces.items()})
        owners.loaded()
    except (KeyError, TypeError, ValueError, AttributeError, msgspec.MsgspecError, RecursionError) as error:
        raise Unreadable(f"ownership cannot be read back: {type(error).__name__}: {error}") from error
    owners.version += 1


def _to_life(data: Plain) -> lives.Life:
    place = places.InPod(**data["place"]) if "uid" in data["place"] else places.OnHost(**data["place"])
    return lives.Life(**{**data, "place": place})


def _to_known(data: Plain, thing: ownership.Object) -> ownership.Known:
    claims = _to_addresses(data["claims"])
    return ownership.Known(**{**data, "object": thing, "claims": thing.ips if claims == thing.ips else claims})


def _to_pod(data: Plain) -> model.Pod:
    shared = {name: sys.intern(data[name]) for name in _SHARED}
    labels = _labels(tuple((str(key), str(value)) for key, value in data["labels"]))
    mesh = _to_mesh(data["mesh"]) if data.get("mesh") else None
    return model.Pod(**{**data, **shared, "ips": _to_addresses(data["ips"]), "labels": labels, "mesh": mesh})


@functools.lru_cache(maxsize=4096)
def _labels(labels: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Give one tuple for all replicas of a workload, as ``pods`` does."""
    return labels


def _to_mesh(data: Plain) -> model.Mesh:
    containers = tuple((str(number), str(name)) for number, name in data["containers"])
    return model.Mesh(**{**data, "containers": containers})


def _to_service(data: Plain) -> model.Service:
    return model.Service(**{**data, "ips": _to_addresses(data["ips"])})


def _to_node(data: Plain) -> model.Node:
    cidrs = tuple(ipaddress.ip_network(text) for text in data["pod_cidrs"])
    return model.Node(**{**data, "ips": _to_addresses(data["ips"]), "pod_cidrs": cidrs})


def _to_addresses(texts: list[str]) -> tuple[model.IpAddress, ...]:
    return tuple(ipaddress.ip_address(text) for text in texts)


def _to_tenure(data: Plain) -> tenure.Tenure:
    return tenure.Tenure(**{**data, "source": tenure.Source(data["source"])})


_MAP: Final = struct.Struct(">BI")
"""Head of MessagePack's map 32 (0xDF) or array 32 (0xDD), and how many there are."""
_MAKERS: dict[str, typing.Callable[[Plain], ownership.Object]] = {
    "Pod": _to_pod,
    "Service": _to_service,
    "Node": _to_node,
}
