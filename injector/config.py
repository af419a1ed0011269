"""What the control plane can be told: every flag and every ``IPSEITY_*`` variable, with default and meaning.

Here because one place must list them. Leaves out how settings are read (``ipseity.settings``).
"""

import dataclasses
import pathlib

from injector import names
from injector.webhook import options
from ipseity import settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config(options.Options):
    """Of ``ipseity control-plane run``; the fields of ``webhook.options`` say what is put into pods."""

    pod_name: str = settings.field(dataclasses.MISSING, "This pod; metadata.name.", metavar="NAME")
    pod_namespace: str = settings.field(names.SYSTEM_NAMESPACE, "Its namespace; metadata.namespace.", metavar="NAME")
    pod_uid: str = settings.field("", "Its uid; metadata.uid.", metavar="UID")
    cluster_domain: str = settings.field("cluster.local", "DNS domain of the cluster.", metavar="DOMAIN")
    kubeconfig: str | None = settings.field(None, "File to reach the API server with; none: the pod's own account.")
    context: str | None = settings.field(None, "Context in that file; none: its current one.", metavar="NAME")
    listen: str = settings.field("0.0.0.0", "Address to serve on.", metavar="ADDRESS")  # noqa: S104  # a pod's only one
    webhook_port: int = settings.field(names.WEBHOOK_PORT, "Port of the admission webhook.", minimum=1, maximum=65535)
    identity_port: int = settings.field(names.IDENTITY_PORT, "Port that signs certificates.", minimum=1, maximum=65535)
    discovery_port: int = settings.field(
        names.DISCOVERY_PORT, "Port that configures proxies.", minimum=1, maximum=65535
    )
    health_port: int = settings.field(8446, "Port of /metrics, /readyz and /livez.", minimum=1, maximum=65535)
    issuance_log: pathlib.Path = settings.field(
        pathlib.Path("/var/lib/ipseity/issued.jsonl"), "Log of every certificate that was signed.", metavar="FILE"
    )
    webhook_certificate: pathlib.Path | None = settings.field(
        None, "Certificate of the webhook, brought and renewed by somebody else; none: made here.", metavar="FILE"
    )
    webhook_key: pathlib.Path | None = settings.field(None, "Its key.", metavar="FILE")
    leaf_life_s: float = settings.field(
        86_400.0, "Life of a pod's certificate, in seconds.", minimum=30, maximum=7 * 86_400
    )
    bundle_settle_s: float = settings.field(
        180.0, "How long a changed trust bundle may take to be in every pod, in seconds.", minimum=1
    )
    linger_s: float = settings.field(
        3.0, "After SIGTERM: how long to serve on while callers learn that we end, in seconds.", minimum=0
    )
    drain_s: float = settings.field(
        5.0, "After that: how long proxies may take to move to another control plane, in seconds.", minimum=0
    )
    log_level: str = settings.field(
        "info", "Lowest level of log lines.", choices=("debug", "info", "warning", "error"), metavar="LEVEL"
    )
    log_format: str = settings.field("json", "Form of log lines.", choices=("json", "text"), metavar="FORM")
