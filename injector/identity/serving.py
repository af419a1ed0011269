"""The control plane's own leaf: what its gRPC servers show, signed by the issuer in use, renewed as any leaf.

Here because the service that gives certificates cannot ask itself for one before it runs. The key is made here and
stays in memory; the leaf goes into the issuance log like every other. gRPC asks for the pair on each handshake, so that
nothing has to restart. Leaves out the servers themselves (``app``).
"""

import dataclasses
import secrets as random
from collections.abc import Callable
from typing import Any, Final

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from injector import errors, names
from injector.identity import anchors, authority, ca, issuance, issuelog
from ipseity import identity

_RENEW: Final = 0.7


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What a TLS server needs."""

    key_pem: bytes = dataclasses.field(repr=False)
    chain_pem: bytes
    anchors_pem: bytes
    """What a client's certificate must lead to, for those servers that ask for one."""
    issuer: str
    """SHA-256 of the issuer that signed it."""
    renew_s: float
    """When it is time for the next, seconds since the epoch."""


def dns_names(namespace: str, cluster_domain: str) -> tuple[str, ...]:
    """Give the names that a sidecar and the API server call us by."""
    service = names.control_plane(namespace)
    return (service, f"{service}.{cluster_domain}")


def credentials(own: "OwnLeaf", *, mutual: bool) -> Any:
    """Make server credentials that follow ``own.pair``, which must be there already.

    ``mutual``: a client must show a certificate that leads to one of our anchors (discovery); without, none is asked
    for (identity: the token in the request is the proof). Raises CannotRun.
    """
    seen: list[Pair] = []

    def fetch() -> Any:  # called on a thread of gRPC's, once per handshake; None: as before
        pair = own.pair
        if pair is None or (seen and seen[0] is pair):
            return None
        seen[:] = [pair]
        return _configuration(pair, mutual=mutual)

    first = own.pair
    if first is None:
        raise errors.CannotRun("the control plane has no certificate of its own yet", hint="see what the issuer lacks")
    seen.append(first)
    return grpc.dynamic_ssl_server_credentials(
        _configuration(first, mutual=mutual), fetch, require_client_authentication=mutual
    )


def _configuration(pair: Pair, *, mutual: bool) -> Any:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key_pem, pair.chain_pem)], root_certificates=pair.anchors_pem if mutual else None
    )


class OwnLeaf:
    """Keeps a pair that is good. One task calls ``refresh``; the servers read ``pair``."""

    def __init__(  # noqa: PLR0913  # what it is signed with, for whom
        self,
        held: authority.Authority,
        log: issuelog.IssuanceLog,
        pod: identity.PodRef,
        *,
        dns: tuple[str, ...],
        life_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._held = held
        self._log = log
        self._pod = pod
        self._dns = dns
        self._life_s = life_s
        self._clock = clock
        self.pair: Pair | None = None

    @property
    def spiffe_id(self) -> identity.SpiffeId:
        """Who the control plane is."""
        account = identity.ServiceAccount(self._pod.namespace, names.CONTROL_PLANE)
        return identity.SpiffeId(self._held.trust_domain, account)

    async def refresh(self) -> bool:
        """Sign a new leaf where it is due: 70 % of its life, another issuer, another bundle. True: ``pair`` is new.

        Raises Refused (the issuer ends), LogFailed; then the old pair stays.
        """
        now_s, issuer = self._clock(), self._held.issuer
        bundle_pem = anchors.to_pem(self._held.bundle)
        if issuer is None:
            return False
        pair, signer = self.pair, anchors.fingerprint(issuer.certificate)
        if pair and pair.issuer == signer and pair.anchors_pem == bundle_pem and now_s < pair.renew_s:
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        spiffe_id = self.spiffe_id
        leaf = ca.issue(
            issuer,
            key.public_key(),
            spiffe_id,
            (*self._dns, ca.pod_name(self._pod, self._held.trust_domain)),
            now_s=now_s,
            serial=random.randbits(ca.SERIAL_BITS) or 1,
            life_s=self._life_s,
        )
        await self._log.append(self._entry(leaf, spiffe_id, signer, anchors.fingerprint(issuer.anchor), now_s))
        self.pair = Pair(
            key_pem=key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            chain_pem=anchors.to_pem([leaf.certificate, *issuer.presented]),
            anchors_pem=bundle_pem,
            issuer=signer,
            renew_s=now_s + _RENEW * (leaf.not_after_s - now_s),
        )
        return True

    def _entry(
        self, leaf: ca.Leaf, spiffe_id: identity.SpiffeId, issuer: str, anchor: str, now_s: float
    ) -> issuance.Entry:
        return issuance.Entry(
            time_s=int(now_s),
            serial=f"{leaf.serial:032x}",
            spiffe_id=str(spiffe_id),
            namespace=self._pod.namespace,
            pod=self._pod.name,
            pod_uid=self._pod.uid,
            not_before_s=leaf.not_before_s,
            not_after_s=leaf.not_after_s,
            issuer=issuer,
            anchor=anchor,
            trusted=tuple(anchors.fingerprint(each) for each in self._held.bundle),
        )
