"""What the supervisor was told, as it crosses from the command line to the lean process. Pure.

Here because the long-lived process must not load the command line's libraries: ``commands`` reads and checks the
settings, writes them as one JSON text, and becomes ``run``. No secret is in it: the text is in the process list.
"""

import json
from typing import NamedTuple


class Orders(NamedTuple):
    """Of one sidecar. Times in seconds; directories without a slash at the end."""

    pod_name: str
    pod_namespace: str
    pod_uid: str
    node_name: str
    service_account: str
    trust_domain: str
    control_plane: str
    """The name in the control plane's certificate."""
    control_plane_id: str
    """Its SPIFFE ID."""
    identity_address: str
    discovery_address: str
    identity_dir: str
    workload_dir: str
    proxy_uid: int
    envoy: str
    """Path of the binary."""
    python: str
    """Path of the interpreter that sees our libraries."""
    version: str
    log_level: str
    concurrency: int
    max_connections: int
    drain_s: float

    @property
    def spiffe_id(self) -> str:
        """Who this pod is."""
        return f"spiffe://{self.trust_domain}/ns/{self.pod_namespace}/sa/{self.service_account}"

    def to_json(self) -> str:
        """Write; ``of`` reads."""
        return json.dumps(self._asdict())


def of(text: str) -> Orders:
    """Read what ``to_json`` wrote."""
    return Orders(**json.loads(text))
