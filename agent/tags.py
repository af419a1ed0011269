"""Who the tags in a TCP handshake stand for: the service account, and the pod where the API tells of it.

Here because a tag is a hash and only whoever knows the names can read it. A name once known stays right: it is what
hashes to the tag. Pure. Leaves out who speaks under which tag (``identities``) and what it means for a flow
(``attribution``).
"""

import collections
import operator
from collections.abc import Iterable
from typing import Final

from agent import model, ownership
from ipseity import identity

_GONE_ACCOUNTS: Final = 4_096
"""Accounts that are no more and are still named. Arbitrary: a pod outlives its account by its grace period, so this
many namespaces may be deleted within it."""


class Tags:
    """The index. ``version`` grows whenever an answer may have changed."""

    def __init__(self, trust_domain: identity.TrustDomain, *, whole: bool = True) -> None:
        """Know nobody yet. ``whole``: the API tells of every node's pods, so that one not told of is only late."""
        self.whole: Final = whole
        self.version = 0
        self._trust_domain = trust_domain
        self._accounts: dict[int, identity.ServiceAccount] = {}
        self._gone: collections.OrderedDict[int, None] = collections.OrderedDict()
        self._pods: dict[int, str | tuple[str, ...]] = {}
        """One uid, or those that have the same tag, which hardly any have: no tuple for each of 150,000 pods."""
        self._gone_pods: collections.OrderedDict[str, int] = collections.OrderedDict()

    def learn(self, account: identity.ServiceAccount) -> None:
        """Take that there is such a service account."""
        tag = self.tag(account)
        self._gone.pop(tag, None)
        if tag not in self._accounts:
            self._accounts[tag] = account
            self.version += 1

    def lose(self, account: identity.ServiceAccount) -> None:
        """Take that it was deleted. Its pods may talk on for a while, so the name is kept, among the last that went."""
        tag = self.tag(account)
        if tag in self._accounts:
            self._gone[tag] = None
            self._gone.move_to_end(tag)
        while len(self._gone) > _GONE_ACCOUNTS:
            oldest, _ = self._gone.popitem(last=False)
            del self._accounts[oldest]

    def names(self) -> list[tuple[str, str]]:
        """Give namespace and name of every account that has a name here, for the next run."""
        return [(account.namespace, account.name) for account in self._accounts.values()]

    def remember(self, accounts: Iterable[identity.ServiceAccount]) -> None:
        """Begin with what an earlier run named: as accounts that may be no more, until the API tells of them."""
        for account in accounts:
            if self.tag(account) not in self._accounts:
                self.learn(account)
                self.lose(account)

    def apply(self, event: model.ObjectEvent) -> None:
        """Take what the API told of a pod: that it is there, and under which account it runs."""
        if not isinstance(event.object, model.Pod):
            return
        self._gone_pods.pop(event.object.uid, None)
        self.learn_pod(event.object)
        if event.change is model.Change.GONE:
            self._gone_pods[event.object.uid] = event.boot_ns

    def load(self, objects: Iterable[ownership.Known]) -> None:
        """Begin with what an earlier run was told."""
        for known in objects:
            gone = known.gone_ns is not None
            change = model.Change.GONE if gone else model.Change.SEEN
            self.apply(model.ObjectEvent(change=change, object=known.object, boot_ns=known.gone_ns or 0))
        self._gone_pods = collections.OrderedDict(sorted(self._gone_pods.items(), key=operator.itemgetter(1)))

    def learn_pod(self, pod: model.Pod) -> None:
        """Take that there is such a pod."""
        tag = identity.pod_tag(pod.uid)
        known = self.pods(tag)
        if pod.uid in known:
            return
        self._pods[tag] = (*known, pod.uid) if known else pod.uid
        account = account_of(pod)
        if account is not None:
            self.learn(account)
        self.version += 1

    def expire(self, before_boot_ns: int) -> None:
        """Forget pods that were gone by then."""
        while self._gone_pods and next(iter(self._gone_pods.values())) < before_boot_ns:
            uid, _ = self._gone_pods.popitem(last=False)
            tag = identity.pod_tag(uid)
            rest = tuple(each for each in self.pods(tag) if each != uid)
            if rest:
                self._pods[tag] = rest
            else:
                self._pods.pop(tag, None)

    def account(self, tag: int) -> identity.ServiceAccount | None:
        """Give the service account that an identity's tag stands for."""
        return self._accounts.get(tag)

    def accounts(self) -> Iterable[identity.ServiceAccount]:
        """Give all that have a name here, also the last that went."""
        return self._accounts.values()

    def pods(self, tag: int) -> tuple[str, ...]:
        """Give the uids of all pods that a pod's tag may stand for."""
        found = self._pods.get(tag, ())
        return (found,) if isinstance(found, str) else found

    def tag(self, account: identity.ServiceAccount) -> int:
        """Give the tag of an account."""
        return identity.identity_tag(identity.SpiffeId(self._trust_domain, account))


def account_of(pod: model.Pod) -> identity.ServiceAccount | None:
    """Give the service account of a pod; None where the API's names are none."""
    try:
        return identity.ServiceAccount(pod.namespace, pod.service_account)
    except identity.InvalidIdentity:
        return None
