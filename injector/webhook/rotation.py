"""Keeping the webhook's certificate fresh: reads what is stored, takes the steps that ``certificate.plan`` says.

Here because the plan is pure and somebody must act on it: the replica that leads. Should two believe so, a Secret is
written only over the version that was read, and whoever was slower reads again. What is served is what is stored, so
all replicas serve the same. Leaves out pairs that users bring.
"""

import asyncio
import dataclasses
import datetime as dt
import http
import typing
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from injector import errors, names
from injector.kube import secrets
from injector.webhook import certificate, configuration, registration, tls
from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

log = structlog.get_logger("webhook")

SECRET: Final = "ipseity-webhook"  # noqa: S105  # the name of one
NEXT: Final = "ipseity-webhook-next"
_LOOK_S: Final = 60.0
_RETRY_S: Final = 5.0
_FIRST_S: Final = 0.5
"""While another replica makes the first certificate, or somebody has yet to be elected."""
_MAX_STEPS: Final = 8
"""At once: a plan that wants more goes in a circle."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was read, and made of it."""

    serving: secrets.TlsSecret | None
    next: secrets.TlsSecret | None
    found: typing.Mapping[str, typing.Any] | None
    state: certificate.State


class Rotation:
    """Runs until cancelled; fills ``credentials``."""

    def __init__(  # noqa: PLR0913  # who asks, for whom, where to, and what time it is
        self,
        api: "client.ApiClient",
        credentials: tls.Credentials,
        endpoint: configuration.Endpoint,
        *,
        hosts: Sequence[str],
        leads: Callable[[], bool],
        clock: Callable[[], dt.datetime],
        namespace: str = names.SYSTEM_NAMESPACE,
    ) -> None:
        """``hosts`` are the names and addresses that API servers call us by. ``clock`` gives UTC.

        ``leads``: whether it is us who write.
        """
        self._api = api
        self._credentials = credentials
        self._endpoint = endpoint
        self._hosts = tuple(hosts)
        self._leads = leads
        self._clock = clock
        self._namespace = namespace
        self._trusted: tuple[bytes, dt.datetime] | None = None
        self.failed = 0
        """Rounds that ended in an error."""

    @property
    def expires(self) -> dt.datetime | None:
        """When what is served is worth nothing any more; None: nothing is served."""
        pair = self._credentials.pair
        return certificate.expiry(pair) if pair else None

    async def run(self) -> None:
        """Look once a minute, for ever; before there is anything to serve, all the time."""
        while True:
            try:
                await self.settle()
            except (kube.KubernetesError, errors.CannotRun) as error:
                self.failed += 1
                log.warning("webhook certificate not looked after", error=str(error), hint=error.hint)
                await asyncio.sleep(_RETRY_S)
            else:
                await asyncio.sleep(_LOOK_S if self._credentials.pair else _FIRST_S)

    async def settle(self) -> None:
        """Serve what is stored; if we lead, take every step that is due. Raises KubernetesError, CannotRun."""
        for _ in range(_MAX_STEPS):
            seen = await self._look()
            if seen.state.serving and certificate.readable(seen.state.serving):
                self._credentials.use(seen.state.serving)
            if not self._leads():
                return
            step = certificate.plan(seen.state, self._hosts, self._clock())
            if step is certificate.Step.WAIT and self._is_written(seen):
                return
            step = certificate.Step.TRUST if step is certificate.Step.WAIT else step
            log.info("webhook certificate", step=step.value)
            await self._take(step, seen)
        raise errors.CannotRun("the webhook's certificate does not come to rest", hint="who else writes its Secrets?")

    def _rendered(self, seen: _Seen) -> configuration.Value:
        return configuration.render(self._endpoint, certificate.bundle(seen.state, self._clock()))

    def _is_written(self, seen: _Seen) -> bool:
        """Tell whether the configuration is that of this version of the program."""
        return seen.found is not None and configuration.updated(seen.found, self._rendered(seen)) is None

    async def _look(self) -> _Seen:
        serving = await secrets.read(self._api, self._namespace, SECRET)
        following = await secrets.read(self._api, self._namespace, NEXT)
        found = await registration.read(self._api)
        trusted_pem = configuration.bundle_of(found) if found else b""
        if self._trusted is None or self._trusted[0] != trusted_pem:
            self._trusted = trusted_pem, self._clock()
        state = certificate.State(
            serving=_pair(serving), next=_pair(following), trusted_pem=trusted_pem, trusted_since=self._trusted[1]
        )
        return _Seen(serving=serving, next=following, found=found, state=state)

    async def _take(self, step: certificate.Step, seen: _Seen) -> None:
        match step:
            case certificate.Step.MAKE:
                await self._store(SECRET, certificate.make(self._hosts, self._clock()), seen.serving)
            case certificate.Step.MAKE_NEXT:
                await self._store(NEXT, certificate.make(self._hosts, self._clock()), seen.next)
            case certificate.Step.TRUST:
                await registration.write(self._api, seen.found, self._rendered(seen))
            case certificate.Step.SWITCH:
                if await self._store(SECRET, certificate.switched(seen.state), seen.serving) and seen.next:
                    await secrets.delete(self._api, seen.next)
            case certificate.Step.WAIT:
                pass
            case _:
                typing.assert_never(step)

    async def _store(self, name: str, pair: certificate.Pair, over: secrets.TlsSecret | None) -> bool:
        """Write a pair over the version that was read; False: somebody was faster. Raises CannotRun if it is theirs."""
        if over is not None and not over.ours:
            raise errors.CannotRun(
                f"Secret {self._namespace}/{name} was not made by ipseity, and must be renewed by whoever made it",
                hint="delete it, or give the webhook's certificate as files",
            )
        secret = secrets.TlsSecret(
            namespace=self._namespace,
            name=name,
            certificate_pem=pair.certificate_pem,
            key_pem=pair.key_pem,
            authority_pem=pair.authority_pem,
            ours=True,
            version=over.version if over else "",
        )
        try:
            await (secrets.replace(self._api, secret) if over else secrets.create(self._api, secret))
        except kube.KubernetesError as error:
            if error.status != http.HTTPStatus.CONFLICT:
                raise
            return False
        return True


def _pair(secret: secrets.TlsSecret | None) -> certificate.Pair | None:
    if secret is None:
        return None
    return certificate.Pair(
        certificate_pem=secret.certificate_pem, key_pem=secret.key_pem, authority_pem=secret.authority_pem
    )
