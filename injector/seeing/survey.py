"""Reads what ``inspection`` judges, and puts the mesh's section of ``ipseity check`` together.

Here because it is the only part of the check that talks to anybody: the API server alone, all questions at once, each
with a time limit. What an account may not read is one row that says so; the others are told all the same. Changes
nothing: the pod that it tries to create is a dry run.
"""

import asyncio
import dataclasses
import datetime as dt
import email.utils
import http
import time
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp

from injector import errors, names
from injector.discovery import proxies
from injector.identity import examination, status
from injector.kube import configmaps, rest, secrets
from injector.policy import book, reading, service
from injector.seeing import check, inspection
from injector.webhook import certificate, decide, registration, rotation
from injector.webhook import pod as pods
from ipseity import findings, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_CRD: Final = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/authorizationpolicies.{names.GROUP}"
_OVER: Final = frozenset({"Succeeded", "Failed"})
_DATE_S: Final = 1.0
"""An HTTP date has whole seconds."""
_TRIED_IN: Final = "default"
_TRY: Final = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "ipseity-check-", "annotations": {names.INJECT: decide.ENABLED}},
    "spec": {"containers": [{"name": "app", "image": "none"}]},
}
_Rows = Callable[[], Awaitable[list[findings.Finding]]]


async def section(given: check.Options, *, asked: bool) -> findings.Section | None:
    """Look at the mesh; None: there is none, or (unless it was asked for) nobody to ask. Raises KubernetesError."""
    try:
        api = await kube.connect(given.kubeconfig, given.context)
    except kube.KubernetesError:
        if asked:
            raise
        return None
    try:
        namespace = given.mesh_namespace or await _namespace(api)
        if not asked and not await _there(api, namespace):
            return None
        found = [_in(namespace, each) for each in await Survey(api, given, namespace=namespace).look()]
    finally:
        await api.close()
    return findings.Section(verdict=inspection.verdict(found), findings=tuple(found))


async def _namespace(api: "client.ApiClient") -> str:
    """Find the control plane: the webhook leads to it."""
    try:
        configured = await registration.read(api)
    except kube.KubernetesError:  # each row says for itself what cannot be read
        configured = None
    hooks = (configured or {}).get("webhooks") or ()
    led = [((each.get("clientConfig") or {}).get("service") or {}).get("namespace") for each in hooks]
    return next(filter(None, led), names.SYSTEM_NAMESPACE)


def _in(namespace: str, found: findings.Finding) -> findings.Finding:
    """Have the next command to type speak of the control plane's namespace."""
    hint = found.hint.replace(f"-n {names.SYSTEM_NAMESPACE}", f"-n {namespace}")
    return dataclasses.replace(found, hint=hint)


async def _there(api: "client.ApiClient", namespace: str) -> bool:
    """Tell whether there is a mesh that was installed or has run; no, where the API server does not say."""
    try:
        if await configmaps.read(api, namespace, status.NAME) is not None:
            return True
        return await rest.get(api, _CRD) is not None
    except kube.KubernetesError:
        return False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Clocks:
    """One look at two clocks, seconds since the epoch."""

    server_s: float
    own_s: float
    uncertain_s: float


