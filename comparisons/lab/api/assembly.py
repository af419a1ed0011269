"""Puts the handlers of one API server together over its registry."""

import aiohttp

from comparisons.lab.api import (
    authenticator,
    authorizing,
    issuance,
    logs,
    pod_proxy,
    registry,
    resources,
    reviews,
    server,
    subresources,
    token_request,
    trust,
)


def server_of(  # noqa: PLR0913  # what a server is put together from
    rules: registry.Registry,
    keys: trust.Trust,
    url: str,
    *,
    to_nodes: aiohttp.ClientSession,
    to_pods: aiohttp.ClientSession,
    rbac: bool,
) -> server.Server:
    """Return the handlers. ``url`` is where pods find the server; nodes are asked for logs, pods for what is theirs."""
    roles = authorizing.Roles(rules.store) if rbac else None
    known = authenticator.Authenticator(keys.signer, rules.store, keys.token)
    tokens = token_request.TokenRequests(rules, keys.signer)
    return server.Server(
        resources=resources.Resources(rules),
        subresources=subresources.Subresources(
            rules, logs.Logs(rules, to_nodes), tokens, pod_proxy.PodProxy(rules, to_pods)
        ),
        reviews=reviews.Reviews(known, roles),
        known=known,
        issuance=issuance.Issuance(keys.signer, url),
        roles=roles,
    )
