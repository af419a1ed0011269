"""What the controller of rollouts can be told: every flag and every ``IPSEITY_*`` variable, with default and meaning.

Here because one place must list them. Leaves out how settings are read (``ipseity.settings``).
"""

import dataclasses

from injector import names
from ipseity import settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Of ``ipseity rollout run``."""

    pod_name: str = settings.field(dataclasses.MISSING, "This pod; metadata.name.", metavar="NAME")
    pod_namespace: str = settings.field(names.SYSTEM_NAMESPACE, "Its namespace; metadata.namespace.", metavar="NAME")
    kubeconfig: str | None = settings.field(None, "File to reach the API server with; none: the pod's own account.")
    context: str | None = settings.field(None, "Context in that file; none: its current one.", metavar="NAME")
    prometheus: str = settings.field(
        "", "Prometheus to ask, for Canaries with provider prometheus: http://HOST:PORT.", metavar="URL"
    )
    listen: str = settings.field("0.0.0.0", "Address to serve on.", metavar="ADDRESS")  # noqa: S104  # a pod's only one
    health_port: int = settings.field(8447, "Port of /metrics, /readyz and /livez.", minimum=1, maximum=65535)
    log_level: str = settings.field(
        "info", "Lowest level of log lines.", choices=("debug", "info", "warning", "error"), metavar="LEVEL"
    )
    log_format: str = settings.field("json", "Form of log lines.", choices=("json", "text"), metavar="FORM")
