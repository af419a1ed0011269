"""What makes objects into pods, and pods go where they belong: as kube-controller-manager and the scheduler do.

Each controller is a class of its own file with ``keys`` (what to look at because of a change) and ``reconcile``
(bring one object nearer to what it should be). They speak only HTTP to the API, so they work against any API server.
Leaves out leader election (one lab, one process), quotas, volumes, autoscaling, and node eviction.
"""

import contextlib
from collections.abc import AsyncIterator

from comparisons.lab.controllers import assembly, running


@contextlib.asynccontextmanager
async def following(kubeconfig: str, *, authority: str = "") -> AsyncIterator[None]:
    """Run all controllers meanwhile, against the API server that the kubeconfig names.

    ``authority``: the certificates by which pods shall know that server; empty: nobody tells them.
    """
    async with assembly.connected(kubeconfig, authority) as assembled, running.running(assembled):
        yield
