"""Does the steps of a rotation: reads what is from the cluster, writes one step, with the versions that were read.

Here because the plan (``rotation``) is pure. A step is one or two conditional writes; whoever interrupts it anywhere
finds the rotation in a phase that the plan knows. Leaves out when to do it.
"""

import dataclasses
import secrets as random
import typing
from typing import Final, assert_never

from cryptography import x509

from injector import errors
from injector.identity import anchors, authority, ca, issuers, lifecycle, readiness, rotation, status
from injector.kube import secrets
from ipseity import identity

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_CHANGED: Final = "plan anew: ipseity identity rotate --plan"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is in the cluster: the Secrets for doing, and what the plan needs of them."""

    found: authority.Found
    known: rotation.Known


async def look(api: "client.ApiClient", namespace: str, *, settle_s: float = readiness.SETTLE_S) -> Seen:
    """Read Secrets and statuses. Raises KubernetesError, CannotRun."""
    anchor, upcoming, issuer = [await secrets.read(api, namespace, name) for name in lifecycle.SECRETS]
    found = authority.Found(anchor=anchor, upcoming=upcoming, issuer=issuer)
    present, following = _certificate(anchor), _certificate(upcoming)
    trusted = [each for each in (present, following) if each is not None]
    above = issuers.anchor_of(issuer.certificate_pem, trusted) if issuer else None
    known = rotation.Known(
        anchor=_name(present),
        upcoming=_name(following),
        issuer_anchor=_name(above),
        anchor_key=bool(anchor and anchor.key_pem),
        upcoming_key=bool(upcoming and upcoming.key_pem),
        statuses=await status.read(api, namespace),
        settle_s=settle_s,
    )
    return Seen(found=found, known=known)


async def apply(api: "client.ApiClient", namespace: str, seen: Seen, step: rotation.Step, *, now_s: float) -> str:
    """Take a step whose plan was due; say what was done. Raises KubernetesError (409: changed meanwhile), CannotRun."""
    found, serial = seen.found, random.randbits(ca.SERIAL_BITS)
    match step:
        case rotation.Step.MAKE_ANCHOR:
            made = anchors.make_anchor(_trust_domain(found), now_s=now_s, serial=serial)
            await secrets.create(api, lifecycle.anchor_secret(made, namespace, lifecycle.UPCOMING))
            return f"made trust anchor {_name(made.certificate)[:16]}; it is being given to every pod"
        case rotation.Step.SWITCH_ISSUER:
            return await _issue(api, namespace, found, found.upcoming, now_s=now_s, serial=serial)
        case rotation.Step.MAKE_ISSUER:
            return await _issue(api, namespace, found, found.anchor, now_s=now_s, serial=serial)
        case rotation.Step.DROP_OLD:
            return await _drop(api, found)
    assert_never(step)


async def _issue(  # noqa: PLR0913  # where, below what, when
    api: "client.ApiClient",
    namespace: str,
    found: authority.Found,
    below: secrets.TlsSecret | None,
    *,
    now_s: float,
    serial: int,
) -> str:
    if below is None or found.issuer is None:
        raise errors.CannotRun("the Secrets changed since the plan was made", hint=_CHANGED)
    anchor = lifecycle.read_authority(below)
    made = anchors.make_issuer(anchor, _trust_domain(found), now_s=now_s, serial=serial)
    await secrets.replace(api, lifecycle.issuer_secret(made, anchor.certificate, namespace, over=found.issuer))
    return (
        f"made issuer {_name(made.certificate)[:16]} below {_name(anchor.certificate)[:16]}; leaves follow as they age"
    )


async def _drop(api: "client.ApiClient", found: authority.Found) -> str:
    """Put the next anchor in the place of the old one, then remove it from its own: both places have it meanwhile."""
    if found.anchor is None or found.upcoming is None:
        raise errors.CannotRun("the Secrets changed since the plan was made", hint=_CHANGED)
    moved = dataclasses.replace(found.upcoming, name=found.anchor.name, version=found.anchor.version)
    if found.anchor.certificate_pem != moved.certificate_pem:
        await secrets.replace(api, moved)
    await secrets.delete(api, found.upcoming)
    return f"the trust anchor is now {_name(_certificate(moved))[:16]}; the old one leaves the bundle"


def _certificate(secret: secrets.TlsSecret | None) -> x509.Certificate | None:
    if secret is None:
        return None
    return anchors.read_bundle(secret.certificate_pem, f"tls.crt of Secret {secret.namespace}/{secret.name}")[0]


def _name(certificate: x509.Certificate | None) -> str:
    return anchors.fingerprint(certificate) if certificate else ""


def _trust_domain(found: authority.Found) -> identity.TrustDomain:
    """Read the trust domain off the anchor: a new one is for the same."""
    for secret in (found.anchor, found.issuer):
        certificate = _certificate(secret)
        if certificate is not None and (own := anchors.trust_domain_of(certificate)) is not None:
            return own
    raise errors.CannotRun(
        "neither anchor nor issuer names its trust domain (URI spiffe://...)",
        hint=f"bring the next anchor in Secret {lifecycle.UPCOMING}, as you brought this one",
    )
