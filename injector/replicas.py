"""Replicas of the control plane tell one another what they have signed, so that each knows of every pod's leaf.

Here because any replica signs, a pod renews at another one than before, and a replica that is replaced takes its log
along (docs/adr/0019). Without this each would think of some pods that they have not renewed, and a rotation would wait
for what nobody holds. Each replica follows each other one over discovery's port: all that it knows, then what it signs;
the end with OK means that this was everything, so whoever heard it knows all that the one that ended knew. What cannot
be heard makes answers more careful, and nothing else. Leaves out what follows from it (``identity.ledger``).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final

import grpc
import structlog

from injector import errors, names
from injector.cluster import model
from injector.discovery import caller
from injector.identity import ledger, serving
from injector.proto import replicas_pb2, replicas_pb2_grpc
from ipseity import identity

_LOOK_S: Final = 1.0
"""How often replicas are looked for, and asked again after an error."""
_CHUNK: Final = 1000
"""Leaves in a message: some 100 kB."""
_BACKLOG: Final = 20_000
"""Leaves that one replica may be behind; beyond, it is told all anew."""
_MOST_INHERITED: Final = 64
"""Names of replicas that have ended; a rolling update has two or three."""
_FAREWELL_S: Final = 3.0
"""For telling all the rest at the end; a replica that does not take it must not hold up the hand-over."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.keepalive_time_ms", 10_000),  # one whose node is gone: its stream would stay open for two hours
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_retries", 0),
)
_log = structlog.get_logger("replicas")


class Service(replicas_pb2_grpc.ReplicasServicer):  # type: ignore[misc]  # generated, without types
    """Tells what is in the ledger to whoever is a control plane as well."""

    def __init__(self, pods: ledger.Ledger, own: serving.OwnLeaf, trust_domain: identity.TrustDomain) -> None:
        self._pods = pods
        self._own = own
        self._trust_domain = trust_domain
        self._ended = asyncio.Event()
        self._streams = 0
        self._left = asyncio.Event()
        self._left.set()

    async def finish(self) -> None:
        """End all streams once everything was told: nothing is signed any more. Waits some seconds at most."""
        self._ended.set()
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self._left.wait()
        except TimeoutError:
            # It did not hear the end, so it goes on as with a replica that died.
            _log.warning("a replica does not take what was signed", replicas=self._streams, waited_s=_FAREWELL_S)

    async def Follow(self, request: Any, context: Any) -> AsyncIterator[replicas_pb2.Told]:  # noqa: N802  # protobuf's spelling
        """Tell one replica, until either ends."""
        del request
        await self._check(context)
        news: asyncio.Queue[ledger.Leaf] = asyncio.Queue()
        silence = self._pods.listen(news.put_nowait)
        self._streams += 1
        self._left.clear()
        try:
            for told in _chunks(tuple(self._pods.leaves()), whole=True):
                yield told
            while True:
                fresh = await self._next(news)
                if len(fresh) > _BACKLOG:
                    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too far behind: ask anew")
                for told in _chunks(fresh, whole=False):
                    yield told
                if self._ended.is_set() and news.empty():
                    return
        finally:
            silence()
            self._streams -= 1
            if not self._streams:
                self._left.set()

    async def _next(self, news: "asyncio.Queue[ledger.Leaf]") -> tuple[ledger.Leaf, ...]:
        """Wait for something to tell, or for the end."""
        something, end = asyncio.ensure_future(news.get()), asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((something, end), return_when=asyncio.FIRST_COMPLETED)
            first = (something.result(),) if something.done() else ()
        finally:
            something.cancel()
            end.cancel()
        return (*first, *(news.get_nowait() for _ in range(news.qsize())))

    async def _check(self, context: Any) -> None:
        """Refuse whoever is no control plane."""
        shown = context.auth_context().get("x509_pem_cert") or [b""]
        try:
            who = caller.of(bytes(shown[0]), self._trust_domain)
        except errors.Refused as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        if who.spiffe_id != self._own.spiffe_id:
            _log.warning("no control plane", peer=context.peer(), spiffe_id=str(who.spiffe_id))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{who.spiffe_id} is no control plane")


