"""Which version of each policy is in force: the newest that could be read, also where a later one cannot.

Here because a mistake in a policy must change nothing, and only somebody who remembers can keep that promise. What is
kept from before stands in the object's own status too, so that it outlives this process. Leaves out what a policy does
(``match``) and who writes the status (``service``).

Where a version that cannot be read is met for the first time and the last good one is not known any more (it was
changed while nobody watched), the policy admits nobody on the pods that it selects. If even those cannot be read, or if
it never was in force, it does nothing.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Final

from injector import errors
from injector.policy import document, model
from ipseity import identity

Json = Mapping[str, Any]
ACCEPTED: Final = "Accepted"
"""Type of the condition that says whether the present version can be acted on."""


class Origin(enum.StrEnum):
    """Where the version in force comes from."""

    SPEC = "spec"
    """It is the present one."""
    KEPT = "kept"
    """An earlier one: the present one is not valid."""
    CLOSED = "closed"
    """The present one is not valid and the earlier one is lost: nobody is admitted."""
    NONE = "none"
    """Nothing is in force."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One policy object, as it was last seen."""

    namespace: str
    name: str
    uid: str
    generation: int
    """Of the present spec."""
    error: str
    """Why the present spec cannot be acted on; empty if it can."""
    origin: Origin
    policy: model.AuthorizationPolicy | None
    """What is in force; None for ``Origin.NONE`` only."""
    kept_generation: int = 0
    kept_spec: Json | None = None
    """The version that is in force, for SPEC and KEPT."""
    status: Json = dataclasses.field(default_factory=dict)
    """As the API server has it."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class Book:
    """Every policy that was seen. One owner applies events; anybody may read."""

    def __init__(self, trust_domain: identity.TrustDomain) -> None:
        self._trust_domain = trust_domain
        self._entries: dict[str, Entry] = {}
        self._policies: tuple[model.AuthorizationPolicy, ...] | None = ()
        self.nameless = 0
        """Objects that have no name that could be one: no API server sends them."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """By ``namespace/name``."""
        return self._entries

    @property
    def policies(self) -> tuple[model.AuthorizationPolicy, ...]:
        """All that is in force; the same tuple until that changes."""
        if self._policies is None:
            found = (entry.policy for _, entry in sorted(self._entries.items()))
            self._policies = tuple(policy for policy in found if policy is not None)
        return self._policies

    def apply(self, item: Any) -> Entry | None:
        """Take an object that is new or has changed; None if it is none that could have a name."""
        try:
            namespace, name = model.named(item)
        except errors.InvalidPolicy:
            self.nameless += 1
            return None
        before = self._entries.get(f"{namespace}/{name}")
        entry = self._read(item, namespace, name, before)
        if before is None or before.policy != entry.policy:
            self._policies = None
        self._entries[entry.key] = entry
        return entry

    def forget(self, item: Any) -> None:
        """Take an object that is gone."""
        try:
            namespace, name = model.named(item)
        except errors.InvalidPolicy:
            return
        entry = self._entries.get(f"{namespace}/{name}")
        if entry is not None and entry.uid in {"", _text(item["metadata"], "uid")}:  # else it has a successor
            del self._entries[entry.key]
            self._policies = None

    def _read(self, item: Json, namespace: str, name: str, before: Entry | None) -> Entry:
        metadata = item["metadata"]
        entry = Entry(
            namespace=namespace,
            name=name,
            uid=_text(metadata, "uid"),
            generation=_number(metadata, "generation"),
            error="",
            origin=Origin.SPEC,
            policy=None,
            status=_object(item, "status"),
        )
        try:
            policy = model.parse(item, self._trust_domain)
        except errors.InvalidPolicy as error:
            entry = dataclasses.replace(entry, error=str(error), origin=Origin.NONE)
            return self._fallen_back(item, entry, before)
        spec = _object(item, "spec")
        return dataclasses.replace(entry, policy=policy, kept_generation=entry.generation, kept_spec=spec)

    def _fallen_back(self, item: Json, entry: Entry, before: Entry | None) -> Entry:
        """Find what stays in force in place of a version that is not valid."""
        if before is not None and before.uid == entry.uid:
            origin = Origin.KEPT if before.origin is Origin.SPEC else before.origin
            return dataclasses.replace(
                entry,
                origin=origin,
                policy=before.policy,
                kept_generation=before.kept_generation,
                kept_spec=before.kept_spec,
            )
        restored = self._restored(item, entry)
        if restored is not None:
            return restored
        closed = _closed(item, entry) if _was_in_force(entry.status) else None
        return dataclasses.replace(entry, origin=Origin.CLOSED, policy=closed) if closed else entry

    def _restored(self, item: Json, entry: Entry) -> Entry | None:
        """Take the version that the status has kept, if it can still be read."""
        kept = _object(entry.status, "inForce")
        try:
            policy = model.parse({"metadata": item["metadata"], "spec": kept.get("spec")}, self._trust_domain)
        except errors.InvalidPolicy:
            return None
        return dataclasses.replace(
            entry,
            origin=Origin.KEPT,
            policy=policy,
            kept_generation=_number(kept, "generation"),
            kept_spec=_object(kept, "spec"),
        )


def _was_in_force(status: Json) -> bool:
    """Say whether the policy was acted on when its status was written; what it then said is not known."""
    if _object(status, "inForce"):
        return True
    conditions = status.get("conditions")
    return isinstance(conditions, list) and any(
        isinstance(each, dict) and each.get("type") == ACCEPTED and each.get("status") == "True" for each in conditions
    )


def _closed(item: Json, entry: Entry) -> model.AuthorizationPolicy | None:
    """Make the policy that admits nobody, if it can be told on which pods, and if it did more than watch."""
    spec = _object(item, "spec")
    if spec.get("action") == model.Action.AUDIT:
        return None
    try:
        selector = model.target(document.Node("spec.targetRefs", spec.get("targetRefs")))
    except errors.InvalidPolicy:
        return None
    return model.AuthorizationPolicy(
        namespace=entry.namespace, name=entry.name, action=model.Action.ALLOW, selector=selector, rules=()
    )


def _object(parent: Json, key: str) -> Json:
    found = parent.get(key)
    return found if isinstance(found, dict) else {}


def _text(parent: Json, key: str) -> str:
    found = parent.get(key)
    return found if isinstance(found, str) else ""


def _number(parent: Json, key: str) -> int:
    found = parent.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0
