"""What is wrong or will be with anchors, issuer, leaves and bundle: a list, worst last. Pure.

Here because `ipseity identity check`, `ipseity check` and the alerts must see trouble at the same distance: an anchor
half a year away, an issuer a month.
"""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography import x509

from injector import names
from injector.identity import anchors, status

ANCHOR_SOON_S: Final = 180 * anchors.DAY_S
ISSUER_SOON_S: Final = 30 * anchors.DAY_S
_RUNS: Final = f"is it running? kubectl get pods -n {names.SYSTEM_NAMESPACE}"


class Level(enum.StrEnum):
    """How bad it is."""

    GOOD = "ok"
    SOON = "warn"
    BAD = "fail"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a check."""

    level: Level
    what: str
    remedy: str = ""


def examine(
    bundle: Sequence[x509.Certificate],
    issuer: x509.Certificate | None,
    statuses: Mapping[str, status.Status],
    *,
    now_s: float,
) -> tuple[Finding, ...]:
    """Look at everything; a good thing is a finding too, so that a reader sees that it was looked at."""
    found = [_ends(each, "trust anchor", ANCHOR_SOON_S, now_s=now_s) for each in bundle]
    if issuer is None:
        found.append(Finding(level=Level.BAD, what="there is no readable issuer", remedy="start the control plane"))
    else:
        found.append(_ends(issuer, "issuer", ISSUER_SOON_S, now_s=now_s))
    live = {name: each for name, each in statuses.items() if not each.left and not status.is_stale(each, now_s=now_s)}
    if not live:
        found.append(Finding(level=Level.BAD, what="no control plane says what pods hold", remedy=_RUNS))
    for name, each in sorted(live.items()):
        found += _of_status(name, each, issuer, now_s=now_s)
    return tuple(found)


def _ends(certificate: x509.Certificate, what: str, soon_s: float, *, now_s: float) -> Finding:
    left_s = certificate.not_valid_after_utc.timestamp() - now_s
    name = f"{what} {anchors.fingerprint(certificate)[:16]}"
    remedy = "ipseity identity rotate --plan"
    if left_s <= 0:
        return Finding(level=Level.BAD, what=f"{name} expired {-left_s / anchors.DAY_S:.0f} days ago", remedy=remedy)
    said = f"{name} expires in {left_s / anchors.DAY_S:.0f} days"
    # Half its life for those that are meant to be short: an issuer of cert-manager's may live for a week.
    life_s = left_s + now_s - certificate.not_valid_before_utc.timestamp()
    if left_s < min(soon_s, life_s / 3):
        return Finding(level=Level.SOON, what=said, remedy=remedy)
    return Finding(level=Level.GOOD, what=said)


def _of_status(name: str, each: status.Status, issuer: x509.Certificate | None, *, now_s: float) -> Sequence[Finding]:
    found = []
    if issuer is not None and each.issuer != anchors.fingerprint(issuer):
        remedy = "see the Events of the issuer's Secret"
        found.append(Finding(level=Level.SOON, what=f"{name} does not use the issuer in the Secret", remedy=remedy))
    if each.namespaces_missing:
        what = f"{each.namespaces_missing} of {each.namespaces} namespaces lack the trust bundle"
        found.append(Finding(level=Level.SOON, what=what, remedy="see the control plane's log"))
    if each.overdue:
        what = f"{each.overdue} of {each.pods} pods have not renewed in time"
        found.append(Finding(level=Level.SOON, what=what, remedy="see the log of their container ipseity-proxy"))
    if not found:
        first = f", the first leaf ends in {_left(each.first_not_after_s - now_s)}" if each.first_not_after_s else ""
        what = f"{name}: {each.pods} pods{first}, bundle in {each.namespaces} namespaces"
        found.append(Finding(level=Level.GOOD, what=what))
    return found


def _left(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{max(0, seconds) / 60:.0f} minutes"