class Following:
    """Follows every other replica. ``run`` for ever; ``known`` names those whose every leaf is in our ledger."""

    def __init__(  # noqa: PLR0913  # whom it asks, as whom, and where what is heard goes
        self,
        pods: ledger.Ledger,
        own: serving.OwnLeaf,
        pod: identity.PodRef,
        replicas: Callable[[], Iterable[model.Pod]],
        *,
        host: str,
        port: int,
    ) -> None:
        """``replicas`` gives the control planes' pods, ours too; ``host`` is the name that each proves to have."""
        self._pods = pods
        self._own = own
        self._pod = pod
        self._replicas = replicas
        self._host = host
        self._port = port
        self._heard: dict[str, None] = {}
        self._inherited: dict[str, None] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def known(self) -> frozenset[str]:
        """Names of pods: replicas that we hear, and those whose end we heard."""
        return frozenset((*self._heard, *self._inherited))

    async def run(self) -> None:
        """Follow whoever is there."""
        try:
            while True:
                there = {each.ref.uid: each for each in self._replicas() if self._is_other(each)}
                for uid, each in there.items():
                    if uid not in self._tasks:
                        self._tasks[uid] = asyncio.create_task(self._follow(each))
                    elif self._tasks[uid].done():
                        self._tasks[uid].result()  # a defect: it never ends by itself
                await self._drop(self._tasks.keys() - there.keys())
                await asyncio.sleep(_LOOK_S)
        finally:
            await self._drop(tuple(self._tasks))

    def _is_other(self, each: model.Pod) -> bool:
        return bool(each.addresses) and (each.ref.namespace, each.ref.name) != (self._pod.namespace, self._pod.name)

    async def _drop(self, uids: Iterable[str]) -> None:
        gone = [self._tasks.pop(uid) for uid in tuple(uids)]
        for task in gone:
            task.cancel()
        for result in await asyncio.gather(*gone, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _follow(self, replica: model.Pod) -> None:
        """Hear one replica, again and again: one that has ended may be started again in its pod."""
        name, trouble = replica.ref.name, ""
        while True:
            try:
                await self._hear(replica)
            except grpc.aio.AioRpcError as error:
                why = f"{error.code().name}: {error.details()}"
                if why != trouble and name not in self._inherited:
                    _log.info("replica not heard", replica=name, error=why[:300])
                trouble = why
            else:
                _log.info("replica has ended, and has told all that it signed", replica=name)
                trouble = ""
                self._inherited[name] = None
                while len(self._inherited) > _MOST_INHERITED:
                    del self._inherited[next(iter(self._inherited))]
            finally:
                self._heard.pop(name, None)
            await asyncio.sleep(_LOOK_S)

    async def _hear(self, replica: model.Pod) -> None:
        pair = self._own.pair
        if pair is None:
            raise errors.CannotRun("the control plane has no certificate of its own", hint="this is a defect")
        credentials = grpc.ssl_channel_credentials(pair.anchors_pem, pair.key_pem, pair.chain_pem)
        address = replica.addresses[0]
        target = f"[{address}]:{self._port}" if ":" in address else f"{address}:{self._port}"
        options = (*_OPTIONS, ("grpc.ssl_target_name_override", self._host))
        async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
            stream = replicas_pb2_grpc.ReplicasStub(channel).Follow(replicas_pb2.FollowRequest())
            async for told in stream:
                for each in told.leaves:
                    self._pods.hear(_read(each))
                if told.whole:
                    self._inherited.pop(replica.ref.name, None)
                    self._heard[replica.ref.name] = None


def control_planes(pods: Mapping[Any, model.Pod], namespace: str) -> Iterable[model.Pod]:
    """Pick the pods that run as control planes: what their certificate then proves."""
    # The namespace first: it is asked every second, of every pod of the cluster.
    ours = (each for each in pods.values() if each.ref.namespace == namespace)
    return (each for each in ours if each.account == identity.ServiceAccount(namespace, names.CONTROL_PLANE))


def _chunks(leaves: tuple[ledger.Leaf, ...], *, whole: bool) -> Iterable[replicas_pb2.Told]:
    """Make messages; the last one says that it is the last of all that was known."""
    starts = range(0, len(leaves), _CHUNK)
    for start in starts:
        part = [_written(each) for each in leaves[start : start + _CHUNK]]
        yield replicas_pb2.Told(leaves=part, whole=whole and start == starts[-1])
    if whole and not leaves:
        yield replicas_pb2.Told(whole=True)


def _written(leaf: ledger.Leaf) -> replicas_pb2.Leaf:
    return replicas_pb2.Leaf(
        pod_uid=leaf.pod_uid,
        anchor_sha256=bytes.fromhex(leaf.anchor),
        not_before_unix_s=leaf.not_before_s,
        not_after_unix_s=leaf.not_after_s,
        told_trust=leaf.trusted is not None,
        trusted_sha256=[bytes.fromhex(each) for each in leaf.trusted or ()],
    )


def _read(said: replicas_pb2.Leaf) -> ledger.Leaf:
    return ledger.Leaf(
        pod_uid=said.pod_uid,
        anchor=said.anchor_sha256.hex(),
        not_before_s=said.not_before_unix_s,
        not_after_s=said.not_after_unix_s,
        trusted=tuple(each.hex() for each in said.trusted_sha256) if said.told_trust else None,
    )
