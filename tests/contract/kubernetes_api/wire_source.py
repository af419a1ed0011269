"""Writes ``comparisons/lab/api/wire.json``: the kinds' protobuf field numbers, as ``kubectl`` carries them.

Go keeps the tags of every struct field in its binaries (``json:"name" protobuf:"bytes,1,opt,name=name"``), and
``kubectl`` is on every machine that runs the lab. Run it when ``kubectl`` is upgraded: ``python -m
tests.contract.kubernetes_api.wire_source $(which kubectl)``. Reads the layout of Go's ``internal/abi.Type`` in a
little-endian 64-bit ELF file that is not position independent.
"""

import json
import pathlib
import re
import struct
import sys
from collections.abc import Iterator

from comparisons.lab import api

TARGET = pathlib.Path(api.__file__).with_name("wire.json")
CORE, META = "k8s.io/api/core/v1", "k8s.io/apimachinery/pkg/apis/meta/v1"
ROOTS = {
    **{
        f"v1/{kind}": f"{CORE}.{kind}"
        for kind in ("Namespace", "Node", "Pod", "Service", "ServiceAccount", "ConfigMap", "Secret")
    },
    **{f"v1/{kind}": f"{CORE}.{kind}" for kind in ("Event", "Binding")},
    **{f"apps/v1/{kind}": f"k8s.io/api/apps/v1.{kind}" for kind in ("Deployment", "ReplicaSet", "DaemonSet")},
    "apps/v1/StatefulSet": "k8s.io/api/apps/v1.StatefulSet",
    "events.k8s.io/v1/Event": "k8s.io/api/events/v1.Event",
    "batch/v1/Job": "k8s.io/api/batch/v1.Job",
    "coordination.k8s.io/v1/Lease": "k8s.io/api/coordination/v1.Lease",
    "discovery.k8s.io/v1/EndpointSlice": "k8s.io/api/discovery/v1.EndpointSlice",
    "networking.k8s.io/v1/NetworkPolicy": "k8s.io/api/networking/v1.NetworkPolicy",
    "policy/v1/PodDisruptionBudget": "k8s.io/api/policy/v1.PodDisruptionBudget",
    "policy/v1/Eviction": "k8s.io/api/policy/v1.Eviction",
    "autoscaling/v1/Scale": "k8s.io/api/autoscaling/v1.Scale",
    **{
        f"authentication.k8s.io/v1/{kind}": f"k8s.io/api/authentication/v1.{kind}"
        for kind in ("TokenRequest", "TokenReview", "SelfSubjectReview")
    },
    "authorization.k8s.io/v1/SelfSubjectAccessReview": "k8s.io/api/authorization/v1.SelfSubjectAccessReview",
    **{
        f"rbac.authorization.k8s.io/v1/{kind}": f"k8s.io/api/rbac/v1.{kind}"
        for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    },
    **{
        f"admissionregistration.k8s.io/v1/{kind}": f"k8s.io/api/admissionregistration/v1.{kind}"
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    },
    "v1/DeleteOptions": f"{META}.DeleteOptions",
}
SPECIAL = {
    f"{META}.Time": "time",
    f"{META}.MicroTime": "time",
    f"{META}.FieldsV1": "json",
    "k8s.io/apimachinery/pkg/api/resource.Quantity": "quantity",
    "k8s.io/apimachinery/pkg/util/intstr.IntOrString": "intOrString",
}
BOOL, INTS, MAP, POINTER, SLICE, STRING, STRUCT, UINT8 = 1, range(2, 13), 21, 22, 23, 24, 25, 8


