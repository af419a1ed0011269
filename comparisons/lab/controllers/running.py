"""Runs the controllers: one cache for all, one queue and one task each; a task that dies is logged and started again.

Leaves out what they do: each has its file.
"""

import asyncio
import contextlib
import functools
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, reporting, workqueue
from ipseity import kube

LOG = structlog.get_logger("lab.controllers")

RESTART_S = 1.0
TERMINATING = "because it is being terminated"
"""What a namespace on its way out says to every creation."""
SWEEP_S = 5.0


class Controller(typing.Protocol):
    """Something that looks at one object at a time and brings the cluster nearer to what it should be."""

    name: str

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return what to look at because this object changed."""
        ...

    async def reconcile(self, key: cache.Key) -> float | None:
        """Look at one key; the answer is in how many seconds to look again. Raises KubernetesError."""
        ...


class Assembled(typing.Protocol):
    """What is to run."""

    @property
    def known(self) -> cache.Cache:
        """What all of them read."""
        ...

    @property
    def controllers(self) -> Sequence[Controller]:
        """Those who act."""
        ...

    @property
    def events(self) -> reporting.Reporter:
        """Where they say what they did."""
        ...


@contextlib.asynccontextmanager
async def running(assembled: Assembled) -> AsyncIterator[None]:
    """Run the controllers meanwhile."""
    known = assembled.known
    queues = [(each, _connect(known, each)) for each in assembled.controllers]
    async with known.following(), asyncio.TaskGroup() as group:
        works: dict[str, Callable[[], Awaitable[None]]] = {
            each.name: functools.partial(_work, known, each, queue) for each, queue in queues
        }
        works |= {"events": assembled.events.run, "cache": functools.partial(_sweep, known)}
        tasks = [group.create_task(_keep_running(name, work)) for name, work in works.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _sweep(known: cache.Cache) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        known.drop_doubtful()


def _connect(known: cache.Cache, controller: Controller) -> workqueue.Queue:
    queue = workqueue.Queue()

    def handle(kind: kinds.Kind, value: cache.Value, gone: bool) -> None:  # noqa: FBT001  # cache.Handler
        try:
            for key in controller.keys(kind, value, gone=gone):
                queue.add(key)
        except Exception:  # the edge: an odd object must not end the watch that all controllers live on
            LOG.exception("controller cannot read an object", controller=controller.name, name=cache.key_of(value))

    known.on_change(handle)
    return queue


async def _keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception:  # the edge: a mistake in one controller must neither end it nor the others
            LOG.exception("controller failed, starting again", controller=name)
            await asyncio.sleep(RESTART_S)


async def _work(known: cache.Cache, controller: Controller, queue: workqueue.Queue) -> None:
    await known.until_synced()
    while True:
        key = await queue.next()
        try:
            again_s = await controller.reconcile(key)
        except kube.KubernetesError as error:
            if TERMINATING in str(error):  # nothing more is to be made there
                queue.succeeded(key)
                continue
            delay_s = queue.failed(key)
            LOG.info("will try again", controller=controller.name, key=key, in_s=delay_s, error=str(error))
        except BaseException:
            queue.failed(key)
            raise
        else:
            queue.succeeded(key)
            if again_s is not None:
                queue.add_later(key, again_s)
