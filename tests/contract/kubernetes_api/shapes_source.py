"""Writes ``comparisons/lab/api/shapes.json``: the kinds' fields and types, as the official client's models have them.

Why here: the models are the one machine-readable copy of the API's shapes that is on everybody's machine. Run it when
the client is upgraded: ``python -m tests.contract.kubernetes_api.shapes_source``; ``test_shapes.py`` says when it is
due. Leaves out descriptions and merge keys: the models do not have the latter (``comparisons/lab/api/shapes.py``
does).
"""

import json
import pathlib
import types
import typing
from collections.abc import Iterator

import pydantic
from kubernetes.aio import client

from comparisons.lab import api

ROOTS = (
    *("V1Namespace", "V1Node", "V1Pod", "V1Service", "V1EndpointSlice", "V1ServiceAccount", "V1ConfigMap", "V1Secret"),
    *("CoreV1Event", "V1Deployment", "V1ReplicaSet", "V1Job", "V1DaemonSet", "V1Lease"),
    *("V1StatefulSet", "V1CustomResourceDefinition", "EventsV1Event"),
    *("V1MutatingWebhookConfiguration", "V1ValidatingWebhookConfiguration"),
    *("V1ClusterRole", "V1ClusterRoleBinding", "V1Role", "V1RoleBinding"),
    *("V1NetworkPolicy", "V1PodDisruptionBudget"),
    *("V1DeleteOptions", "V1Eviction", "V1Binding", "V1Scale"),
    *("AuthenticationV1TokenRequest", "V1TokenReview", "V1SelfSubjectReview"),
    "V1SelfSubjectAccessReview",
)
SCALARS = {
    "str": "string",
    "int": "int",
    "bool": "bool",
    "float": "number",
    "datetime": "time",
    "object": "any",
    "Any": "any",
    "bytes": "string",
}
TARGET = pathlib.Path(api.__file__).with_name("shapes.json")


def shapes() -> dict[str, dict[str, str]]:
    """Every type that is reachable from the kinds: field name as on the wire (``!`` = required) -> type."""
    found: dict[str, dict[str, str]] = {}
    todo = list(ROOTS)
    while todo:
        name = todo.pop()
        if name not in found:
            model = getattr(client, name)
            found[name] = dict(sorted(_fields(model)))
            todo += [m for t in found[name].values() if (m := t.removeprefix("[]").removeprefix("{}"))[0].isupper()]
    return dict(sorted(found.items()))


def _fields(model: type[pydantic.BaseModel]) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        wire = field.serialization_alias or field.alias or name
        yield wire + ("!" if field.is_required() else ""), _type(field.annotation)


def _type(annotation: typing.Any) -> str:
    origin, args = typing.get_origin(annotation), [a for a in typing.get_args(annotation) if a is not types.NoneType]
    if origin is typing.Annotated:
        return _type(args[0])
    if origin is typing.Union:
        return _union({_type(a) for a in args})
    if origin is list:
        return "[]" + _type(args[0])
    if origin is dict:
        return "{}" + _type(args[1])
    return SCALARS.get(getattr(annotation, "__name__", ""), getattr(annotation, "__name__", "any"))


UNIONS = {
    ("int", "string"): "intOrString",
    ("int", "number"): "number",
    ("bool", "{}any"): "schemaOrBool",  # JSONSchemaProps.additionalProperties
    ("[]{}any", "{}any"): "V1JSONSchemaProps",  # JSONSchemaProps.items: v1 takes no list
    ("[]string", "{}any"): "any",  # JSONSchemaProps.dependencies, which v1 refuses
}


def _union(members: set[str]) -> str:
    if len(members) == 1:
        return members.pop()
    try:
        return UNIONS[tuple(sorted(members))]
    except KeyError:
        raise TypeError(f"no rule for a union of {sorted(members)}") from None


def text() -> str:
    """Return the file's text: one type a line, so that an upgrade of the client reads well as a diff."""
    lines = (f" {json.dumps(name)}: {json.dumps(fields)}" for name, fields in shapes().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(text())
