"""Every metric of the identity service, in one table.

Here because a metric's name is a promise to whoever wrote an alert. Labels are closed lists (``Reason`` of ``csr``,
``tokens`` and ``issuers``, ``Later`` of ``certifier``): never a name of a pod. Alerts stand before the trouble: an
anchor below 180 days, an issuer below 30, any leaf past 85 % of its life.
"""

from typing import Final

import prometheus_client

from injector.identity import anchors, authority, bundle, issuelog, issuers, ledger

_SIGNING_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """Counts what happens; ``refresh`` reads what is."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.issued = prometheus_client.Counter(
            "ipseity_identity_certificates_issued", "Leaves that were signed, logged and sent.", registry=registry
        )
        self.refused = prometheus_client.Counter(
            "ipseity_identity_requests_refused",
            "Requests that got no certificate, by reason: what was wrong, or why not now.",
            ["reason"],
            registry=registry,
        )
        self.duration = prometheus_client.Histogram(
            "ipseity_identity_certify_seconds",
            "Time from request to answer, the API server's and the disk's part included.",
            buckets=_SIGNING_S,
            registry=registry,
        )
        self.in_flight = prometheus_client.Gauge(
            "ipseity_identity_requests_in_flight", "Requests that are being answered.", registry=registry
        )
        self._anchor_ends = prometheus_client.Gauge(
            "ipseity_identity_anchor_expiry_timestamp_seconds",
            "When a trust anchor in the bundle expires.",
            ["anchor"],
            registry=registry,
        )
        self._issuer_ends = prometheus_client.Gauge(
            "ipseity_identity_issuer_expiry_timestamp_seconds",
            "When the issuer in use expires, or the first above it.",
            registry=registry,
        )
        self._leaf_ends = prometheus_client.Gauge(
            "ipseity_identity_first_leaf_expiry_timestamp_seconds",
            "When the first of the leaves that pods hold expires; 0: there is none.",
            registry=registry,
        )
        self._pods = prometheus_client.Gauge(
            "ipseity_identity_pods", "Pods that hold a leaf which is valid.", registry=registry
        )
        self._overdue = prometheus_client.Gauge(
            "ipseity_identity_pods_overdue", "Pods whose leaf is past 85 % of its life.", registry=registry
        )
        self._issuers_refused = prometheus_client.Gauge(
            "ipseity_identity_issuers_refused",
            "Times that a Secret was looked at and its issuer or anchor not taken, by reason.",
            ["reason"],
            registry=registry,
        )
        self._log_failures = prometheus_client.Gauge(
            "ipseity_identity_log_failures",
            "Entries of the issuance log that could not be written: so many certificates were not given.",
            registry=registry,
        )
        self._log_lines = prometheus_client.Gauge(
            "ipseity_identity_log_lines", "Number of the newest line of the issuance log.", registry=registry
        )
        self._bundle_missing = prometheus_client.Gauge(
            "ipseity_identity_bundle_namespaces_missing",
            "Namespaces that do not have the trust bundle as it is now.",
            registry=registry,
        )

    def refresh(
        self,
        held: authority.Authority,
        pods: ledger.Summary,
        log: issuelog.IssuanceLog,
        publisher: bundle.Publisher,
    ) -> None:
        """Set the gauges; called before they are read."""
        self._anchor_ends.clear()
        for each in held.bundle:
            name = anchors.fingerprint(each)[:16]
            self._anchor_ends.labels(name).set(each.not_valid_after_utc.timestamp())
        self._issuer_ends.set(held.issuer.not_after_s if held.issuer else 0)
        self._leaf_ends.set(pods.first_not_after_s)
        self._pods.set(pods.pods)
        self._overdue.set(pods.overdue)
        for reason in ("anchors", *issuers.Reason):  # 0 is a fact too
            self._issuers_refused.labels(reason).set(held.refused.get(reason, 0))
        self._log_failures.set(log.failures)
        self._log_lines.set(log.head.seq)
        self._bundle_missing.set(publisher.missing)
