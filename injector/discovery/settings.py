"""What is the same for every proxy, as values. Leaves out where they come from."""

import dataclasses

from injector import names
from injector.sidecar import files
from ipseity import identity


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every snapshot is made with."""

    trust_domain: identity.TrustDomain
    workload_dir: str = names.WORKLOAD_MOUNT
    """Where a proxy finds the files that tell Envoy of its certificate and of the trust anchors."""
    inbound_wait_s: float = 2.0
    """How long a client may stay silent before its connection counts as bytes without TLS. A server that speaks first
    is heard that much later by a client without a proxy; too short, and a slow handshake is taken for plaintext."""
    outbound_wait_s: float = 1.0
    """The same before the application's own bytes, on ports that nobody has said anything about."""
    connect_timeout_s: float = 5.0
    """TCP and TLS together, to one endpoint."""
    max_identities: int = 256
    """Per inbound port: identities with a filter chain of their own, so that what is decided about one of them leaves
    the connections of the others alone. Those beyond share one chain, and its fate."""

    @property
    def sds_workload(self) -> str:
        """File that tells of the certificate."""
        return files.sds_workload(self.workload_dir)

    @property
    def sds_trust(self) -> str:
        """File that tells of the anchors."""
        return files.sds_trust(self.workload_dir)
