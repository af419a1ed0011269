"""What every pod holds now, whoever signed it: what anchor its leaf needs, until when, and what it says it trusts.

Here because an anchor may be put to use only when every pod trusts it, and dropped only when no pod's leaf needs it:
both are questions about all pods at once. Rebuilt at a start from the issuance log, and from what other replicas tell
(``injector.replicas``). One entry per pod, its newest: an older leaf of the same pod is not in use any more. Bounded:
beyond ``max_pods`` entries are folded together by what matters, which can only make an answer more careful. Pure:
``now_s`` is an argument.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from injector.identity import issuance

_MAX_PODS: Final = 100_000
"""Some 30 MB. A cluster's limit is 150,000 pods, most of which are in nobody's mesh."""
_GONE: Final = 4096
"""Pods that were deleted of late: what others still tell of them is not taken."""
_OVERDUE: Final = 0.85
"""Of its life: a leaf is renewed at 70 %, and tried again from then on."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """The newest leaf of one pod. Anchors are SHA-256, times seconds since the epoch."""

    pod_uid: str
    """Empty: of some pods together."""
    anchor: str
    not_before_s: int
    not_after_s: int
    trusted: tuple[str, ...] | None
    """In order; None: the pod did not say."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What hangs on one anchor."""

    pods: int
    last_not_after_s: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All pods at one moment."""

    pods: int = 0
    """Those with a leaf that is valid."""
    silent: int = 0
    """Those that never say what they trust."""
    by_anchor: Mapping[str, Use] = dataclasses.field(default_factory=dict)
    trusting: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """By anchor: how many pods said that they trust it."""
    first_not_after_s: int = 0
    """The leaf that ends first; 0: there is none."""
    overdue: int = 0
    """Pods that should have renewed long ago."""

    def untold(self, anchor: str) -> int:
        """Count the pods that say what they trust, and did not name this anchor."""
        return self.pods - self.silent - self.trusting.get(anchor, 0)


class Ledger:
    """Follows leaves by pod."""

    def __init__(self, *, max_pods: int = _MAX_PODS) -> None:
        self._max_pods = max_pods
        self._pods: dict[str, Leaf] = {}
        self._folded: dict[tuple[str, tuple[str, ...] | None], Leaf] = {}
        self._gone: dict[str, None] = {}
        self._listeners: list[Callable[[Leaf], None]] = []

    def __len__(self) -> int:
        """Entries held."""
        return len(self._pods) + len(self._folded)

    def record(self, entry: issuance.Entry) -> None:
        """Take a leaf that we signed, and tell whoever listens."""
        leaf = Leaf(
            pod_uid=entry.pod_uid,
            anchor=entry.anchor,
            not_before_s=entry.not_before_s,
            not_after_s=entry.not_after_s,
            trusted=None if entry.trusted is None else tuple(sorted(set(entry.trusted))),
        )
        self.hear(leaf)
        for listener in tuple(self._listeners):
            listener(leaf)

    def hear(self, leaf: Leaf) -> None:
        """Take a leaf, whoever signed it; of two of one pod the newer one counts."""
        before = self._pods.get(leaf.pod_uid)
        if before is not None and before.not_before_s > leaf.not_before_s:
            return
        if leaf.pod_uid in self._gone:
            return
        if leaf.pod_uid and (before is not None or len(self._pods) < self._max_pods):
            self._pods[leaf.pod_uid] = leaf
            return
        key = (leaf.anchor, leaf.trusted)
        folded = self._folded.get(key)
        if folded is None or folded.not_after_s < leaf.not_after_s:
            self._folded[key] = dataclasses.replace(leaf, pod_uid="")

    def leaves(self) -> Iterator[Leaf]:
        """Give all that is held."""
        yield from self._pods.values()
        yield from self._folded.values()

    def listen(self, listener: Callable[[Leaf], None]) -> Callable[[], None]:
        """Call ``listener`` for each leaf that we sign from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def recall(self, entries: Iterable[issuance.Entry]) -> None:
        """Take what the log still knows, oldest first."""
        for entry in entries:
            self.record(entry)

    def gone(self, pod_uid: str) -> None:
        """Forget a pod that was deleted: nobody has to wait for its leaf to end."""
        self._pods.pop(pod_uid, None)
        self._gone[pod_uid] = None
        if len(self._gone) > _GONE:
            del self._gone[next(iter(self._gone))]

    def expire(self, now_s: float) -> None:
        """Forget leaves that ended."""
        self._pods = {uid: leaf for uid, leaf in self._pods.items() if leaf.not_after_s > now_s}
        self._folded = {key: leaf for key, leaf in self._folded.items() if leaf.not_after_s > now_s}

    def summary(self, now_s: float) -> Summary:
        """Look at all valid leaves."""
        leaves = [leaf for leaf in self.leaves() if leaf.not_after_s > now_s]
        by_anchor: dict[str, Use] = {}
        trusting: dict[str, int] = {}
        for leaf in leaves:
            use = by_anchor.get(leaf.anchor, Use(pods=0, last_not_after_s=0))
            by_anchor[leaf.anchor] = Use(
                pods=use.pods + 1, last_not_after_s=max(use.last_not_after_s, leaf.not_after_s)
            )
            for anchor in leaf.trusted or ():
                trusting[anchor] = trusting.get(anchor, 0) + 1
        return Summary(
            pods=len(leaves),
            silent=sum(leaf.trusted is None for leaf in leaves),
            by_anchor=by_anchor,
            trusting=trusting,
            first_not_after_s=min((leaf.not_after_s for leaf in leaves), default=0),
            overdue=sum(_is_overdue(leaf, now_s) for leaf in leaves),
        )


def _is_overdue(leaf: Leaf, now_s: float) -> bool:
    return now_s > leaf.not_before_s + _OVERDUE * (leaf.not_after_s - leaf.not_before_s)
