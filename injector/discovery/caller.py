"""Who a proxy is: from its certificate, which the handshake has verified, and from nothing it says. Pure.

Here because what a proxy is told (who may call it, and in whose name it speaks) hangs on this. Leaves out verifying the
chain: gRPC's server has done that against the trust anchors.
"""

import dataclasses

from cryptography import x509

from injector import errors
from ipseity import identity


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The pod that a certificate was issued to."""

    spiffe_id: identity.SpiffeId
    namespace: str
    pod: str
    until_s: float
    """When the certificate ends, seconds since the epoch: no stream outlives what it was opened with."""


def of(certificate_pem: bytes, trust_domain: identity.TrustDomain) -> Caller:
    """Read a leaf. Raises errors.Refused."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise errors.Refused(f"the caller's certificate cannot be read: {error}", reason="unreadable") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise errors.Refused(
            f"the caller's certificate has {len(uris)} SPIFFE IDs instead of one", reason="no_identity"
        )
    try:
        spiffe_id = identity.SpiffeId.parse(uris[0])
    except identity.InvalidIdentity as error:
        raise errors.Refused(f"the caller's certificate: {error}", reason="no_identity") from error
    if spiffe_id.trust_domain != trust_domain:
        raise errors.Refused(f"{spiffe_id} is not of the trust domain {trust_domain}", reason="foreign")
    pods = [pod for name in names.get_values_for_type(x509.DNSName) if (pod := _pod(name, spiffe_id)) is not None]
    if len(pods) != 1:
        raise errors.Refused(
            f"the certificate of {spiffe_id} names {len(pods)} pods instead of one",
            reason="no_pod",
            hint="only proxies that got their certificate with a pod's token are served",
        )
    until_s = certificate.not_valid_after_utc.timestamp()
    return Caller(spiffe_id=spiffe_id, namespace=spiffe_id.account.namespace, pod=pods[0], until_s=until_s)


def _pod(name: str, spiffe_id: identity.SpiffeId) -> str | None:
    """Read ``<pod>.<namespace>.pod.<trust domain>``; the namespace must be the account's. Pods' names may have dots."""
    suffix = f".{spiffe_id.account.namespace}.pod.{spiffe_id.trust_domain}"
    return name.removesuffix(suffix) if name.endswith(suffix) and name != suffix else None
