"""From a request and a token to a certificate: every check in its order, and the line in the log before the answer.

Here because this order is the security of the mesh: the request alone (cheap), the token (the API server's word), the
request against the token, the signature, the log. Nothing in a certificate comes from the caller but the key. Leaves
out the wire (``service``) and every rule (``csr``, ``tokens``, ``ca``).
"""

import dataclasses
import enum
import secrets as random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cryptography.hazmat.primitives import serialization

from injector import errors
from injector.identity import anchors, authority, ca, csr, issuance, issuelog, issuers, ledger
from injector.kube import tokens
from ipseity import identity, kube

_MAX_TRUSTED: Final = 8
_SHA256_BYTES: Final = 32


class Later(enum.StrEnum):
    """Why asking again later helps."""

    API_UNAVAILABLE = "api_unavailable"
    """The Kubernetes API does not answer, or not to us."""
    NO_ISSUER = "no_issuer"
    ISSUER_ENDS = "issuer_ends"
    LOG_FAILED = "log_failed"
    """The issuance log cannot be written: nothing is signed."""
    OVERLOADED = "overloaded"


class NotNow(Exception):  # noqa: N818  # it reads as what happened
    """Nothing is wrong with the request; asking again later helps."""

    def __init__(self, message: str, *, reason: Later) -> None:
        super().__init__(message)
        self.reason = reason


class Prover(Protocol):
    """Says whose token it is."""

    async def prove(self, token: str) -> tokens.Proof:
        """Ask whose token it is. Raises Refused; KubernetesError if nobody can tell now."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What the caller gets."""

    chain_der: tuple[bytes, ...]
    spiffe_id: identity.SpiffeId
    leaf: ca.Leaf


class Certifier:
    """Certifies for one trust domain."""

    def __init__(  # noqa: PLR0913  # what a certificate takes
        self,
        held: authority.Authority,
        prover: Prover,
        log: issuelog.IssuanceLog,
        pods: ledger.Ledger,
        *,
        life_s: float,
        clock: Callable[[], float],
    ) -> None:
        """``life_s``: of a leaf; ``clock`` gives seconds since the epoch."""
        self._held = held
        self._prover = prover
        self._log = log
        self._pods = pods
        self._life_s = life_s
        self._clock = clock

    async def certify(self, csr_der: bytes, token: str, trusted: Sequence[bytes] = ()) -> Granted:
        """Sign a key for what the token proves. Raises Refused, NotNow."""
        request = csr.read(csr_der)
        proof = await self._prove(token)
        spiffe_id = identity.SpiffeId(self._held.trust_domain, proof.account)
        dns_name = ca.pod_name(proof.pod, self._held.trust_domain)
        request.check_names(str(spiffe_id), dns_name)
        issuer, now_s = self._issuer(), self._clock()
        leaf = self._sign(issuer, request, spiffe_id, dns_name, now_s)
        entry = issuance.Entry(
            time_s=int(now_s),
            serial=f"{leaf.serial:032x}",
            spiffe_id=str(spiffe_id),
            namespace=proof.pod.namespace,
            pod=proof.pod.name,
            pod_uid=proof.pod.uid,
            not_before_s=leaf.not_before_s,
            not_after_s=leaf.not_after_s,
            issuer=anchors.fingerprint(issuer.certificate),
            anchor=anchors.fingerprint(issuer.anchor),
            trusted=self._known_of(trusted),
        )
        try:
            await self._log.append(entry)
        except issuelog.LogFailed as error:
            raise NotNow(str(error), reason=Later.LOG_FAILED) from error
        self._pods.record(entry)
        above = tuple(each.public_bytes(serialization.Encoding.DER) for each in issuer.presented)
        return Granted(chain_der=(leaf.der, *above), spiffe_id=spiffe_id, leaf=leaf)

    async def _prove(self, token: str) -> tokens.Proof:
        try:
            return await self._prover.prove(token)
        except kube.KubernetesError as error:
            raise NotNow(f"the token cannot be checked now: {error}", reason=Later.API_UNAVAILABLE) from error

    def _issuer(self) -> issuers.Issuer:
        if self._held.issuer is None:
            raise NotNow("there is no issuer that can be used", reason=Later.NO_ISSUER)
        return self._held.issuer

    def _sign(
        self, issuer: issuers.Issuer, request: csr.Request, spiffe_id: identity.SpiffeId, dns_name: str, now_s: float
    ) -> ca.Leaf:
        serial = random.randbits(ca.SERIAL_BITS) or 1  # 0 is no serial number
        try:
            return ca.issue(
                issuer, request.key, spiffe_id, (dns_name,), now_s=now_s, serial=serial, life_s=self._life_s
            )
        except errors.Refused as refusal:
            raise NotNow(str(refusal), reason=Later.ISSUER_ENDS) from refusal

    def _known_of(self, trusted: Sequence[bytes]) -> tuple[str, ...] | None:
        """Give those of our own anchors that the pod named; None where it named nothing, or nonsense."""
        if not trusted or len(trusted) > _MAX_TRUSTED or any(len(each) != _SHA256_BYTES for each in trusted):
            return None
        said = {each.hex() for each in trusted}
        return tuple(name for each in self._held.bundle if (name := anchors.fingerprint(each)) in said)
