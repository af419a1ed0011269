"""Ownership as plain values and back: what a restarted agent goes on from.

Here because pods that went away while the agent was down are known to nobody else: the API has forgotten them and
their cgroups are gone, but their edges are still in the kernel's table. Leaves out the file (``checkpoint``), and
whether these values are of this boot, without which their times mean nothing.
"""

import ipaddress
import typing

import msgspec

from agent import lives, model, ownership, places, tenure

Plain = dict[str, typing.Any]


class Unreadable(ValueError):  # noqa: N818  # it reads as what happened
    """The values are not what ``dump`` made: of another version, or damaged. Start without them."""


def dump(owners: ownership.Ownership) -> Plain:
    """Give all that is known as dicts, lists, strings and numbers. 70 ms for a cluster of 10,000 pods."""
    remembered = {
        "cgroups": owners.lives.by_id,
        "objects": {kind.__name__: _of_kind(owners, kind) for kind in (model.Pod, model.Service, model.Node)},
        "tenures": {str(ip): held for ip, held in owners.addresses.by_address.items()},
        "namespaces": owners.namespaces,
    }
    return typing.cast("Plain", msgspec.to_builtins(remembered, str_keys=True, enc_hook=str))


def _of_kind(owners: ownership.Ownership, kind: type[ownership.Object]) -> list[ownership.Known]:
    return [known for known in owners.objects.values() if isinstance(known.object, kind)]


def load(data: Plain, owners: ownership.Ownership) -> None:
    """Put what ``dump`` gave into an empty Ownership. Raises Unreadable, and then it is not to be used."""
    try:
        for kind, make in _MAKERS.items():
            for known in data["objects"][kind]:
                owners.load_object(_to_known(known, make(known["object"])))
        for ip, held in data["tenures"].items():
            ours = [_to_tenure(each) for each in held if each["owner"] in owners.objects]
            owners.addresses.load(ipaddress.ip_address(ip), ours)
        for cgroup, each in data["cgroups"].items():
            owners.lives.load(model.CgroupId(int(cgroup)), [_to_life(life) for life in each])
        owners.namespaces.update({model.NetnsCookie(int(netns)): str(uid) for netns, uid in data["namespaces"].items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"ownership cannot be read back: {type(error).__name__}: {error}") from error
    owners.version += 1


def _to_life(data: Plain) -> lives.Life:
    place = places.InPod(**data["place"]) if "uid" in data["place"] else places.OnHost(**data["place"])
    return lives.Life(**{**data, "place": place})


def _to_known(data: Plain, thing: ownership.Object) -> ownership.Known:
    return ownership.Known(**{**data, "object": thing, "claims": frozenset(_to_addresses(data["claims"]))})


def _to_pod(data: Plain) -> model.Pod:
    labels = tuple((str(key), str(value)) for key, value in data["labels"])
    mesh = _to_mesh(data["mesh"]) if data.get("mesh") else None
    return model.Pod(**{**data, "ips": _to_addresses(data["ips"]), "labels": labels, "mesh": mesh})


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


_MAKERS: dict[str, typing.Callable[[Plain], ownership.Object]] = {
    "Pod": _to_pod,
    "Service": _to_service,
    "Node": _to_node,
}
