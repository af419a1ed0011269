"""What the agent can be told: every flag and every ``IPSEITY_*`` variable, with default and meaning.

Here because one place must list them (``ipseity agent --help`` and docs/cli.md are made from it). Leaves out how
settings are read: ``ipseity.settings``.
"""

import dataclasses
import ipaddress
import os
import pathlib
import urllib.parse

from agent import model
from ipseity import identity, settings

_CLUSTER_PREFIXES = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",  # RFC 1918
        "192.168.0.0/16",  # RFC 1918
        "100.64.0.0/10",  # RFC 6598, carrier-grade NAT: pod ranges of several clouds
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local: metadata servers, node-local DNS
        "fc00::/7",  # RFC 4193, unique local
        "fe80::/10",  # link-local
        "::1/128",  # loopback
    )
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The agent's settings. Times in seconds, sizes in bytes."""

    node_name: str = settings.field(
        "", "Name of this node in Kubernetes; in a pod, spec.nodeName; none: the host name.", metavar="NAME"
    )
    kubeconfig: str | None = settings.field(
        None, "File to reach the API server with; none: KUBECONFIG, ~/.kube/config, or the pod's own account.",
        metavar="FILE",
    )  # fmt: skip
    context: str | None = settings.field(None, "Context in that file; none: its current one.", metavar="NAME")
    cgroup_root: pathlib.Path | None = settings.field(
        None, "cgroup2 directory to watch, with all below it; none: the cgroup2 mount.", metavar="DIR"
    )
    bpffs: pathlib.Path = settings.field(
        pathlib.Path("/sys/fs/bpf"), "Where the BPF file system is (or will be) mounted.", metavar="DIR"
    )
    tracefs: pathlib.Path = settings.field(
        pathlib.Path("/sys/kernel/tracing"), "Where the trace file system is (or will be) mounted.", metavar="DIR"
    )
    instance: str = settings.field(
        "agent", "Name of the directory of pins: two agents on one kernel need two.", metavar="NAME"
    )
    api: str = settings.field(
        "unix:///run/ipseity/agent.sock", "Where to serve metrics and flows: unix://PATH or http://127.0.0.1:PORT.",
        metavar="URL",
    )  # fmt: skip
    state: pathlib.Path = settings.field(
        pathlib.Path("/run/ipseity/state"), "Checkpoint that a restarted agent goes on from.", metavar="FILE"
    )
    flow_log: str = settings.field("", "File for flows as JSON lines; none: no flow log.", metavar="FILE")
    flow_log_max_bytes: int = settings.field(
        100 * 1024 * 1024, "Size at which the flow log is rotated.", minimum=4096, metavar="BYTES"
    )
    flow_log_files: int = settings.field(
        5, "Flow log files kept, the current one included.", minimum=1, maximum=1000, metavar="N"
    )
    otlp_endpoint: str = settings.field(
        "", "OTLP/HTTP endpoint for flows and metrics, without /v1/...: http://collector:4318; none: no export.",
        metavar="URL", also="OTEL_EXPORTER_OTLP_ENDPOINT",
    )  # fmt: skip
    otlp_flows: str = settings.field(
        "connections",
        "Flows in the export: connections (ended ones, and UDP by interval), edges (all by interval), all, or none.",
        choices=("connections", "edges", "all", "none"),
    )
    otlp_metrics_interval_s: float = settings.field(
        60.0, "Time between two exports of metrics; 0: none.", minimum=0, maximum=3600
    )
    otlp_queue: int = settings.field(
        20_000, "Flows that may wait for the endpoint; what comes then is dropped, and counted.", minimum=512,
        maximum=1_000_000,
    )  # fmt: skip
    otlp_headers_file: pathlib.Path | None = settings.field(
        None, "File with headers for the endpoint, one 'Name: value' a line; read for each request.", metavar="FILE"
    )
    otlp_ca_file: pathlib.Path | None = settings.field(
        None, "Certificates (PEM) that an https endpoint is believed by; none: the system's.", metavar="FILE",
        also="OTEL_EXPORTER_OTLP_CERTIFICATE",
    )  # fmt: skip
    otlp_certificate_file: pathlib.Path | None = settings.field(
        None, "Certificate (PEM) to show to the endpoint.", metavar="FILE",
        also="OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    )  # fmt: skip
    otlp_key_file: pathlib.Path | None = settings.field(
        None, "Its key (PEM, not encrypted).", metavar="FILE", also="OTEL_EXPORTER_OTLP_CLIENT_KEY"
    )
    otlp_compression: str = settings.field(
        "gzip", "How requests are compressed.", choices=("gzip", "none"), also="OTEL_EXPORTER_OTLP_COMPRESSION"
    )
    otlp_protocol: str = settings.field(
        "http/protobuf", "What is spoken: nothing else.", metavar="NAME", also="OTEL_EXPORTER_OTLP_PROTOCOL"
    )
    otlp_timeout_s: float = settings.field(10.0, "How long one request may take.", minimum=0.1, maximum=120)
    records: bool = settings.field(default=True, doc="One record per ended connection, next to what each edge did.")
    pod_labels: bool = settings.field(default=False, doc="Pod names as metric labels. Multiplies the series.")
    max_series: int = settings.field(10_000, "Series of flows in /metrics; the rest is counted as 'other'.", minimum=1)
    series_grace_s: float = settings.field(
        60.0, "How long the series of a workload that is gone are still served.", minimum=0
    )
    min_interval_s: float = settings.field(1.0, "Shortest time between two drains of the kernel's tables.", minimum=0.1)
    max_interval_s: float = settings.field(15.0, "Longest time between two drains of the kernel's tables.", maximum=60)
    sweep_interval_s: float = settings.field(
        10.0, "Time between two sweeps for sockets that are older than the agent.", minimum=1, maximum=60
    )
    max_edges: int = settings.field(65_536, "Edges in the kernel's table.", minimum=64, maximum=4_194_304)
    cluster_prefixes: tuple[model.IpNetwork, ...] = settings.field(
        _CLUSTER_PREFIXES, "Networks whose addresses are kept exactly, as of this cluster.", metavar="CIDR,..."
    )
    external_prefixes: tuple[model.IpNetwork, ...] = settings.field(
        (), "Networks to count outside addresses by; the rest is 0.0.0.0/0 or ::/0.", metavar="CIDR,..."
    )
    remote_evidence: str = settings.field(
        "ip",
        "What names pods of other nodes: ip (and the handshake), from a watch of all pods; or the handshake alone.",
        choices=("ip", "handshake"),
    )
    trust_domain: str = settings.field(
        "cluster.local", "Trust domain of the identities that a handshake carries.", metavar="NAME"
    )
    handshake_secret: str = settings.field(
        "ipseity-system/ipseity-handshake", "Secret with the handshake keys; empty: no identities in handshakes.",
        metavar="NS/NAME",
    )  # fmt: skip
    handshake_key_file: pathlib.Path | None = settings.field(
        None, "File with the handshake keys, instead of the Secret: one or two lines of hex.", metavar="FILE"
    )
    history_s: float = settings.field(
        600.0, "How long a gone pod and its addresses are remembered.", minimum=30, metavar="SECONDS"
    )
    max_flows: int = settings.field(4095, "Flows that the API keeps for `ipseity observe`.", minimum=1)
    """As many as Hubble keeps; each is 0.7 kB."""
    log_level: str = settings.field(
        "info", "Lowest level that is logged.", choices=("debug", "info", "warning", "error")
    )
    log_format: str = settings.field("json", "How log lines look.", choices=("json", "text"))

    def __post_init__(self) -> None:
        """Refuse what can only be wrong together or is no name."""
        if self.min_interval_s > self.max_interval_s:
            raise settings.SettingError(
                "IPSEITY_MIN_INTERVAL_S", self.min_interval_s, "make it at most max_interval_s",
                reason=f"is more than IPSEITY_MAX_INTERVAL_S, {self.max_interval_s:g}",
            )  # fmt: skip
        if not self.api.startswith(("unix:///", "http://")):
            raise settings.SettingError(
                "IPSEITY_API", self.api, "use unix:///run/ipseity/agent.sock or http://127.0.0.1:9477",
                reason="is neither a socket nor a local URL",
            )  # fmt: skip
        if not self.instance or not self.instance.replace("-", "").replace("_", "").isalnum():
            raise settings.SettingError(
                "IPSEITY_INSTANCE", self.instance, "use letters, digits, '-' and '_'", reason="cannot name a directory"
            )
        self._check_handshake()
        self._check_otlp()

    def _check_handshake(self) -> None:
        try:
            identity.TrustDomain(self.trust_domain)
        except identity.InvalidIdentity as error:
            raise settings.SettingError(
                "IPSEITY_TRUST_DOMAIN", self.trust_domain, "use the one of the cluster's SPIFFE IDs: cluster.local",
                reason="is not a trust domain",
            ) from error  # fmt: skip
        namespace, slash, name = self.handshake_secret.partition("/")
        if self.handshake_secret and not (namespace and slash and name and "/" not in name):
            raise settings.SettingError(
                "IPSEITY_HANDSHAKE_SECRET", self.handshake_secret, "write NAMESPACE/NAME, or nothing",
                reason="does not name a Secret",
            )  # fmt: skip
        if self.remote_evidence == "handshake" and not (self.handshake_secret or self.handshake_key_file):
            raise settings.SettingError(
                "IPSEITY_REMOTE_EVIDENCE", self.remote_evidence, "give the keys too: --handshake-secret NS/NAME",
                reason="cannot be without handshake keys",
            )  # fmt: skip

    def _check_otlp(self) -> None:
        if not self.otlp_endpoint:
            return
        parts = urllib.parse.urlsplit(self.otlp_endpoint)
        shown = f"{parts.scheme}://{parts.hostname or ''}/..." if parts.username or parts.query else self.otlp_endpoint
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise settings.SettingError(
                "IPSEITY_OTLP_ENDPOINT", shown, "write http://HOST:4318; credentials go into --otlp-headers-file",
                reason="is no address of an OTLP/HTTP endpoint",
            )  # fmt: skip
        if self.otlp_protocol != "http/protobuf":
            raise settings.SettingError(
                "IPSEITY_OTLP_PROTOCOL", self.otlp_protocol, "use the endpoint's port for http/protobuf: usually 4318",
                reason="is not spoken here",
            )  # fmt: skip
        if (self.otlp_certificate_file is None) != (self.otlp_key_file is None):
            given = self.otlp_certificate_file or self.otlp_key_file
            raise settings.SettingError(
                "IPSEITY_OTLP_CERTIFICATE_FILE", str(given), "give --otlp-certificate-file and --otlp-key-file",
                reason="is one without the other",
            )  # fmt: skip

    def makes_records(self) -> bool:
        """Whether somebody wants to hear of each ended connection."""
        logged = bool(self.flow_log) and self.records
        return logged or (bool(self.otlp_endpoint) and self.otlp_flows in ("connections", "all"))

    def keeps_private(self) -> bool:
        """Whether all private addresses stay exact, so that the kernel need not look for their prefixes."""
        split = any(
            outside.version == inside.version
            and outside.network_address in inside
            and outside.prefixlen >= inside.prefixlen
            for outside in self.external_prefixes
            for inside in _CLUSTER_PREFIXES
        )
        return not split and set(self.cluster_prefixes) >= set(_CLUSTER_PREFIXES)

    def node(self) -> str:
        """Name of this node: as configured, else the host's, which is the kubelet's own default."""
        return self.node_name or os.uname().nodename.lower()
