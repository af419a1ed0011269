"""What the control plane does to the Secrets by itself: make what nobody brought, renew what it made. A pure plan.

Here because an issuer that ends unnoticed is the classic outage of a mesh ("one year after the installation"). One that
the mesh made is renewed at half its life, by the anchor that signed it, without anybody. What somebody brought is
theirs: it is never overwritten, and metrics say when it ends. An anchor is never replaced by itself: see ``rotation``.
"""

import enum
from typing import Final

from cryptography import x509

from injector import errors
from injector.identity import anchors, authority
from injector.kube import secrets
from ipseity import identity

ANCHOR: Final = "ipseity-trust-anchor"
UPCOMING: Final = "ipseity-trust-anchor-next"
"""Exists only while an anchor is being rotated in."""
ISSUER: Final = "ipseity-issuer"
SECRETS: Final = (ANCHOR, UPCOMING, ISSUER)
_RENEW: Final = 0.5
"""Of its life: half a year is left to find out why it did not work."""


class Task(enum.Enum):
    """What to do now; one at a time, since each changes what comes next."""

    NOTHING = enum.auto()
    MAKE_ANCHOR = enum.auto()
    MAKE_ISSUER = enum.auto()
    RENEW_ISSUER = enum.auto()


def plan(found: authority.Found, *, now_s: float) -> Task:
    """Say what is missing or due. Raises CannotRun where only a person can go on."""
    if found.anchor is None and found.issuer is None:
        return Task.MAKE_ANCHOR
    if found.issuer is None:
        if found.anchor is None or not found.anchor.key_pem:
            raise errors.CannotRun(
                f"there is a trust anchor without its key, and no Secret {ISSUER}",
                hint=f"bring the issuer (tls.crt, tls.key, ca.crt), or the anchor's key in {ANCHOR}",
            )
        return Task.MAKE_ISSUER
    if found.issuer.ours and _is_due(found.issuer, now_s=now_s) and signer(found) is not None:
        return Task.RENEW_ISSUER
    return Task.NOTHING


def signer(found: authority.Found) -> anchors.Authority | None:
    """Give the anchor that signs the next issuer: the one that signed the present one, if its key is here."""
    present = _first(found.issuer) if found.issuer else None
    for secret in (found.anchor, found.upcoming):
        if secret is None or not secret.key_pem:
            continue
        own = read_authority(secret)
        if present is None or present.issuer == own.certificate.subject:
            return own
    return None


def read_authority(secret: secrets.TlsSecret) -> anchors.Authority:
    """Read an anchor with its key. Raises CannotRun."""
    where = f"Secret {secret.namespace}/{secret.name}"
    certificate, *_ = anchors.read_bundle(secret.certificate_pem, f"tls.crt of {where}")
    key = anchors.read_key(secret.key_pem, f"tls.key of {where}")
    if not anchors.belongs(key, certificate):
        raise errors.CannotRun(f"tls.key of {where} is not the key of its certificate", hint="bring both anew")
    return anchors.Authority(certificate=certificate, key=key)


def anchor_secret(made: anchors.Authority, namespace: str, name: str) -> secrets.TlsSecret:
    """Put an anchor into the form of its Secret."""
    return secrets.TlsSecret(
        namespace=namespace,
        name=name,
        certificate_pem=made.certificate_pem,
        key_pem=made.key_pem,
        authority_pem=made.certificate_pem,
        ours=True,
    )


def issuer_secret(
    made: anchors.Authority, anchor: x509.Certificate, namespace: str, *, over: secrets.TlsSecret | None = None
) -> secrets.TlsSecret:
    """Put an issuer into the form of its Secret, in place of the version that was read."""
    return secrets.TlsSecret(
        namespace=namespace,
        name=ISSUER,
        certificate_pem=made.certificate_pem,
        key_pem=made.key_pem,
        authority_pem=anchors.to_pem([anchor]),
        ours=True,
        version=over.version if over else "",
    )


def make_anchor(trust_domain: identity.TrustDomain, namespace: str, *, now_s: float, serial: int) -> secrets.TlsSecret:
    """Make the first anchor."""
    return anchor_secret(anchors.make_anchor(trust_domain, now_s=now_s, serial=serial), namespace, ANCHOR)


def _is_due(secret: secrets.TlsSecret, *, now_s: float) -> bool:
    certificate = _first(secret)
    starts, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return now_s > starts + _RENEW * (ends - starts)


def _first(secret: secrets.TlsSecret) -> x509.Certificate:
    return anchors.read_bundle(secret.certificate_pem, f"tls.crt of Secret {secret.namespace}/{secret.name}")[0]
