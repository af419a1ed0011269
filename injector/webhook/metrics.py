"""What the webhook counts. Labels are closed lists: nothing that a user names becomes one.

Here because an injection that does not happen must show somewhere. Leaves out serving it.
"""

from typing import Final

import prometheus_client
from prometheus_client import registry as registries

from injector.webhook import injection

_OWNERS: Final = frozenset({"ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController"})
_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)


class Metrics:
    """Counters of one webhook."""

    def __init__(self, registry: registries.CollectorRegistry) -> None:
        self.reviews = prometheus_client.Counter(
            "ipseity_injection_reviews",
            "Admission reviews of pods, by what was answered, why, and the kind of the pod's owner",
            ["result", "reason", "owner_kind"],
            registry=registry,
        )
        self.malformed = prometheus_client.Counter(
            "ipseity_injection_malformed",
            "Requests that were no admission review, by what was answered",
            ["code"],
            registry=registry,
        )
        self.namespaces = prometheus_client.Counter(
            "ipseity_injection_namespace_reviews", "Admission reviews of namespaces", registry=registry
        )
        self.unknown_namespaces = prometheus_client.Counter(
            "ipseity_injection_unknown_namespace",
            "Pods refused because the API server did not tell what their namespace says",
            registry=registry,
        )
        self.duration = prometheus_client.Histogram(
            "ipseity_injection_duration_seconds",
            "From the whole request to the answer",
            registry=registry,
            buckets=_BUCKETS_S,
        )
        self.events = prometheus_client.Counter(
            "ipseity_injection_events",
            "Events about injections: told, repeated (and not told again), dropped",
            ["outcome"],
            registry=registry,
        )
        self.defects = prometheus_client.Counter(
            "ipseity_injection_defects", "Requests that ended in an error of our own", registry=registry
        )
        self.certificate_expiry = prometheus_client.Gauge(
            "ipseity_webhook_certificate_expiry_timestamp_seconds",
            "When the webhook's certificate expires",
            registry=registry,
        )

    def count(self, outcome: injection.Outcome) -> None:
        """Count an answer."""
        self.reviews.labels(outcome.result, outcome.reason, _owner_kind(outcome)).inc()


def _owner_kind(outcome: injection.Outcome) -> str:
    if outcome.pod is None:
        return ""
    owner = outcome.pod.owner
    if owner is None:
        return "Pod"
    return owner.kind if owner.kind in _OWNERS else "other"
