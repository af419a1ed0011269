"""What the control plane knows about anchors and leaves, published for those who plan a rotation.

Here because `ipseity identity rotate` runs where a person is, and must know what only the control plane sees: which
anchors are everywhere, what pods hold. ConfigMap ``ipseity-identity``, one key per control-plane pod; whoever plans
reads all of them and takes the most careful answer. It also carries the newest hash of each issuance log, so that a
removed end of a log shows. Whoever can write it could also write the Secrets beside it: no new power.
"""

import typing
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from injector.identity import anchors, authority, bundle, issuance, issuelog, ledger
from injector.kube import reports

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

NAME: Final = "ipseity-identity"


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What hangs on one anchor; see ``ledger``."""

    pods: int
    last_not_after_s: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What one control plane knows. Anchors and issuers are SHA-256, times seconds since the epoch."""

    time_s: int
    issuer: str
    issuer_anchor: str
    issuer_not_after_s: int
    bundle: tuple[str, ...]
    everywhere_since_s: dict[str, float]
    """By anchor; one that is missing is not everywhere."""
    namespaces: int
    namespaces_missing: int
    pods: int
    silent: int
    overdue: int
    by_anchor: dict[str, Use]
    trusting: dict[str, int]
    log_head: str
    first_not_after_s: int = 0
    """When the leaf that ends first ends; 0: there is none."""
    left: bool = False
    """It has ended, and this is all that it has ever signed: nobody has to wait for more of it."""
    knows: tuple[str, ...] = ()
    """Other control planes whose every leaf is in here too."""

    def summary(self) -> ledger.Summary:
        """Give what it says about pods."""
        uses = {
            name: ledger.Use(pods=use.pods, last_not_after_s=use.last_not_after_s)
            for name, use in self.by_anchor.items()
        }
        return ledger.Summary(
            pods=self.pods, silent=self.silent, overdue=self.overdue, by_anchor=uses, trusting=self.trusting
        )


_STALE_S: Final = 60.0
"""A control plane writes its status every 10 s; one that is silent for long may know of pods that nobody else does."""
_BOARD: Final = reports.Board(name=NAME, kind=Status, what="the identity service")


def of(
    held: authority.Authority,
    pods: ledger.Summary,
    log: issuelog.IssuanceLog,
    publisher: bundle.Publisher,
    *,
    now_s: float,
) -> Status:
    """Say what is known now."""
    names = [anchors.fingerprint(each) for each in held.bundle]
    since = {name: moment_s for name in names if (moment_s := publisher.everywhere_since(name)) is not None}
    issuer = held.issuer
    return Status(
        time_s=int(now_s),
        issuer=anchors.fingerprint(issuer.certificate) if issuer else "",
        issuer_anchor=anchors.fingerprint(issuer.anchor) if issuer else "",
        issuer_not_after_s=int(issuer.not_after_s) if issuer else 0,
        bundle=tuple(names),
        everywhere_since_s=since,
        namespaces=publisher.namespaces,
        namespaces_missing=publisher.missing,
        pods=pods.pods,
        silent=pods.silent,
        overdue=pods.overdue,
        by_anchor={
            name: Use(pods=use.pods, last_not_after_s=use.last_not_after_s) for name, use in pods.by_anchor.items()
        },
        trusting=dict(pods.trusting),
        log_head=str(log.head),
        first_not_after_s=pods.first_not_after_s,
    )


async def read(api: "client.ApiClient", namespace: str) -> Mapping[str, Status]:
    """Read what each control plane published; what cannot be read is left out. Raises KubernetesError."""
    return await _BOARD.read(api, namespace)


def is_stale(each: Status, *, now_s: float) -> bool:
    """Tell whether a control plane has fallen silent."""
    return now_s - each.time_s > _STALE_S


def telling(statuses: Mapping[str, Status], *, now_s: float) -> Mapping[str, Status]:
    """Leave out the control planes that are gone and whose every leaf has ended, or is known to one that is there."""
    gone = {name for name, each in statuses.items() if each.left or is_stale(each, now_s=now_s)}
    known = {other for name, each in statuses.items() if name not in gone for other in each.knows}
    return {
        name: each
        for name, each in statuses.items()
        if name not in gone or not (name in known or _has_ended(each, now_s=now_s))
    }


def _has_ended(each: Status, *, now_s: float) -> bool:
    return all(use.last_not_after_s <= now_s for use in each.by_anchor.values())


def distinct(statuses: Mapping[str, Status]) -> Mapping[str, Status]:
    """Leave out those of which all is in another one that stays: what they know of pods would count twice."""
    kept: dict[str, Status] = {}
    for name, each in sorted(statuses.items(), key=lambda one: (one[1].left, -one[1].time_s, one[0])):
        if not any(name in other.knows for other in kept.values()):
            kept[name] = each
    return kept


def inherited(statuses: Mapping[str, Status], own: str, head: issuance.Head) -> tuple[str, ...]:
    """Name the predecessors whose issuance log we go on with: we know all that they knew, so theirs can go."""
    return tuple(name for name, each in statuses.items() if name != own and head.seq and each.log_head == str(head))


async def publish(  # noqa: PLR0913  # where, as whom, what, how often
    api: "client.ApiClient",
    namespace: str,
    name: str,
    current: Callable[[], Status],
    *,
    head: issuance.Head,
    every_s: float = reports.EVERY_S,
) -> None:
    """Write the status for ever. ``name`` is the control plane's pod.

    ``head`` is where our log ended when it was opened: whose status ends there is replaced by ours. So is, of those
    that are gone, whatever nobody needs any more.
    """

    def replaces(found: Mapping[str, Status]) -> tuple[str, ...]:
        needed = telling(found, now_s=current().time_s)
        over = (each for each in found if each not in needed and each != name)
        return (*inherited(found, name, head), *over)

    await _BOARD.publish(api, namespace, name, current, replaces=replaces, every_s=every_s)


async def leave(api: "client.ApiClient", namespace: str, name: str, last: Status) -> None:
    """Write what is to stay of a control plane that ends. Raises KubernetesError."""
    await _BOARD.write(api, namespace, name, last)
