"""Who pods are: those that the API has, and those that are gone and only flows have named.

Here because yesterday's pods are not in today's API, and policies speak of labels. Pure.
"""

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from comparisons.ip_policy import gathering, model
from comparisons.observed import flows
from ipseity import workload

Json = Mapping[str, Any]
MESHED: Final = "ipseity.io/meshed"
VOLATILE: Final = frozenset(
    {
        *workload.DEPLOYERS, "controller-revision-hash", "pod-template-generation", "controller-uid", "job-name",
        "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index", MESHED,
    }
)  # fmt: skip
"""Labels that tell replicas or roll-outs apart, or that somebody else sets: none is the workload's name."""
_NAMING: Final = ("app.kubernetes.io/name", "app", "k8s-app", "name")
"""Labels that people name workloads by, the most usual first."""
_NARROWING: Final = ("app.kubernetes.io/instance", "app.kubernetes.io/component", "component", "tier", "role")
"""Labels that say more beside one of those."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A workload."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A pod, as far as it is known."""

    uid: str
    group: Group
    labels: Mapping[str, str]
    account: str
    present: bool
    """Whether the API has it, and it runs."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """All of them."""

    state: model.State
    by_uid: Mapping[str, Person]

    def of(self, group: Group) -> list[Person]:
        """List a workload's pods: those that are there, or if none is, those that were."""
        mine = [it for it in self.by_uid.values() if it.group == group]
        return [it for it in mine if it.present] or mine

    def group(self, end: flows.End) -> Group:
        """Give an end's workload: if only its account is proven, the account's one workload, or the account."""
        if not end.workloads:
            mine = {it.group for it in self.by_uid.values() if it.present and _runs_as(it, end)}
            if len(mine) == 1:
                return next(iter(mine))
        return Group(namespace=end.namespace, kind=end.workload.kind, name=end.workload.name)

    def pod(self, end: flows.End, address: str) -> model.Pod | None:
        """Give an end as it was, with the address that it had; None if its labels are not known."""
        return self.named(end.pod_uid, end.namespace, end.pod_name, address)

    def named(self, uid: str, namespace: str, name: str, address: str) -> model.Pod | None:
        """See ``pod``."""
        here, known = ipaddress.ip_address(address), self.state.pods.get(uid)
        if known is not None:
            return dataclasses.replace(known, addresses=(here,), over=False, leaving=False)
        person = self.by_uid.get(uid)
        if person is None:
            return None
        labels = model.labels(person.labels)
        alike = (it for it in self.state.pods.values() if it.namespace == namespace and labels <= it.labels)
        return model.Pod(
            uid=uid,
            namespace=namespace,
            name=name,
            labels=labels,
            node="",
            addresses=(here,),
            ports=next((it.ports for it in alike if it.ports), ()),
        )

    def selector(self, group: Group) -> dict[str, str] | None:
        """Give the fewest labels that select a workload's pods and nobody else's of its namespace; None: none do."""
        mine = [it.labels for it in self.of(group)]
        if not mine:
            return None
        same = {key: value for key, value in mine[0].items() if all(it.get(key) == value for it in mine)}
        same = {key: value for key, value in same.items() if key not in VOLATILE}
        usual = [key for key in _NAMING if key in same]
        more = [key for key in _NARROWING if key in same]
        pairs = [(first, second) for at, first in enumerate(usual) for second in [*usual[at + 1 :], *more]]
        others = [
            it.labels
            for it in self.by_uid.values()
            if it.group.namespace == group.namespace and it.group != group and it.present
        ]
        for keys in [*((key,) for key in usual), *pairs, tuple(sorted(same))]:
            chosen = {key: same[key] for key in keys}
            if chosen and not any(all(it.get(key) == value for key, value in chosen.items()) for it in others):
                return chosen
        return None

    def sharing(self, namespace: str, account: str) -> list[str]:
        """List the workloads of a service account that are there."""
        return sorted(
            {
                it.group.name
                for it in self.by_uid.values()
                if it.present and (it.group.namespace, it.account) == (namespace, account)
            }
        )

    def meshed(self, group: Group) -> bool:
        """Tell whether all of a workload's pods have a sidecar."""
        mine = self.of(group)
        return bool(mine) and all(it.labels.get(MESHED) == "true" for it in mine)


def _runs_as(it: Person, end: flows.End) -> bool:
    return (it.group.namespace, it.account) == (end.namespace, end.service_account)


def people(objects: Sequence[Json], seen: Iterable[flows.Flow]) -> People:
    """Know everybody. PolicyError names an object that cannot be read."""
    state = gathering.state(objects)
    found: dict[str, Person] = {}
    for end in dict.fromkeys(end for it in seen for end in (it.source, it.destination)):
        if end.kind == "pod" and end.pod_uid and end.workloads:
            group = Group(namespace=end.namespace, kind=end.workload.kind, name=end.workload.name)
            found[end.pod_uid] = Person(
                uid=end.pod_uid, group=group, labels=end.tags, account=end.service_account, present=False
            )
    for each in objects:
        if each.get("kind") == "Pod":
            person = _person(each, state)
            found[person.uid] = person
    return People(state=state, by_uid=found)


def _person(it: Json, state: model.State) -> Person:
    metadata, spec = it["metadata"], it.get("spec") or {}
    name, namespace = metadata["name"], metadata.get("namespace") or "default"
    uid = metadata.get("uid") or f"Pod/{namespace}/{name}"
    labels = metadata.get("labels") or {}
    owner: Json = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), {})
    kind, top = workload.top(name, spec.get("nodeName") or "", labels, owner.get("kind", ""), owner.get("name", ""))
    return Person(
        uid=uid,
        group=Group(namespace=namespace, kind=kind, name=top),
        labels=labels,
        account=spec.get("serviceAccountName") or "default",
        present=uid in state.pods and not state.pods[uid].over,
    )