class Survey:
    """One look at one cluster."""

    def __init__(self, api: "client.ApiClient", given: check.Options, *, namespace: str) -> None:
        self._api = api
        self._given = given
        self._namespace = namespace

    async def look(self) -> list[findings.Finding]:
        """Ask everything. Raises KubernetesError if not even the clock can be read."""
        seen = await _clocks(self._api)
        now_s = seen.server_s
        told = await asyncio.gather(
            _row("identity", lambda: self._identity(now_s)),
            _row("webhook", lambda: self._webhook(now_s)),
            _row("clocks", lambda: self._compared(seen)),
            _row("proxies", lambda: self._proxies(now_s)),
            _row("injection", self._injection),
            _row("protocols", self._protocols),
            _row("policies", self._policies),
        )
        return [finding for rows in told for finding in rows]

    async def _identity(self, now_s: float) -> list[findings.Finding]:
        return inspection.identity(await examination.examine(self._api, self._namespace, now_s=now_s))

    async def _webhook(self, now_s: float) -> list[findings.Finding]:
        found = await registration.read(self._api)
        trial = await _tried(self._api) if found is not None else inspection.Trial()
        now = dt.datetime.fromtimestamp(now_s, dt.UTC)
        return inspection.webhook(found, await self._serving(), trial, now=now)

    async def _serving(self) -> certificate.Pair | None:
        """Read what the webhook serves; None: it was brought as files, or this account may not read Secrets."""
        try:
            found = await secrets.read(self._api, self._namespace, rotation.SECRET)
        except kube.KubernetesError as error:
            if error.status != http.HTTPStatus.FORBIDDEN:
                raise
            return None
        if found is None:
            return None
        pair = certificate.Pair(
            certificate_pem=found.certificate_pem, key_pem=found.key_pem, authority_pem=found.authority_pem
        )
        return pair if certificate.readable(pair) else None

    async def _compared(self, seen: _Clocks) -> list[findings.Finding]:
        published = await status.read(self._api, self._namespace)
        told_s = {f"control plane {name}": float(each.time_s) for name, each in published.items()}
        return inspection.clocks(seen.server_s, seen.own_s, seen.uncertain_s, told_s, asked_s=_now_s(seen))

    async def _proxies(self, now_s: float) -> list[findings.Finding]:
        return inspection.proxies_of(await proxies.read(self._api, self._namespace), now_s=now_s)

    async def _injection(self) -> list[findings.Finding]:
        said = {
            item["metadata"]["name"]: item["metadata"].get("annotations") or {}
            async for item in reading.each(self._api, "/api/v1/namespaces")
        }
        published = await proxies.read(self._api, self._namespace)
        newest = max(published.values(), key=lambda one: one.time_s, default=None)
        candidates = [
            found
            async for item in reading.each(self._api, kube.PODS.path)
            if (found := _candidate(item, said)) is not None
        ]
        return inspection.injection(candidates, newest.version if newest else "")

    async def _protocols(self) -> list[findings.Finding]:
        moment = await reading.read(self._api, self._given.domain)
        return [*inspection.protocols(moment.state), *inspection.annotations(moment.warnings)]

    async def _policies(self) -> list[findings.Finding]:
        known = book.Book(self._given.domain)
        try:
            async for item in reading.each(self._api, service.RESOURCE.path):
                known.apply(item)
        except kube.KubernetesError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise
            return inspection.no_policies()
        return inspection.policies(known.entries.values())


async def _row(name: str, rows: _Rows) -> list[findings.Finding]:
    try:
        return await rows()
    except (kube.KubernetesError, errors.MeshError) as error:
        return inspection.unseen(name, error)


def _candidate(item: Any, said: Mapping[str, Mapping[str, str]]) -> inspection.Candidate | None:
    """Read a pod; None: it is over, or ending, or cannot be read."""
    metadata = item["metadata"]
    if metadata.get("deletionTimestamp") or (item.get("status") or {}).get("phase") in _OVER:
        return None
    try:
        pod = pods.convert(item)
    except pods.MalformedPod:
        return None
    namespace = metadata["namespace"]
    return inspection.Candidate(namespace=namespace, name=metadata["name"], pod=pod, said=said.get(namespace, {}))


async def _clocks(api: "client.ApiClient") -> _Clocks:
    """Ask for the API server's time: its ``Date``, in the middle of its second and of the question."""
    began_s = _own_s()
    response = await kube.open_stream(api, "/version", {}, aiohttp.ClientTimeout(total=rest.TIMEOUT_S))
    ended_s, text = _own_s(), response.headers.get("Date", "")
    response.close()
    try:
        server_s = email.utils.parsedate_to_datetime(text).timestamp() + _DATE_S / 2
    except ValueError as error:
        raise kube.KubernetesError(f"the API server does not say what time it is: Date: {text!r}") from error
    uncertain_s = (_DATE_S + ended_s - began_s) / 2
    return _Clocks(server_s=server_s, own_s=(began_s + ended_s) / 2, uncertain_s=uncertain_s)


async def _tried(api: "client.ApiClient") -> inspection.Trial:
    """Create a pod that asks for a sidecar, as a dry run."""
    try:
        made = await rest.create(api, f"/api/v1/namespaces/{_TRIED_IN}/pods", _TRY, dry_run=True)
    except kube.KubernetesError as error:
        return _refused(error)
    return inspection.Trial(injected=decide.is_injected(pods.convert(dict(made))))


def _refused(error: kube.KubernetesError) -> inspection.Trial:
    """Read a refusal. Pod Security judges a pod as webhooks have left it, and names our container if there is one."""
    said = str(error)
    if error.status != http.HTTPStatus.FORBIDDEN:
        return inspection.Trial(error=said)
    if "violates PodSecurity" in said:
        return inspection.Trial(injected=names.REDIRECT in said)
    return inspection.Trial(error=said, allowed="cannot create resource" not in said)


def _now_s(seen: _Clocks) -> float:
    """Give what the API server's clock says by now."""
    return seen.server_s + _own_s() - seen.own_s


def _own_s() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)
