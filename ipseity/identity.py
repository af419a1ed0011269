"""Who somebody is: service accounts, SPIFFE IDs, and the eight bytes that stand for one in a TCP handshake.

Here because the agent (reads tags), the mesh (signs certificates) and the report (compares both) must mean the same
thing by a name. Leaves out proof: a name here is a claim, and ``injector.identity`` decides who may make it.
"""

import dataclasses
import hashlib
import re

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MAX_LABEL, _MAX_SUBDOMAIN = 63, 253
"""Kubernetes: namespaces are RFC 1123 labels, service account names RFC 1123 subdomains."""


class InvalidIdentity(ValueError):  # noqa: N818  # it reads as what happened
    """The text is not a name of this kind."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrustDomain:
    """The authority under which a SPIFFE ID is unique, such as ``cluster.local``."""

    name: str

    def __post_init__(self) -> None:
        if not _TRUST_DOMAIN.fullmatch(self.name):
            raise InvalidIdentity(f"trust domain {self.name!r}: use a-z, 0-9, '.', '_', '-'; at most 255 characters")

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class ServiceAccount:
    """A Kubernetes service account: what a workload is to Kubernetes."""

    namespace: str
    name: str

    def __post_init__(self) -> None:
        if len(self.namespace) > _MAX_LABEL or not _DNS_LABEL.fullmatch(self.namespace):
            raise InvalidIdentity(f"namespace {self.namespace!r} of a service account is not a Kubernetes name")
        if len(self.name) > _MAX_SUBDOMAIN or not _DNS_SUBDOMAIN.fullmatch(self.name):
            raise InvalidIdentity(f"service account {self.name!r} in {self.namespace} is not a Kubernetes name")

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class SpiffeId:
    """``spiffe://<trust domain>/ns/<namespace>/sa/<service account>``, the form that Istio, Linkerd and SPIRE share."""

    trust_domain: TrustDomain
    account: ServiceAccount

    @classmethod
    def parse(cls, text: str) -> "SpiffeId":
        """Read the canonical form only: no query, port, percent-encoding, upper case or trailing slash.

        Raises InvalidIdentity. Strict, because two spellings of one name are two keys of one policy.
        """
        scheme, _, rest = text.partition("://")
        parts = rest.split("/")
        match parts:
            case [trust_domain, "ns", namespace, "sa", name] if scheme == "spiffe":
                return cls(TrustDomain(trust_domain), ServiceAccount(namespace, name))
            case _:
                raise InvalidIdentity(f"{text!r} is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>")

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.account.namespace}/sa/{self.account.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class PodRef:
    """One pod, not its name's next bearer: the uid tells them apart."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def identity_tag(spiffe_id: SpiffeId) -> int:
    """Give the tag that a handshake carries: the first 8 bytes of SHA-256 of the SPIFFE ID, big-endian, never 0.

    0 means "no tag" in the kernel's tables; an identity that would hash to it (one in 2^64) gets 1.
    """
    digest = hashlib.sha256(str(spiffe_id).encode()).digest()
    return int.from_bytes(digest[:8], "big") or 1


def pod_tag(uid: str) -> int:
    """Give the tag of a pod in a handshake: the first 4 bytes of SHA-256 of its UID, big-endian, never 0.

    Unlike an identity's it is short: two of 10,000 pods share one with a probability of 1 %.
    """
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4], "big") or 1
