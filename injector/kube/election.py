"""Holds a Lease, or waits for it: the requests around ``leases.Candidate``.

    election = Election(api, "ipseity-system", "ipseity-control", candidate, ...)
    await election.run()                  # for ever
    if election.leads: ...                # right before each write that only one may do
    await election.resign()               # so that another one begins at once

Here because several replicas serve alike, and some things must be decided by one. The client library's own election
compares wall clocks, stops at the first connection that fails, and gives nothing back (docs/adr/0019). Leaves out what
is decided.
"""

import asyncio
import datetime as dt
import http
import random
import typing
import uuid
from collections.abc import Callable
from typing import Final

import structlog

from injector.kube import leases, rest
from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_REQUEST_S: Final = 4.0
"""Of one request: there must be time for another one before the deadline."""
_JITTER: Final = 0.2
"""So that replicas that started together do not ask together for ever."""
_log = structlog.get_logger("election")


def name_of(pod: str) -> str:
    """Name a candidate: its pod, for people, and something that no other process has."""
    return f"{pod}_{uuid.uuid4().hex[:12]}"


class Election:
    """One candidate's part."""

    def __init__(  # noqa: PLR0913  # which Lease, as whom, and what time it is
        self,
        api: "client.ApiClient",
        namespace: str,
        name: str,
        candidate: leases.Candidate,
        *,
        boot_s: Callable[[], float],
        wall_s: Callable[[], float],
        began: Callable[[], None],
    ) -> None:
        """``boot_s``: seconds that only grow, also in suspend (CLOCK_BOOTTIME). ``began`` hears that we lead now."""
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._name = name
        self._candidate = candidate
        self._boot_s = boot_s
        self._wall_s = wall_s
        self._began = began
        self._turn = asyncio.Lock()
        self._resigned = False
        self._led = False
        self._trouble = ""
        self.terms = 0
        """Times that we began to lead."""
        self.failures = 0
        """Requests that the API server did not answer, or refused."""

    @property
    def leads(self) -> bool:
        """Whether to decide now."""
        return self._candidate.leads(self._boot_s())

    @property
    def holder(self) -> str:
        """Who leads, as far as we know."""
        return self._candidate.holder

    async def run(self) -> None:
        """Renew, or look whether the Lease is free, for ever."""
        while True:
            async with self._turn:
                if not self._resigned:
                    await self._try()
            self._note()
            rest_s = self._candidate.rest_s(self._boot_s())
            await asyncio.sleep(rest_s * (1 + _JITTER * random.random()))  # noqa: S311  # not for secrets

    async def resign(self) -> None:
        """Stop leading, at once and for good, and give the Lease back. What goes wrong is said: others then wait."""
        async with self._turn:
            self._resigned = True
            if not self._candidate.resigns():
                return
            try:
                async with asyncio.timeout(_REQUEST_S):
                    given = self._candidate.gives_back(await self._read(), self._wall())
                    if given is not None:
                        await self._write(given)
                        _log.info("lease given back", lease=self._name)
            except (kube.KubernetesError, TimeoutError) as error:
                _log.warning("lease not given back: others wait until it ends", lease=self._name, error=str(error))

    async def _try(self) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                await self._step()
            self._trouble = ""
        except (kube.KubernetesError, TimeoutError) as error:
            if isinstance(error, kube.KubernetesError) and error.status == http.HTTPStatus.CONFLICT:
                return  # somebody was faster: what they wrote is read next
            self.failures += 1
            why = str(error) or "no answer"
            if why != self._trouble:  # said once for as long as it is the same
                hint = getattr(error, "hint", "")
                _log.warning("cannot look after the lease", lease=self._name, error=why, hint=hint)
            self._trouble = why

    async def _step(self) -> None:
        found = await self._read()
        asked_s = self._boot_s()
        wanted = self._candidate.plan(found, asked_s, self._wall())
        if wanted is not None:
            self._candidate.wrote(await self._write(wanted), asked_s)

    async def _read(self) -> leases.Lease | None:
        found = await rest.get(self._api, f"{self._collection}/{self._name}")
        return leases.parse(found) if found else None

    async def _write(self, lease: leases.Lease) -> leases.Lease:
        value = leases.render(lease, self._namespace, self._name)
        if lease.version:
            return leases.parse(await rest.replace(self._api, f"{self._collection}/{self._name}", value))
        return leases.parse(await rest.create(self._api, self._collection, value))

    def _note(self) -> None:
        """Say that we began, or ceased."""
        leads = self.leads
        if leads and not self._led:
            self.terms += 1
            _log.info("leading", lease=self._name, holder=self._candidate.name)
            self._began()
        elif self._led and not leads:
            _log.warning("not leading any more", lease=self._name, holder=self.holder)
        self._led = leads

    def _wall(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._wall_s(), dt.UTC)
