"""How long every certificate lives, and whether pods get theirs."""

from typing import Final

from deploy.dashboards import board
from deploy.dashboards.board import RATE, Panel, ask

_DAY_S: Final = 86400


def _left(title: str, doc: str, query: board.Query, *, red_days: float, orange_days: float) -> Panel:
    """Show the time that is left; red is where the alert of deploy/prometheus fires."""
    return Panel(
        title=title,
        doc=doc,
        kind="number",
        unit="s",
        width=6,
        height=5,
        low=None,
        levels=(("red", -1e12), ("orange", red_days * _DAY_S), ("green", orange_days * _DAY_S)),
        queries=(query,),
    )


BOARD: Final = board.Board(
    uid="ipseity-certificates",
    title="certificates",
    doc="Anchor, issuer, leaves, the webhook's own; who asks and who is refused. Rotation: ipseity identity rotate.",
    hours=24,
    variables=(),
    rows=(
        (
            "Time that is left",
            (
                _left(
                    "Trust anchors",
                    "Of each anchor in the bundle. Below 180 days: ipseity identity rotate.",
                    ask("min by (anchor) (ipseity_identity_anchor_expiry_timestamp_seconds) - time()", "{{anchor}}"),
                    red_days=180,
                    orange_days=365,
                ),
                _left(
                    "Issuer",
                    "Of the issuer in use, or the first above it.",
                    ask("min(ipseity_identity_issuer_expiry_timestamp_seconds > 0) - time()"),
                    red_days=30,
                    orange_days=60,
                ),
                _left(
                    "First leaf to end",
                    "Of those that pods hold. They renew at 70 % of their life: 24 hours, if nothing else was said.",
                    ask("min(ipseity_identity_first_leaf_expiry_timestamp_seconds > 0) - time()"),
                    red_days=0.1,
                    orange_days=0.15,
                ),
                _left(
                    "Webhook",
                    "After its end annotated pods are not created.",
                    ask("min(ipseity_webhook_certificate_expiry_timestamp_seconds > 0) - time()"),
                    red_days=25,
                    orange_days=28,
                ),
            ),
        ),
        (
            "Pods",
            (
                Panel(
                    title="Pods with a certificate",
                    unit="short",
                    queries=(
                        ask("max(ipseity_identity_pods)", "valid"),
                        ask("max(ipseity_identity_pods_overdue)", "overdue"),
                    ),
                ),
                Panel(
                    title="Days left in proxies",
                    doc="As each Envoy says; 0 is less than a day.",
                    unit="d",
                    queries=(
                        ask(
                            """bottomk(10, min by (namespace, pod) (
                            envoy_server_days_until_first_cert_expiring < 4294967295))""",
                            "{{namespace}}/{{pod}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Requests",
            (
                Panel(
                    title="Issued",
                    unit="cps",
                    width=8,
                    queries=(ask(f"sum(rate(ipseity_identity_certificates_issued_total{RATE}))", "issued"),),
                ),
                Panel(
                    title="Refused",
                    doc="By what was wrong, or why not now: docs/security.md.",
                    unit="cps",
                    width=8,
                    none="none",
                    queries=(
                        ask(f"sum by (reason) (rate(ipseity_identity_requests_refused_total{RATE}))", "{{reason}}"),
                    ),
                ),
                Panel(
                    title="Time to answer",
                    unit="s",
                    width=8,
                    queries=tuple(
                        ask(
                            f"""histogram_quantile({share}, sum by (le) (
                            rate(ipseity_identity_certify_seconds_bucket{RATE})))""",
                            name,
                        )
                        for share, name in ((0.5, "p50"), (0.99, "p99"))
                    ),
                ),
                Panel(
                    title="Not well",
                    doc="0 where all is well. Lines of the issuance log: so many certificates were not given.",
                    unit="short",
                    width=24,
                    levels=(("red", 0.5),),
                    queries=(
                        ask("max(ipseity_identity_bundle_namespaces_missing)", "namespaces without the bundle"),
                        ask("sum(ipseity_identity_log_failures)", "lines not written"),
                        ask("max by (reason) (ipseity_identity_issuers_refused)", "issuer {{reason}}"),
                    ),
                ),
            ),
        ),
    ),
)
