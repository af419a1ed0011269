"""Puts the controllers together over one connection and one cache."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from comparisons.lab.api import kinds
from comparisons.lab.controllers import accounts, cache, running, scheduling, writer
from ipseity import kube

WATCHED = tuple(kind for kind in kinds.ALL if kind not in {kinds.EVENT, kinds.LEASE})


@contextlib.asynccontextmanager
async def connected(kubeconfig: str) -> AsyncIterator[tuple[cache.Cache, Sequence[running.Controller]]]:
    """The cache and the controllers, not yet running."""
    api = await kube.connect(kubeconfig)
    try:
        known = cache.Cache(api, WATCHED)
        yield known, [
            accounts.Accounts(known, writer.Writer(api, accounts.Accounts.name)),
            scheduling.Scheduling(known, writer.Writer(api, scheduling.Scheduling.name)),
        ]
    finally:
        await api.close()
