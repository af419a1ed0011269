"""Pods and pod templates in YAML documents: inject and uninject without a cluster.

Here because some users want to see, review and keep what they run. It is decided and patched by the same functions as
at admission; asking for it counts as a namespace that says ``enabled``. Comments and ways of writing are lost: what
comes out is what was meant, not how it was written.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import yaml

from injector import errors, names
from injector.sidecar import spec
from injector.webhook import decide, patch, removal
from injector.webhook import pod as pods

Value = dict[str, Any]

_TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController"), ("spec", "template")
    ),
}
_AMBIGUOUS: Final = re.compile(r"[-+]?[0-9.][0-9_.]*(?:e[-+]?[0-9]*)?|0[xob][0-9a-f_]*|[yn]|~", re.IGNORECASE)
"""Text that some reader of YAML takes for a number or a truth, though ours does not: go-yaml reads 1e3 as one."""


class Unusable(errors.MeshError):
    """A document that cannot be read or must not be injected; says file, document and object."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What came out."""

    text: str
    """YAML, one document for each that went in."""
    notes: tuple[str, ...]
    """One line for each pod or template: what was done."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A pod or template, and where it stands."""

    where: str
    """``FILE document 2: Deployment shop/web``, for errors."""
    title: str
    """``deployment/web``."""
    namespace: str
    template: Value


def inject(text: str, source: str, installation: spec.Installation, *, namespace: str = "default") -> Rewritten:
    """Inject every pod and template. ``namespace`` is for objects that name none. Raises Unusable."""
    documents = _read(text, source)
    said = dict(_said(item, source) for document in documents for item in _items(document) if _is_namespace(item))

    def change(place: _Place) -> str:
        annotations = {names.INJECT: decide.ENABLED, **said.get(place.namespace, {})}
        return _inject(place, annotations, installation)

    return _rewrite(documents, source, namespace, change)


def uninject(text: str, source: str, *, namespace: str = "default") -> Rewritten:
    """Take the sidecar out of every pod and template. Raises Unusable."""
    return _rewrite(_read(text, source), source, namespace, _uninject)


def _is_namespace(item: Value) -> bool:
    return item.get("kind") == "Namespace"


def _said(item: Value, source: str) -> tuple[str, Mapping[str, str]]:
    """Give the name and the annotations of a Namespace."""
    try:
        found = msgspec.convert(item.get("metadata"), type=pods.Metadata)
    except msgspec.ValidationError as error:
        raise Unusable(f"{source}: Namespace: metadata: {error}", hint="nothing was written") from error
    return found.name or "", found.annotations or {}


def _inject(place: _Place, said: Mapping[str, str], installation: spec.Installation) -> str:
    pod = _pod(place)
    match decide.decide(pod, place.namespace, said):
        case decide.Inject() as decision:
            patch.apply(place.template, patch.make(pod, decision, installation))
            return "\n".join([f"{place.title}: injected", *(f"{place.title}: {each}" for each in decision.warnings)])
        case decide.Skip(reason=reason):
            return f"{place.title}: skipped ({reason}): {decide.SENTENCES[reason]}"
        case decide.Deny(message=message):
            raise Unusable(f"{place.where}: {message}", hint="nothing was written")


def _uninject(place: _Place) -> str:
    _pod(place)
    return f"{place.title}: {'uninjected' if removal.remove(place.template) else 'skipped: there is no sidecar'}"


def _pod(place: _Place) -> pods.Pod:
    try:
        return pods.convert(place.template)
    except pods.MalformedPod as error:
        raise Unusable(f"{place.where}: {error}", hint="nothing was written") from error


def _rewrite(documents: list[Any], source: str, namespace: str, change: Callable[[_Place], str]) -> Rewritten:
    notes = []
    for number, document in enumerate(documents, start=1):
        for item in _items(document):
            place = _place(item, f"{source} document {number}", namespace)
            if place:
                notes.append(change(place))
    text = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return Rewritten(text=text, notes=tuple(notes))


def _read(text: str, source: str) -> list[Any]:
    """Read the documents; through JSON, so that what YAML shares by aliases is changed in one place only."""
    try:
        found = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
        return [msgspec.json.decode(msgspec.json.encode(document)) for document in found]
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise Unusable(f"{source}{where}: not YAML: {error.problem}", hint="nothing was written") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise Unusable(f"{source}: not YAML that Kubernetes reads: {error}", hint="nothing was written") from error


def _items(document: Any) -> Iterator[Value]:
    """Go into lists."""
    if not isinstance(document, dict):
        return
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _items(item)
    else:
        yield document


def _place(item: Value, where: str, namespace: str) -> _Place | None:
    """Find the pod or template in an object; None if it is of another kind."""
    kind = item.get("kind")
    path = _TEMPLATES.get(kind) if isinstance(kind, str) else None
    if path is None:
        return None
    said = item.get("metadata")
    metadata = said if isinstance(said, dict) else {}
    name = str(metadata.get("name") or metadata.get("generateName") or "?")
    home = str(metadata.get("namespace") or namespace)
    found: Any = item
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise Unusable(f"{where}: {kind} {home}/{name}: {'.'.join(path)} is missing", hint="nothing was written")
    return _Place(
        where=f"{where}: {kind} {home}/{name}", title=f"{kind}/{name}".lower(), namespace=home, template=found
    )


class _Loader(yaml.SafeLoader):
    """Safe; a date is the text that it is to Kubernetes."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """No anchors, and text that others could take for something else in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything where it stands."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "'" if _AMBIGUOUS.fullmatch(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
