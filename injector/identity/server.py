"""The identity service put together: log, authority, trust bundle, and the gRPC server that signs.

Here because the order in which it comes up matters: the log before anything is signed, the issuer before the server's
own leaf, that before a socket is opened. Leaves out what each part does, and which process it is in (``app``).
"""

import asyncio
import dataclasses
import pathlib
import typing
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final

import grpc
import msgspec
import prometheus_client
import structlog

from injector import errors, names
from injector.identity import (
    authority,
    bundle,
    certifier,
    custody,
    issuance,
    issuelog,
    ledger,
    metrics,
    service,
    serving,
    status,
)
from injector.kube import events, tokens
from injector.proto import identity_pb2_grpc
from ipseity import identity, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_RETRY_S: Final = 1.0
_OWN_LEAF_S: Final = 5.0
"""How often our own leaf is looked at: another issuer shows in it that soon."""
_GRACE_S: Final = 5.0
_OTHERS_S: Final = 5.0
"""How often the other control planes' statuses are read; each writes its own every 10 s."""
_log = structlog.get_logger("identity")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the service is for."""

    trust_domain: identity.TrustDomain
    namespace: str
    pod: identity.PodRef
    """Ours: in our own leaf, and the name of our status."""
    cluster_domain: str
    log: pathlib.Path
    leaf_life_s: float
    settle_s: float
    """How long a changed trust bundle takes to be in every pod: ``readiness.SETTLE_S``."""
    address: str
    """``host:port``."""


class Server:
    """The service of one control plane. ``start`` once, then everything of ``tasks`` for ever, then ``close``."""

    def __init__(  # noqa: PLR0913  # what it is for, what it writes to, and what time it is
        self,
        api: "client.ApiClient",
        options: Options,
        registry: prometheus_client.CollectorRegistry,
        *,
        leads: Callable[[], bool],
        knows: Callable[[], Collection[str]],
        tell: Callable[[events.Event], None],
        clock: Callable[[], float],
        boot_ns: Callable[[], int],
    ) -> None:
        """``leads``: whether it is us who decide; ``knows``: replicas whose every leaf is in our ledger.

        ``clock`` gives seconds since the epoch.
        """
        self._knows = knows
        self._api = api
        self._options = options
        self._clock = clock
        self._log = issuelog.IssuanceLog(options.log)
        self._opened_at = issuance.Head()
        self._metrics = metrics.Metrics(registry)
        self.ledger = ledger.Ledger()
        self.authority = authority.Authority(options.trust_domain, settle_s=options.settle_s)
        self._others: tuple[ledger.Summary, ...] = ()
        """What control planes have signed whose leaves we do not know each by each."""
        self._leaving = False
        self.publisher = bundle.Publisher(api, self.authority, leads=leads, clock=clock, boot_ns=boot_ns)
        self._custody = custody.Custody(
            api,
            self.authority,
            self.ledger,
            namespace=options.namespace,
            spread=self.publisher.everywhere_since,
            others=lambda: self._others,
            leads=leads,
            tell=tell,
            clock=clock,
            boot_ns=boot_ns,
            changed=self.publisher.wake,
        )
        self.own = serving.OwnLeaf(
            self.authority,
            self._log,
            options.pod,
            dns=serving.dns_names(options.namespace, options.cluster_domain),
            life_s=options.leaf_life_s,
            clock=clock,
        )
        self._grpc: Any = None
        self._writing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Come up, waiting for the API server where it is away, and for the disk where it is full. Raises CannotRun."""
        self._log.open()
        self._opened_at = self._log.head
        known = issuance.unexpired(issuelog.lines(self._options.log), now_s=self._clock())
        # Ours follow the issuer within seconds; one of an earlier life would hold up a rotation for a day.
        own = str(self.own.spiffe_id)
        self.ledger.recall(each for each in known if each.spiffe_id != own)
        self._writing = asyncio.create_task(self._log.run())
        await self._take_secrets()
        await self._take_leaf()
        certify = certifier.Certifier(
            self.authority,
            tokens.Reviewer(self._api, audience=names.AUDIENCE),
            self._log,
            self.ledger,
            life_s=self._options.leaf_life_s,
            clock=self._clock,
        )
        self._grpc = grpc.aio.server(options=service.OPTIONS)
        identity_pb2_grpc.add_IdentityServicer_to_server(service.Service(certify, self._metrics), self._grpc)
        listen(self._grpc, self._options.address, serving.credentials(self.own, mutual=False), "identity")
        await self._grpc.start()

    async def _take_secrets(self) -> None:
        trouble = ""
        while True:
            try:
                await self._hear_others()  # before anything is decided
                await self._custody.start()
            except kube.KubernetesError as error:
                if str(error) != trouble:
                    _log.warning("waiting for the API server", error=str(error), hint=error.hint)
                trouble = str(error)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _take_leaf(self) -> None:
        """Sign our own leaf. While the log cannot be written (it says so itself) we wait: room may be made any time."""
        while True:
            try:
                await self.own.refresh()
            except issuelog.LogFailed:
                await asyncio.sleep(_RETRY_S)
            else:
                return

    def tasks(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Give what must run for ever."""
        publishing = status.publish(
            self._api, self._options.namespace, self._options.pod.name, self.status, head=self._opened_at
        )
        following = self._follow_others()
        return self._custody.run(), self.publisher.run(), self._refresh(), publishing, following, self._logged()

    async def _hear_others(self) -> None:
        """Read what the others have signed. Raises KubernetesError."""
        found = await status.read(self._api, self._options.namespace)
        telling = status.telling(found, now_s=self._clock())
        ours = {self._options.pod.name, *self._knows()}
        self._others = tuple(each.summary() for name, each in telling.items() if name not in ours)

    async def _follow_others(self) -> None:
        trouble = False
        while True:
            await asyncio.sleep(_OTHERS_S)
            try:
                await self._hear_others()
                trouble = False
            except kube.KubernetesError as error:  # what they said last holds
                if not trouble:
                    _log.warning("cannot read what other control planes have signed", error=str(error), hint=error.hint)
                trouble = True

    async def _logged(self) -> None:
        """End with the log's task, which outlives this one: without it every request would wait for ever."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing.result()

    def status(self) -> status.Status:
        """Say how the service is."""
        now_s = self._clock()
        known = self.ledger.summary(now_s)
        said = status.of(self.authority, known, self._log, self.publisher, now_s=now_s)
        return msgspec.structs.replace(said, left=self._leaving, knows=tuple(sorted(self._knows())))

    def refresh_metrics(self) -> None:
        """Set the gauges; called before they are read."""
        self._metrics.refresh(self.authority, self.ledger.summary(self._clock()), self._log, self.publisher)

    async def _refresh(self) -> None:
        """Keep our own leaf good; what goes wrong is said once."""
        trouble = ""
        while True:
            try:
                await self.own.refresh()
                trouble = ""
            except (errors.Refused, issuelog.LogFailed) as error:
                if str(error) != trouble:
                    _log.error("the control plane's own leaf cannot be renewed", error=str(error))
                trouble = str(error)
            await asyncio.sleep(_OWN_LEAF_S)

    async def finish(self) -> None:
        """End what is in work, and sign nothing more."""
        if self._grpc is not None:
            await self._grpc.stop(_GRACE_S)
        self._leaving = True

    async def leave(self) -> None:
        """Leave behind what there is to know of all that was signed."""
        try:
            await status.leave(self._api, self._options.namespace, self._options.pod.name, self.status())
        except kube.KubernetesError as error:
            _log.warning("a rotation will wait for what we have signed", error=str(error), hint=error.hint)

    async def close(self) -> None:
        """Stop, also where ``leave`` never came."""
        if self._grpc is not None:
            await self._grpc.stop(0 if self._leaving else _GRACE_S)
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)  # the file is in use until then
        self._log.close()


def listen(server: Any, address: str, credentials: Any, what: str) -> None:
    """Open a gRPC server's socket. Raises CannotRun."""
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise errors.CannotRun(f"cannot serve {what} on {address}: {error}", hint="who else has the port?") from error
    if not port:
        raise errors.CannotRun(f"cannot serve {what} on {address}", hint="who else has the port?")
