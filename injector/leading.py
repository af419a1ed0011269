"""Which control plane decides what only one may: its candidacy for the Lease ``ipseity-control``, and its metrics.

Here because webhook, identity and steering ask one question (``leads``) and none of them should know how it is
answered. What every replica does alike, and what only this one: docs/adr/0019. Leaves out the rules
(``kube.leases``) and the requests (``kube.election``).
"""

import time
import typing
from collections.abc import Callable

import prometheus_client

from injector import names
from injector.kube import election, leases

if typing.TYPE_CHECKING:
    from kubernetes.aio import client


class Leading:
    """Our part in the election."""

    def __init__(  # noqa: PLR0913  # as whom, counted where, and what time it is
        self,
        api: "client.ApiClient",
        namespace: str,
        pod: str,
        registry: prometheus_client.CollectorRegistry,
        *,
        wall_s: Callable[[], float],
        began: Callable[[], None],
    ) -> None:
        """``wall_s``: seconds since the epoch; ``began`` hears that it is us now."""
        self.election = election.Election(
            api,
            namespace,
            names.CONTROL_PLANE,
            leases.Candidate(election.name_of(pod), leases.Timing()),
            boot_s=lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
            wall_s=wall_s,
            began=began,
        )
        self._leads = prometheus_client.Gauge(
            "ipseity_control_leads", "Whether this control plane decides what only one may: 1 or 0", registry=registry
        )
        self._terms = prometheus_client.Gauge(
            "ipseity_control_terms", "Times that this control plane has begun to lead", registry=registry
        )
        self._failures = prometheus_client.Gauge(
            "ipseity_control_lease_failures",
            "Times that the Lease could not be looked after, since the start",
            registry=registry,
        )

    def leads(self) -> bool:
        """Whether it is us now: to be asked right before each write."""
        return self.election.leads

    def refresh_metrics(self) -> None:
        """Set the gauges; called before they are read."""
        self._leads.set(self.election.leads)
        self._terms.set(self.election.terms)
        self._failures.set(self.election.failures)
