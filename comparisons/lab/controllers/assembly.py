"""Puts the controllers together over one connection and one cache."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence

from comparisons.lab.api import kinds
from comparisons.lab.controllers import (
    accounts,
    authorities,
    cache,
    collector,
    custom,
    daemonsets,
    deployments,
    endpoints,
    jobs,
    namespaces,
    replicasets,
    reporting,
    running,
    scheduling,
    statefulsets,
    strays,
    writer,
)
from ipseity import kube

WATCHED = tuple(kind for kind in kinds.ALL if kind not in namespaces.UNWATCHED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """Everything that runs."""

    known: cache.Cache
    controllers: Sequence[running.Controller]
    events: reporting.Reporter


@contextlib.asynccontextmanager
async def connected(kubeconfig: str, authority: str) -> AsyncIterator[Assembly]:
    """Yield the controllers over a connection, not yet running."""
    api = await kube.connect(kubeconfig)
    known = cache.Cache(api, WATCHED)

    def out(name: str) -> writer.Writer:
        return writer.Writer(api, known, name)

    events = reporting.Reporter(out("lab-controllers"))
    try:
        made: Sequence[running.Controller] = (
            accounts.Accounts(known, out(accounts.Accounts.name)),
            *([authorities.Authorities(known, out(authorities.Authorities.name), authority)] if authority else []),
            scheduling.Scheduling(known, out(scheduling.SCHEDULER), events),
            replicasets.ReplicaSets(known, out(replicasets.ReplicaSets.name), events),
            deployments.Deployments(known, out(deployments.Deployments.name), events),
            jobs.Jobs(known, out(jobs.Jobs.name), events),
            statefulsets.StatefulSets(known, out(statefulsets.StatefulSets.name), events),
            daemonsets.DaemonSets(known, out(daemonsets.DaemonSets.name), events),
            endpoints.Endpoints(known, out(endpoints.Endpoints.name)),
            namespaces.Namespaces(known, out(namespaces.Namespaces.name)),
            collector.Collector(known, out(collector.Collector.name)),
            custom.Custom(known),
            strays.Strays(known, out(strays.Strays.name)),
        )
        yield Assembly(known=known, controllers=made, events=events)
    finally:
        await api.close()