class Binary:
    """The types in a Go program."""

    def __init__(self, path: pathlib.Path) -> None:
        self._data = path.read_bytes()
        self._sections = dict(self._read_sections())
        self._base = self._sections[".rodata"][0]

    def _read_sections(self) -> Iterator[tuple[str, tuple[int, int, int]]]:
        (offset,) = struct.unpack_from("<Q", self._data, 0x28)
        size, count, names_index = struct.unpack_from("<HHH", self._data, 0x3A)
        headers = [struct.unpack_from("<IIQQQQ", self._data, offset + index * size) for index in range(count)]
        names = headers[names_index][4]
        for name, _type, _flags, address, place, length in headers:
            end = self._data.index(b"\0", names + name)
            yield self._data[names + name : end].decode(), (address, place, length)

    def _at(self, address: int) -> int:
        for start, place, length in self._sections.values():
            if start and start <= address < start + length:
                return place + address - start
        raise ValueError(f"no section holds address {address:#x}")

    def number(self, address: int, form: str = "<Q") -> int:
        """Return a number at an address."""
        return struct.unpack_from(form, self._data, self._at(address))[0]

    def kind(self, address: int) -> int:
        """``reflect.Kind`` of the type at an address."""
        return self.number(address + 23, "<B") & 31

    def name(self, address: int) -> str:
        """Return the type's name with its package's path; "" for one without."""
        flags = self.number(address + 20, "<B")
        text, _ = self.text(self._base + self.number(address + 40, "<i"))
        if not flags & 1:  # no UncommonType behind it
            return ""
        size = {STRUCT: 80, MAP: 104, POINTER: 56, SLICE: 56}.get(self.kind(address), 48)
        package, _ = self.text(self._base + self.number(address + size, "<i"))
        return package + "." + text.lstrip("*").rpartition(".")[2]

    def text(self, address: int) -> tuple[str, str]:
        """Return a name and its tag: ``internal/abi.Name``."""
        place = self._at(address)
        flags, (name, place) = self._data[place], self._counted(place + 1)
        tag = self._counted(place)[0] if flags & 2 else ""
        return name, tag

    def _counted(self, place: int) -> tuple[str, int]:
        length, shift = 0, 0
        while True:
            byte = self._data[place]
            place, length, shift = place + 1, length | (byte & 127) << shift, shift + 7
            if byte < 128:
                return self._data[place : place + length].decode(), place + length

    def fields(self, address: int) -> Iterator[tuple[str, str, int]]:
        """(name, tag, type) of a struct's fields."""
        first, count = self.number(address + 56), self.number(address + 64)
        for index in range(count):
            name, type_ = (self.number(first + 24 * index + 8 * part) for part in range(2))
            yield (*self.text(name), type_)

    def structs(self) -> dict[str, int]:
        """Named structs: those that some pointer type leads to."""
        _, place, length = self._sections[".typelink"]
        found = {}
        for index in range(length // 4):
            address = self._base + struct.unpack_from("<i", self._data, place + 4 * index)[0]
            if self.kind(address) == POINTER and self.kind(target := self.number(address + 48)) == STRUCT:
                found[self.name(target)] = target
        return found


def wire(binary: Binary) -> dict[str, dict[str, object]]:
    """All messages that are reachable from the kinds."""
    structs, messages = binary.structs(), {}
    todo = list(ROOTS.values())
    while todo:
        name = todo.pop()
        if name not in messages:
            messages[name] = dict(_message(binary, structs[name]))
            todo += [str(row[1]) for row in messages[name].values() if "/" in str(row[1])]
    short = {name: name.removeprefix("k8s.io/api/").replace("k8s.io/apimachinery/pkg/apis/", "") for name in messages}
    rows = {short[n]: {k: [f, short.get(t, t), *m] for k, (f, t, *m) in found.items()} for n, found in messages.items()}
    return {"roots": {said: short[name] for said, name in ROOTS.items()}, **dict(sorted(rows.items()))}


def _message(binary: Binary, address: int) -> Iterator[tuple[str, list[str]]]:
    for _name, tag, declared in binary.fields(address):
        protobuf, json_tag = (re.search(rf'{key}:"([^"]*)"', tag) for key in ("protobuf", "json"))
        if protobuf is None or json_tag is None:
            continue
        name, *options = json_tag[1].split(",")
        pointer = binary.kind(declared) == POINTER
        type_ = binary.number(declared + 48) if pointer else declared
        form, how = _form(binary, type_)
        marks = [how] if how else []
        if "omitempty" in options and not pointer and not how:
            marks.append("omit")
        yield protobuf[1].split(",")[1], [name, form, *marks]


def _form(binary: Binary, type_: int) -> tuple[str, str]:
    """Return the type of one value, and whether it is a list or a map of them."""
    kind = binary.kind(type_)
    if kind == SLICE and binary.kind(binary.number(type_ + 48)) != UINT8:
        return _form(binary, binary.number(type_ + 48))[0], "list"
    if kind == MAP:
        return _form(binary, binary.number(type_ + 56))[0], "map"
    if kind == POINTER:
        return _form(binary, binary.number(type_ + 48))
    return _scalar(binary, type_, kind), ""


def _scalar(binary: Binary, type_: int, kind: int) -> str:
    if kind == STRUCT:
        name = binary.name(type_)
        return SPECIAL.get(name, name)
    if kind in INTS:
        return "int"
    return {BOOL: "bool", STRING: "string", SLICE: "bytes"}[kind]


def patch_tags(program: pathlib.Path) -> dict[tuple[str, str], tuple[str, str | None]]:
    """Return (type, field) -> (patchStrategy, patchMergeKey); embedded types are under the one that has them."""
    binary, found = Binary(program), {}
    structs = binary.structs()
    todo = [(name, name.rpartition(".")[2]) for name in ROOTS.values()]
    seen = set(todo)
    while todo:
        name, known_as = todo.pop()
        for _name, tag, type_ in binary.fields(structs[name]):
            said = {
                key: (re.search(rf'{key}:"([^",]*)', tag) or [None, ""])[1]
                for key in ("json", "patchMergeKey", "protobuf")
            }
            strategy = re.search(r'patchStrategy:"([^"]*)"', tag)
            if strategy:
                found[known_as, said["json"]] = (strategy[1], said["patchMergeKey"] or None)
            below = _form(binary, type_)[0] if said["protobuf"] else ""
            next_ = (below, known_as if not said["json"] else below.rpartition(".")[2])
            if below in structs and next_ not in seen:
                seen.add(next_)
                todo.append(next_)
    return found


def text(binary: pathlib.Path) -> str:
    """Return the file's text: one message a line."""
    lines = (f" {json.dumps(name)}: {json.dumps(fields)}" for name, fields in wire(Binary(binary)).items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(text(pathlib.Path(sys.argv[1])))
