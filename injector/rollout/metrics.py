"""What the controller of rollouts counts. Labels are names of Canaries, which go when these do, and closed lists.

Here because a rollout that went back must wake somebody. Leaves out serving it (``injector.health``).
"""

from typing import Final

import prometheus_client
from prometheus_client import registry as registries

from injector.rollout import model

_CANARY: Final = ("namespace", "canary")
_RESULTS: Final = ("passed", "failed")
_OUTCOMES: Final = {
    model.News.PROMOTED: "promoted",
    model.News.ROLLED_BACK: "rolled_back",
    model.News.ABORTED: "aborted",
    model.News.LEFT_ALONE: "left_alone",
}


class Metrics:
    """Counters and gauges of one process."""

    def __init__(self, registry: registries.CollectorRegistry) -> None:
        self.weight = prometheus_client.Gauge(
            "ipseity_rollout_weight_percent", "The canary's part of requests, as decided", _CANARY, registry=registry
        )
        self.phase = prometheus_client.Gauge(
            "ipseity_rollout_phase",
            "1 for the phase that a Canary is in, else 0",
            (*_CANARY, "phase"),
            registry=registry,
        )
        self.checks = prometheus_client.Counter(
            "ipseity_rollout_checks", "Checks of a canary, by result", (*_CANARY, "result"), registry=registry
        )
        self.outcomes = prometheus_client.Counter(
            "ipseity_rollout_outcomes", "Rollouts that ended, by how", (*_CANARY, "outcome"), registry=registry
        )
        self.errors = prometheus_client.Counter(
            "ipseity_rollout_errors", "Looks at a Canary that failed, and are tried again", ("kind",), registry=registry
        )
        self.leads = prometheus_client.Gauge(
            "ipseity_rollout_leads", "1 if this process holds the lease, else 0", registry=registry
        )

    def stands(self, namespace: str, name: str, now: model.Status | None, before: model.Status | None) -> None:
        """Take how a Canary stands, and count a check if there was one since ``before``."""
        if now is None:
            return
        # From 0 on, so that Prometheus sees the first one as an increase.
        for result in _RESULTS:
            self.checks.labels(namespace, name, result)
        for outcome in _OUTCOMES.values():
            self.outcomes.labels(namespace, name, outcome)
        self.weight.labels(namespace, name).set(now.weight)
        for phase in model.Phase:
            self.phase.labels(namespace, name, phase.value).set(int(phase is now.phase))
        if before is not None and now.rollout == before.rollout and now.iterations == before.iterations + 1:
            self.checks.labels(namespace, name, _RESULTS[now.failed_checks > before.failed_checks]).inc()

    def aside(self, namespace: str, name: str) -> None:
        """Say no more how a Canary stands: another process does."""
        for metric in (self.weight, self.phase):
            metric.remove_by_labels({"namespace": namespace, "canary": name})

    def news(self, namespace: str, name: str, news: model.News) -> None:
        """Count a rollout that ended."""
        if news in _OUTCOMES:
            self.outcomes.labels(namespace, name, _OUTCOMES[news]).inc()

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is about a Canary that is gone."""
        for metric in (self.weight, self.phase, self.checks, self.outcomes):
            metric.remove_by_labels({"namespace": namespace, "canary": name})
