"""The cluster as checks see it: our namespaces, what is in them, what pods say, ``ipseity`` as a person types it.

Everything that is made carries a label with this run's own mark; ``clean`` takes all of it out by that label, whoever
made it. Leaves out what is checked.
"""

import asyncio
import contextlib
import dataclasses
import http
import json
import os
import pathlib
import sys
import typing
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp

from ipseity import kube
from ipseity.installing import cluster, manifests, trouble
from tests.cluster import record

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

Json = dict[str, Any]

MARK: Final = "ipseity.io/cluster-suite"
"""Label on every namespace of ours, and on Ipseity's own if we installed it. Its value is the run."""
PREFIX: Final = "ipseity-test-"
COMMAND: Final = pathlib.Path(sys.executable).with_name("ipseity")
SYSTEM: Final = f"/api/v1/namespaces/{manifests.NAMESPACE}"
_LOOK_S: Final = 0.4
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
_COLLECTIONS: Final = {
    "Namespace": "/api/v1/namespaces",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "AuthorizationPolicy": "/apis/ipseity.io/v1alpha1/namespaces/{}/authorizationpolicies",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a person says of his cluster."""

    kubeconfig: str | None = None
    context: str | None = None
    agent_image: str = ""
    mesh_image: str = ""
    pull_policy: str = ""
    pull_secret: str = ""
    """``namespace/name`` of a Secret that is there: it is copied to wherever images are pulled."""
    agent_settings: tuple[str, ...] = ()
    mesh_settings: tuple[str, ...] = ()
    installed: bool = False
    """Ipseity is there and stays as it is."""
    limit_s: float = 180.0

    @property
    def reach(self) -> list[str]:
        """Flags of every command."""
        found = ["--kubeconfig", self.kubeconfig] if self.kubeconfig else []
        return [*found, *(["--context", self.context] if self.context else [])]

    @property
    def flags(self) -> list[str]:
        """Flags of ``ipseity install``."""
        said = {"agent-image": self.agent_image, "mesh-image": self.mesh_image, "pull-policy": self.pull_policy}
        found = [word for name, value in said.items() if value for word in (f"--{name}", value)]
        found += ["--pull-secret", self.pull_secret.rpartition("/")[2]] if self.pull_secret else []
        for part, given in (("agent", self.agent_settings), ("mesh", self.mesh_settings)):
            found += [word for each in given for word in (f"--{part}-setting", each)]
        return found


class Answer(typing.NamedTuple):
    """What the API server said."""

    status: int
    headers: Mapping[str, str]
    body: Any
    """Of JSON; else the text."""


class Said(typing.NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


class Ground:
    """One run on one cluster."""

    def __init__(self, api: "client.ApiClient", given: Parameters, run: str) -> None:
        self.given = given
        self.run = run
        self.api = api
        self.where = cluster.Cluster(api, dry_run=False)
        self.meshed, self.plain, self.guarded = (f"{PREFIX}{run}{end}" for end in ("", "-plain", "-guarded"))
        """Namespaces: annotated, not annotated, with Pod Security ``baseline``."""
        self.admin = True
        self.kind_was_there = False
        """Whether the kind AuthorizationPolicy is older than this run: then it stays."""
        self.installing = False
        """Whether this run has begun to install."""
        self.notes: dict[str, Any] = {}
        """What one check leaves for another."""

    async def get(self, path: str) -> Json | None:
        """Read an object; None: there is none."""
        return await self.where.get(path)

    async def found(self, path: str) -> Json:
        """Read an object that must be there."""
        seen = await self.where.get(path)
        if seen is None:
            raise record.Failed(f"{path} is not there")
        return seen

    async def items(self, path: str, **query: str) -> list[Json]:
        """List."""
        return await self.where.items(path, **query)

    async def ask(
        self, method: str, path: str, body: Json | None = None, *, accept: str = "application/json", kind: str = "",
        **query: str,
    ) -> Answer:  # fmt: skip
        """Make one request, whatever its answer."""
        headers = {**await kube.headers(self.api, path), "Accept": accept}
        if body is not None:
            headers["Content-Type"] = kind or "application/json"
        url = f"{self.api.configuration.host}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        try:
            reply = await self.api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=_TIMEOUT
            )
            response = typing.cast("aiohttp.ClientResponse", reply.response)
            raw = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise kube.unreachable(self.api, error) from error
        is_json = response.content_type == "application/json"
        return Answer(response.status, response.headers, json.loads(raw) if is_json else raw.decode(errors="replace"))

    async def apply(self, *objects: Json, dry_run: bool = False) -> None:
        """Apply, server-side. Raises Failed with the server's words."""
        for each in objects:
            query = {"fieldManager": "ipseity-cluster-suite", "force": "true", "fieldValidation": "Strict"}
            answer = await self.ask(
                "PATCH", path(each), each, kind="application/apply-patch+yaml",
                **query, **({"dryRun": "All"} if dry_run else {}),
            )  # fmt: skip
            if answer.status not in {http.HTTPStatus.OK, http.HTTPStatus.CREATED}:
                name = f"{each['kind']} {each['metadata']['name']}"
                raise record.Failed(f"{name} is refused: {message(answer)}", hint=refusal_hint(answer))

    async def create(self, each: Json, *, dry_run: bool = False) -> Answer:
        """Create, strictly."""
        where = path(each).rpartition("/")[0]
        return await self.ask("POST", where, each, fieldValidation="Strict", **({"dryRun": "All"} if dry_run else {}))

    async def delete(self, where: str) -> None:
        """Delete; what is not there is gone."""
        await self.where.delete(where)

    async def log(self, namespace: str, pod: str, container: str, *, lines: int = 500) -> list[str]:
        """Read the end of a log."""
        where = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        answer = await self.ask("GET", where, accept="*/*", container=container, tailLines=str(lines))
        if answer.status != http.HTTPStatus.OK:
            raise record.Failed(
                f"the log of {namespace}/{pod} cannot be read: {message(answer)}",
                hint="the API server asks the node's kubelet, port 10250: does kubectl logs work?",
            )
        return str(answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).splitlines()

    async def until(
        self,
        holds: Callable[[], Awaitable[Any]],
        what: str,
        *,
        limit_s: float = 0.0,
        hint: str = "",
        why: Callable[[], Awaitable[Sequence[str]]] | None = None,
    ) -> Any:
        """Wait until something is true, and give it. Raises Failed with what ``why`` says then."""
        limit_s = limit_s or self.given.limit_s
        clock = asyncio.get_running_loop()
        deadline_s = clock.time() + limit_s
        while not (seen := await holds()):
            if clock.time() > deadline_s:
                lines = [f"not within {limit_s:.0f} s: {what}", *(await why() if why else ())]
                raise record.Failed("\n".join(lines), hint=hint)
            await asyncio.sleep(_LOOK_S)
        return seen

    async def pods(self, namespace: str, app: str) -> list[Json]:
        """List the pods of a Deployment that are not going."""
        found = await self.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"app={app}")
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    async def rolled_out(self, namespace: str, *names: str) -> None:
        """Wait until Deployments are as they are written."""
        for name in names:
            where = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"

            async def ready(where: str = where) -> bool:
                return cluster.ready(await self.get(where))

            async def why(name: str = name, where: str = where) -> list[str]:
                events = await self.items(f"/api/v1/namespaces/{namespace}/events")
                pods = await self.pods(namespace, name)
                told = trouble.of_pods(pods, events) or trouble.of_workload(await self.get(where), events)
                return [*told, *await self._last_words(pods)]

            hint = f"kubectl -n {namespace} describe pods -l app={name}"
            await self.until(ready, f"Deployment {namespace}/{name} is ready", why=why, hint=hint)

    async def _last_words(self, pods: Sequence[Json]) -> list[str]:
        """Give the last line of every container of ours that began and is not ready, in the first pod with one."""
        for pod in pods:
            status, metadata = pod.get("status") or {}, pod["metadata"]
            found = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
            begun = [each["name"] for each in found if not each.get("ready") and each.get("containerID")]
            said = []
            for name in begun:
                with contextlib.suppress(record.Failed):
                    lines = await self.log(metadata["namespace"], metadata["name"], name, lines=1)
                    said += [f"{metadata['name']} {name}: {line[:500]}" for line in lines]
            if said:
                return said
        return []

    async def ipseity(self, *words: str, limit_s: float = 0.0) -> Said:
        """Run a command, in a group of its own: Ctrl-C is ours, and ends it."""
        process = await asyncio.create_subprocess_exec(
            COMMAND, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={key: value for key, value in os.environ.items() if not key.startswith("IPSEITY_")},
            start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(limit_s or 6 * self.given.limit_s):
                out, err = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def succeed(self, *words: str) -> str:
        """Run a command that must succeed."""
        said = await self.ipseity(*words)
        if said.code:
            text, _, hint = said.err.strip().partition("\nhint: ")
            shown = " ".join(("ipseity", *words[:1]))
            raise record.Failed(f"{shown} ended with {said.code}: {text or said.out.strip()[-2000:]}", hint=hint)
        return said.out


def path(each: Json) -> str:
    """Give where an object is."""
    metadata = each["metadata"]
    collection = _COLLECTIONS[each["kind"]].format(metadata.get("namespace", ""))
    return f"{collection}/{metadata['name']}" if "name" in metadata else f"{collection}/"


def message(answer: Answer) -> str:
    """Give what an answer says, whatever it is."""
    if isinstance(answer.body, dict):
        return f"{answer.status} {answer.body.get('message', '')}"
    return f"{answer.status} {str(answer.body)[:300]}"


def refusal_hint(answer: Answer) -> str:
    """Say what usually helps against a refusal."""
    said = message(answer)
    if "violates PodSecurity" in said:
        return "this cluster enforces Pod Security: the suite labels its namespaces; does a policy change the labels?"
    if "denied the request" in said or "ValidatingAdmissionPolicy" in said:
        return "an admission policy of this cluster refuses it: exempt namespaces with the label " + MARK
    if answer.status == http.HTTPStatus.FORBIDDEN:
        return "this account lacks the right: use one with cluster-admin"
    return ""


@contextlib.asynccontextmanager
async def reached(given: Parameters, run: str) -> AsyncIterator[Ground]:
    """Connect. Raises KubernetesError."""
    api = await kube.connect(given.kubeconfig, given.context)
    try:
        yield Ground(api, given, run)
    finally:
        await api.close()
