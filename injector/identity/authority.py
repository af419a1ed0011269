"""The issuer in use and the anchors that pods must have: taken from Secrets, swapped without a restart.

Here because Secrets change under a running control plane, and most ways to change them would end in an outage. So:
- an issuer that does not pass ``issuers.read`` is not taken; the one in use stays, and why is told once;
- an issuer below an anchor that not every pod trusts yet is held back until they do, as long as the one in use is good;
- an anchor that left the Secrets stays in the bundle while the issuer in use or any pod's leaf needs it.

``Authority`` decides on values; it neither reads nor writes Secrets (``custody``), and ``now_s`` is an argument.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cryptography import x509

from injector import errors
from injector.identity import anchors, issuers, ledger, readiness
from injector.kube import secrets
from ipseity import identity

_RELUCTANT_S: Final = 3600.0
"""An issuer is held back only while the one in use has longer than this: pods that wait for nothing are worse."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The Secrets as they are in the cluster."""

    anchor: secrets.TlsSecret | None = None
    upcoming: secrets.TlsSecret | None = None
    """The next anchor, while one is being rotated in."""
    issuer: secrets.TlsSecret | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a person should hear: becomes a log line and an Event on the issuer's Secret."""

    reason: str
    """``IssuerUpdated``, ``IssuerRefused``, ``IssuerHeld``, ``AnchorsUpdated``, ``AnchorsRefused``."""
    note: str
    good: bool
    about: str = ""
    """What it is about, so that it is not said again each time."""


Spread = Callable[[str], float | None]
"""Since when the bundle with an anchor is in every namespace, seconds since the epoch; None: it is not."""


class Authority:
    """Holds the issuer in use; one owner calls ``take``, anybody may read."""

    def __init__(self, trust_domain: identity.TrustDomain, *, settle_s: float = readiness.SETTLE_S) -> None:
        self.trust_domain: Final = trust_domain
        self.issuer: issuers.Issuer | None = None
        self.bundle: tuple[x509.Certificate, ...] = ()
        """What pods must trust, oldest first."""
        self.refused: dict[str, int] = {}
        """Issuers that were not taken, by ``issuers.Reason``; anchors as ``anchors``."""
        self._settle_s = settle_s
        self._last_told: Mapping[str, str] = {}

    def take(self, found: Found, known: Sequence[ledger.Summary], spread: Spread, *, now_s: float) -> tuple[Told, ...]:
        """Look at the Secrets again: now and then, and whenever one changes. Returns what is new.

        ``known``: what each control plane has signed, ours and the others'.
        """
        told = [self._take_anchors(found), self._take_issuer(found, known, spread, now_s=now_s)]
        self._let_go(found, known)
        # A thing is told when it begins; a good one always, since it happens once.
        said = [each for each in told if each is not None]
        fresh = tuple(each for each in said if each.good or self._last_told.get(each.reason) != each.about)
        self._last_told = {each.reason: each.about for each in said if not each.good}
        return fresh

    def _take_anchors(self, found: Found) -> Told | None:
        try:
            wanted = wanted_anchors(found)
        except errors.CannotRun as error:
            self.refused["anchors"] = self.refused.get("anchors", 0) + 1
            return Told(
                reason="AnchorsRefused", note=f"{error}; the bundle stays as it is", good=False, about=str(error)
            )
        bundle = tuple(dict.fromkeys((*self.bundle, *wanted)))  # ``_let_go`` takes out what nobody needs
        if bundle == self.bundle:
            return None
        self.bundle = bundle
        names = ", ".join(anchors.fingerprint(each)[:16] for each in bundle)
        return Told(reason="AnchorsUpdated", note=f"the trust bundle is now {names} (SHA-256)", good=True)

    def _take_issuer(
        self, found: Found, known: Sequence[ledger.Summary], spread: Spread, *, now_s: float
    ) -> Told | None:
        if found.issuer is None:
            return None
        try:
            issuer = issuers.read(
                found.issuer.certificate_pem, found.issuer.key_pem, self.bundle, self.trust_domain, now_s=now_s
            )
        except errors.Refused as refusal:
            self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
            return Told(reason="IssuerRefused", note=f"{refusal}; {refusal.hint}", good=False, about=str(refusal))
        if self.issuer is not None and self.issuer.presented == issuer.presented:
            return None
        name = anchors.fingerprint(issuer.certificate)[:16]
        if waits := self._waits(issuer, known, spread, now_s=now_s):
            note = f"the new issuer {name} is not used yet: {'; '.join(waits)}"
            return Told(reason="IssuerHeld", note=note, good=False, about=name)
        self.issuer = issuer
        ends = anchors.moment(issuer.not_after_s).isoformat()
        return Told(reason="IssuerUpdated", note=f"leaves are now signed by {name} (SHA-256), until {ends}", good=True)

    def _waits(
        self, issuer: issuers.Issuer, known: Sequence[ledger.Summary], spread: Spread, *, now_s: float
    ) -> tuple[str, ...]:
        """Say why a sound issuer is not used yet."""
        current = self.issuer
        if current is None or current.anchor == issuer.anchor or current.not_after_s - now_s < _RELUCTANT_S:
            return ()
        anchor = anchors.fingerprint(issuer.anchor)
        return readiness.to_use(anchor, known, spread(anchor), now_s=now_s, settle_s=self._settle_s)

    def _let_go(self, found: Found, known: Sequence[ledger.Summary]) -> None:
        """Take out of the bundle what is in no Secret and needed by nobody."""
        try:
            wanted = wanted_anchors(found)
        except errors.CannotRun:
            return
        issuer_anchor = anchors.fingerprint(self.issuer.anchor) if self.issuer else ""
        self.bundle = tuple(
            each
            for each in self.bundle
            if each in wanted or readiness.to_drop(anchors.fingerprint(each), known, issuer_anchor)
        )


def wanted_anchors(found: Found) -> Sequence[x509.Certificate]:
    """Give the anchors that the Secrets ask for: the anchor's and the next one's own certificates.

    Without an anchor's Secret, those in the issuer's ``ca.crt`` are meant: somebody brought the issuer alone.
    Raises CannotRun where one cannot be read.
    """
    wanted: list[x509.Certificate] = []
    for secret in (found.anchor, found.upcoming):
        if secret is not None:
            own = anchors.read_bundle(secret.certificate_pem, f"tls.crt of Secret {secret.namespace}/{secret.name}")
            wanted += own[:1]
    if found.anchor is None and found.issuer is not None:
        where = f"ca.crt of Secret {found.issuer.namespace}/{found.issuer.name}"
        wanted += anchors.read_bundle(found.issuer.authority_pem, where)
    return tuple(dict.fromkeys(wanted))
