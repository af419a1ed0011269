"""What discovery counts. Labels are closed lists: types of resources, reasons, states.

Here because a proxy that is out of date looks healthy from everywhere else. Leaves out serving it.
"""

from typing import Final

import prometheus_client

from injector.discovery import resource

_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one control plane."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.proxies = prometheus_client.Gauge(
            "ipseity_discovery_proxies",
            "Connected proxies: synced, behind, refusing (what it was told last), unknown (no such pod yet)",
            ["state"],
            registry=registry,
        )
        self.responses = prometheus_client.Counter(
            "ipseity_discovery_responses", "Responses sent to proxies, by type", ["type"], registry=registry
        )
        self.resources = prometheus_client.Counter(
            "ipseity_discovery_resources", "Resources sent to proxies, by type", ["type"], registry=registry
        )
        self.nacks = prometheus_client.Counter(
            "ipseity_discovery_nacks", "Responses that a proxy refused, by type", ["type"], registry=registry
        )
        for kind in resource.SHORT.values():
            self.nacks.labels(kind)  # 0 is a fact too
        self.refused = prometheus_client.Counter(
            "ipseity_discovery_refused",
            "Streams that were not served, or ended by us, by why",
            ["reason"],
            registry=registry,
        )
        self.inconsistent = prometheus_client.Counter(
            "ipseity_discovery_inconsistent",
            "Snapshots that were not served, because they refer to what is not there",
            registry=registry,
        )
        self.failing = prometheus_client.Gauge(
            "ipseity_discovery_failing_services",
            "Services of which the latest could not be made, by a defect of ours; what was made before is told still",
            registry=registry,
        )
        self.push = prometheus_client.Histogram(
            "ipseity_discovery_push_seconds",
            "From a change of the cluster or a policy to its last response on the wire to one proxy",
            registry=registry,
            buckets=_BUCKETS_S,
        )
        self.build = prometheus_client.Histogram(
            "ipseity_discovery_build_seconds", "Making what all proxies share", registry=registry, buckets=_BUCKETS_S
        )
        self._of_the_cluster(registry)

    def _of_the_cluster(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.held = prometheus_client.Gauge(
            "ipseity_discovery_held_endpoints",
            "Endpoints not told, because nobody knows yet which pod they are",
            registry=registry,
        )
        self.misconfigured = prometheus_client.Gauge(
            "ipseity_discovery_misconfigured_pods",
            "Injected pods whose annotations cannot be read; what was last understood holds",
            registry=registry,
        )
        self.misbalanced = prometheus_client.Gauge(
            "ipseity_discovery_misconfigured_services",
            "Services with a balancer annotation that cannot be read; it is as if it were not there",
            registry=registry,
        )
        self.malformed = prometheus_client.Gauge(
            "ipseity_discovery_malformed_objects",
            "Objects of the API server that could not be read since the start, by resource",
            ["resource"],
            registry=registry,
        )
