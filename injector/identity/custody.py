"""Keeps the Secrets and the authority together: makes what is missing, renews what is due, follows what changes.

Here because it is the one place of the identity service that touches Secrets. Every write is conditional (create, or
replace the version that was read): of two control planes one wins, and the other reads what it wrote. So each may make
what is missing at its start, when nobody may lead yet; what is due later is the leader's. Leaves out every decision:
``lifecycle`` and ``authority``.
"""

import asyncio
import contextlib
import http
import secrets as random
import typing
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from injector import errors
from injector.identity import anchors, authority, ca, ledger, lifecycle
from injector.kube import events, secrets
from ipseity import informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_LOOK_S: Final = 5.0
"""How often what only time changes is looked at: a held issuer, a due renewal, an anchor that may go."""
_MAX_STEPS: Final = 8
"""Writes in a row while starting; more means that somebody else keeps undoing them."""
_log = structlog.get_logger("identity")


class Custody:
    """Owns the authority. ``start`` once, then ``run`` for ever."""

    def __init__(  # noqa: PLR0913  # what it holds together
        self,
        api: "client.ApiClient",
        held: authority.Authority,
        pods: ledger.Ledger,
        *,
        namespace: str,
        spread: authority.Spread,
        others: Callable[[], Sequence[ledger.Summary]],
        leads: Callable[[], bool],
        tell: Callable[[events.Event], None],
        clock: Callable[[], float],
        boot_ns: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        """``others``: what the other control planes have signed; ``leads``: whether it is us who renew what is due.

        ``clock`` gives seconds since the epoch; ``changed`` is called when bundle or issuer are other ones.
        """
        self._api = api
        self._held = held
        self._pods = pods
        self._namespace = namespace
        self._spread = spread
        self._others = others
        self._leads = leads
        self._tell = tell
        self._clock = clock
        self._changed = changed
        self._informer = secrets.follow(api, namespace, lifecycle.SECRETS, boot_ns)
        self._found = authority.Found()
        self._trouble = ""

    async def start(self) -> None:
        """Read the Secrets, make what is missing, take what is there. Raises CannotRun, KubernetesError."""
        for _ in range(_MAX_STEPS):
            await self._read()
            if not await self._step():
                break
        self._take()
        if self._held.issuer is None:
            raise errors.CannotRun(
                f"no issuer can be used: {', '.join(self._held.refused) or 'there is none'}",
                hint=f"see the Events of Secret {self._namespace}/{lifecycle.ISSUER}",
            )

    async def run(self) -> None:
        """Follow the Secrets for ever. Trouble is told, and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            while True:
                await asyncio.sleep(_LOOK_S)
                await self._look()

    async def _follow(self) -> None:
        async with contextlib.aclosing(self._informer.events()) as stream:
            async for event in stream:
                secret = None if event.change is informer.Change.GONE else event.value
                self._found = _with(self._found, event.value.name, secret)
                self._take()

    async def _look(self) -> None:
        """Do what is due, then look again at what is there."""
        try:
            if self._informer.synced and self._leads() and await self._step():
                return  # the watch brings what was written
            self._trouble = ""
        except (kube.KubernetesError, errors.CannotRun) as error:
            if str(error) != self._trouble:
                _log.error("the issuer cannot be kept up", error=str(error), hint=error.hint)
            self._trouble = str(error)
        self._pods.expire(self._clock())
        self._take()

    async def _read(self) -> None:
        read = [await secrets.read(self._api, self._namespace, name) for name in lifecycle.SECRETS]
        self._found = authority.Found(anchor=read[0], upcoming=read[1], issuer=read[2])

    async def _step(self) -> bool:
        """Do one thing of the plan; False if there was nothing to do."""
        now_s = self._clock()
        try:
            match lifecycle.plan(self._found, now_s=now_s):
                case lifecycle.Task.NOTHING:
                    return False
                case lifecycle.Task.MAKE_ANCHOR:
                    made = lifecycle.make_anchor(
                        self._held.trust_domain, self._namespace, now_s=now_s, serial=random.randbits(ca.SERIAL_BITS)
                    )
                    await secrets.create(self._api, made)
                    _log.info("made a trust anchor", secret=made.name, life_days=anchors.ANCHOR_LIFE_S // anchors.DAY_S)
                case lifecycle.Task.MAKE_ISSUER | lifecycle.Task.RENEW_ISSUER:
                    await self._make_issuer(now_s)
        except kube.KubernetesError as error:
            if error.status != http.HTTPStatus.CONFLICT:
                raise  # else somebody was faster: what they wrote is read next
        return True

    async def _make_issuer(self, now_s: float) -> None:
        anchor = lifecycle.signer(self._found)
        if anchor is None:
            raise errors.CannotRun("the anchor's key is not in its Secret", hint=f"bring a Secret {lifecycle.ISSUER}")
        made = anchors.make_issuer(anchor, self._held.trust_domain, now_s=now_s, serial=random.randbits(ca.SERIAL_BITS))
        secret = lifecycle.issuer_secret(made, anchor.certificate, self._namespace, over=self._found.issuer)
        await (secrets.replace if secret.version else secrets.create)(self._api, secret)
        _log.info("made an issuer", secret=secret.name, until=made.certificate.not_valid_after_utc.isoformat())

    def _take(self) -> None:
        now_s = self._clock()
        before = (self._held.issuer, self._held.bundle)
        known = (self._pods.summary(now_s), *self._others())
        for told in self._held.take(self._found, known, self._spread, now_s=now_s):
            (_log.info if told.good else _log.warning)(told.note, reason=told.reason)
            self._tell(self._event(told))
        if before != (self._held.issuer, self._held.bundle):
            self._changed()

    def _event(self, told: authority.Told) -> events.Event:
        about = events.Object(kind="Secret", namespace=self._namespace, name=lifecycle.ISSUER)
        kind = events.Kind.NORMAL if told.good else events.Kind.WARNING
        return events.Event(about=about, kind=kind, reason=told.reason, action="TakeIssuer", note=told.note)


def _with(found: authority.Found, name: str, secret: secrets.TlsSecret | None) -> authority.Found:
    anchor, upcoming, issuer = found.anchor, found.upcoming, found.issuer
    match name:
        case lifecycle.ANCHOR:
            anchor = secret
        case lifecycle.UPCOMING:
            upcoming = secret
        case lifecycle.ISSUER:
            issuer = secret
    return authority.Found(anchor=anchor, upcoming=upcoming, issuer=issuer)
