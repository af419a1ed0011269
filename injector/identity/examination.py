"""Reads what ``findings`` judges: Secrets and what the control planes published.

Here because ``ipseity identity check`` and ``ipseity check`` must say the same. Leaves out the judging.
"""

import typing

from injector.identity import anchors, authority, findings, rotating

if typing.TYPE_CHECKING:
    from kubernetes.aio import client


async def examine(api: "client.ApiClient", namespace: str, *, now_s: float) -> tuple[findings.Finding, ...]:
    """Look at anchors, issuer, leaves and bundle. Raises KubernetesError, CannotRun."""
    seen = await rotating.look(api, namespace)
    secret = seen.found.issuer
    issuer = anchors.read_bundle(secret.certificate_pem, "the issuer")[0] if secret else None
    return findings.examine(authority.wanted_anchors(seen.found), issuer, seen.known.statuses, now_s=now_s)
