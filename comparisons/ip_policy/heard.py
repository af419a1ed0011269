"""What has been heard of the cluster: objects as they came, and which changes no rule reflects yet.

Here so that the state that rules are made of, and the moment from which a delay counts, have one owner. Pure. Leaves
out watching (``agent``).
"""

import dataclasses
from collections.abc import Mapping
from typing import Generic, TypeVar

from comparisons.ip_policy import model
from ipseity import informer

Value = model.Pod | model.Namespace | model.Policy | model.Node
T = TypeVar("T", model.Pod, model.Namespace, model.Policy, model.Node)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One change that was heard."""

    kind: str
    namespace: str
    name: str
    uid: str
    version: str
    """The object's ``resourceVersion``; of one that is gone, the last that was heard."""
    gone: bool
    addresses: tuple[str, ...]
    """Of a pod."""
    heard_mono_ns: int


class Collection(Generic[T]):
    """The objects of one kind, by UID."""

    def __init__(self) -> None:
        self.objects: dict[str, T] = {}

    def take(self, event: informer.WatchEvent[T]) -> None:
        """Take in a change."""
        if event.change is informer.Change.GONE:
            self.objects.pop(event.uid, None)
        else:
            self.objects[event.uid] = event.value


class Cluster:
    """Everything heard."""

    def __init__(self) -> None:
        self.pods: Collection[model.Pod] = Collection()
        self.namespaces: Collection[model.Namespace] = Collection()
        self.policies: Collection[model.Policy] = Collection()
        self.nodes: Collection[model.Node] = Collection()
        self._news: list[News] = []

    def note(self, kind: str, event: informer.WatchEvent[T]) -> None:
        """Remember that a change waits for its rules."""
        value: Value = event.value
        self._news.append(
            News(
                kind=kind,
                namespace=getattr(value, "namespace", ""),
                name=value.name,
                uid=event.uid,
                version=value.version,
                gone=event.change is informer.Change.GONE,
                addresses=tuple(map(str, value.addresses)) if isinstance(value, model.Pod) else (),
                heard_mono_ns=event.boot_ns,
            )
        )

    def news(self) -> list[News]:
        """Hand over what waits."""
        taken, self._news = self._news, []
        return taken

    def again(self, news: list[News]) -> None:
        """Take back what was handed over: it is not enforced yet."""
        self._news = news + self._news

    def state(self) -> model.State:
        """Return everything, as it is now."""
        return model.State(
            pods=dict(self.pods.objects),
            namespaces=_named(self.namespaces.objects),
            policies=model.ordered(self.policies.objects.values()),
            nodes=_named(self.nodes.objects),
        )


N = TypeVar("N", model.Namespace, model.Node)


def _named(found: Mapping[str, N]) -> dict[str, N]:
    return {each.name: each for each in found.values()}
