"""The cluster and its policies as they are now, read once.

Here because a question of one moment needs no watch, and must be answered also where the control plane is down. Reads
what the control plane reads, through the same functions. Leaves out the question (``explain``).
"""

import contextlib
import dataclasses
import http
import typing
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from injector.cluster import index, objects
from injector.cluster import model as cluster
from injector.policy import book, service
from ipseity import identity, kube, paging

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_PAGE: Final = 250
_PATIENCE_S: Final = 10.0
"""For one page."""
_READERS: Final[tuple[tuple[str, Callable[[Any], objects.Record | None]], ...]] = (
    ("/api/v1/namespaces", objects.namespace),
    (kube.PODS.path, objects.pod),
    (kube.SERVICES.path, objects.service),
    ("/apis/discovery.k8s.io/v1/endpointslices", objects.endpoint_slice),
)
"""Namespaces first: what they say about pods is then known when the pods come."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What was read."""

    state: cluster.ClusterState
    book: book.Book
    warnings: tuple[str, ...]
    """What could not be read, and what is therefore not as it may seem."""


async def read(api: "client.ApiClient", trust_domain: identity.TrustDomain) -> Moment:
    """Read it. Raises KubernetesError."""
    known, policies = index.Index(trust_domain), book.Book(trust_domain)
    warnings: list[str] = []
    for path, trim in _READERS:
        async for item in each(api, path):
            try:
                record = trim(item)
            except objects.Malformed as error:
                warnings.append(f"{path}: an object that cannot be read was passed over: {error}")
            else:
                if record is not None:
                    known.seen(record)
    try:
        async for item in each(api, service.RESOURCE.path):
            policies.apply(item)
    except kube.KubernetesError as error:
        if error.status != http.HTTPStatus.NOT_FOUND:
            raise
        warnings.append("this cluster does not know AuthorizationPolicy: apply deploy/crds")
    warnings += [
        f"AuthorizationPolicy {entry.key}: {entry.error}" for entry in policies.entries.values() if entry.error
    ]
    warnings += [f"pod {ref}: {why}" for ref, why in known.misconfigured.items()]
    warnings += [f"Service {key}: {why}" for key, each in known.misbalanced.items() for why in each.complaints]
    return Moment(state=known.state(), book=policies, warnings=tuple(warnings))


async def each(api: "client.ApiClient", path: str, *, labels: str = "") -> AsyncIterator[Any]:
    """Read a whole collection, or what a label selector chooses of it, page by page. Raises KubernetesError."""
    resource = kube.Resource(path=path)
    query = {"limit": str(_PAGE), **({"labelSelector": labels} if labels else {})}
    async with contextlib.aclosing(paging.pages(api, resource, query, shape=dict, timeout_s=_PATIENCE_S)) as pages:
        async for page in pages:
            for item in page.items:
                if not isinstance(item, dict):
                    raise kube.KubernetesError(f"the list of {path} has an object that is none")
                yield item
