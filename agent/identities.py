"""Which cgroups of this node speak as whom in TCP handshakes: what the kernel's table of identities has to say.

Outcome: after each event, what is to be written (cgroup -> tags of its pod, or None: nobody any more). Here because a
pod may connect milliseconds after its cgroup was made, so this must not wait for a tick: it keeps its own small picture
of this node's pods and their cgroups, whichever of the two is told first. Pure. Leaves out writing (``handshake``) and
names for others' tags (``tags``).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from agent import model, places, tags
from ipseity import identity

Changes = dict[int, tuple[int, int] | None]
"""By cgroup: (identity's tag, pod's tag), or None."""
_LIMIT: Final = 65_536
"""Cgroups below pods; as many as ``ownership`` remembers."""
_POD_LIMIT: Final = 64
"""Of one pod. The kernel's table has room for 4,096, so that a node's 110 pods have 37 each; a pod has one and one for
each container, or more where it makes cgroups itself, and must not use up the room of the others."""


class Identities:
    """This node's pods and their cgroups. One owner."""

    def __init__(self, trust_domain: identity.TrustDomain, node: str) -> None:
        self.refused = 0
        """Cgroups that found no room in this picture: they say nothing."""
        self._trust_domain = trust_domain
        self._node = node
        self._uid_of: dict[int, str] = {}
        self._cgroups_of: dict[str, set[int]] = {}
        self._tags: dict[str, tuple[int, int]] = {}
        """By the uid that stands in the cgroup's path: a static pod's is its hash."""
        self._gone: set[str] = set()
        """Pods that the API has no more, while they have cgroups."""

    def begin(self, uids: Mapping[int, str]) -> Changes:
        """Go on with the cgroups in pods that a former agent knew: no scan tells of them again."""
        changes: Changes = {}
        for cgroup, uid in uids.items():
            self._enter(cgroup, uid, changes)
        return changes

    def cgroups(self, events: Iterable[model.CgroupEvent]) -> Changes:
        """Take the coming and going of directories."""
        changes: Changes = {}
        for event in events:
            if event.gone:
                self._leave(event, changes)
            else:
                self._come(event, changes)
        return changes

    def pod(self, event: model.ObjectEvent) -> Changes:
        """Take what the API told of a pod; of another node's nothing is kept."""
        pod = event.object
        if not isinstance(pod, model.Pod) or pod.node != self._node:
            return {}
        uid = pod.static_hash or pod.uid
        if event.change is model.Change.GONE:
            # Whoever still runs there is still who it was.
            if uid in self._cgroups_of:
                self._gone.add(uid)
            else:
                self._tags.pop(uid, None)
            return {}
        account = tags.account_of(pod)
        if account is None:
            return {}
        spiffe_id = identity.SpiffeId(self._trust_domain, account)
        told = identity.identity_tag(spiffe_id), identity.pod_tag(pod.uid)
        self._gone.discard(uid)
        if self._tags.get(uid) == told:
            return {}
        self._tags[uid] = told
        return dict.fromkeys(self._cgroups_of.get(uid, ()), told)

    def strangers(self, written: Collection[int]) -> Changes:
        """Of what a former agent has written, take back what is none of this picture's, once that is whole."""
        return {cgroup: None for cgroup in written if self._uid_of.get(cgroup) not in self._tags}

    def all(self) -> Mapping[int, tuple[int, int]]:
        """Give all that should be written now."""
        return {cgroup: self._tags[uid] for cgroup, uid in self._uid_of.items() if uid in self._tags}

    def _come(self, event: model.CgroupEvent, changes: Changes) -> None:
        place = places.parse(event.path)
        self._enter(event.cgroup, place.uid if isinstance(place, places.InPod) else "", changes)

    def _enter(self, cgroup: int, uid: str, changes: Changes) -> None:
        before = self._uid_of.get(cgroup, "")
        if before == uid:
            return
        if before:
            self._drop(cgroup, changes)
        if not uid:
            return
        if len(self._uid_of) >= _LIMIT or len(self._cgroups_of.get(uid, ())) >= _POD_LIMIT:
            self.refused += 1
            return
        self._uid_of[cgroup] = uid
        self._cgroups_of.setdefault(uid, set()).add(cgroup)
        if uid in self._tags:
            changes[cgroup] = self._tags[uid]

    def _leave(self, event: model.CgroupEvent, changes: Changes) -> None:
        """Take a directory that is gone. An empty path ends whatever it was; another pod's was an earlier life's."""
        place = places.parse(event.path) if event.path else None
        uid = self._uid_of.get(event.cgroup)
        if uid is None or (isinstance(place, places.InPod) and place.uid != uid):
            return
        self._drop(event.cgroup, changes)

    def _drop(self, cgroup: int, changes: Changes) -> None:
        uid = self._uid_of.pop(cgroup)
        rest = self._cgroups_of[uid]
        rest.discard(cgroup)
        if uid in self._tags:
            changes[cgroup] = None
        if not rest:
            del self._cgroups_of[uid]
            if uid in self._gone:
                self._gone.discard(uid)
                self._tags.pop(uid, None)
