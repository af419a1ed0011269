"""An API server as the contract tests speak to it: plain HTTP, with nothing of a client library in between."""

import base64
import contextlib
import dataclasses
import json
import pathlib
import ssl
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import yaml

Value = dict[str, Any]

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    code: int
    headers: dict[str, str]
    body: Any

    def expect(self, code: int) -> Any:
        """Return the body of an answer that must have this code."""
        assert self.code == code, f"expected {code}, got {self.code}: {json.dumps(self.body)[:2000]}"
        return self.body

    def refused(self, code: int, reason: str) -> Value:
        """Return the body of a refusal, whose form is checked."""
        body = self.expect(code)
        assert (body["kind"], body["apiVersion"], body["status"], body["code"]) == ("Status", "v1", "Failure", code)
        assert body["reason"] == reason, body
        return body


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """One API server."""

    session: aiohttp.ClientSession

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        media_type: str = JSON,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """One request."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        sent = ({"Content-Type": media_type} if data is not None else {}) | (headers or {})
        async with self.session.request(method, path, data=data, headers=sent, params=query) as answer:
            text = await answer.text()
            parsed = json.loads(text) if answer.content_type == JSON else text
            return Answer(code=answer.status, headers=dict(answer.headers), body=parsed)

    async def get(self, path: str, **query: Any) -> Answer:
        """GET."""
        return await self.call("GET", path, **query)

    async def create(self, path: str, body: Any, **query: Any) -> Value:
        """POST that must succeed."""
        found: Value = (await self.call("POST", path, body, **query)).expect(201)
        return found

    async def patch(self, path: str, body: Any, media_type: str = MERGE, **query: Any) -> Answer:
        """PATCH."""
        return await self.call("PATCH", path, body, media_type, **query)

    async def delete(self, path: str, body: Any = None, **query: Any) -> Answer:
        """DELETE."""
        return await self.call("DELETE", path, body, **query)

    async def events(self, path: str, *, seconds: int = 30, **query: Any) -> AsyncIterator[Value]:
        """Yield the events of a watch, until the server ends it."""
        query = {"watch": "true", "timeoutSeconds": seconds, **query}
        async with self.session.get(path, params=query) as answer:
            assert answer.status == 200, await answer.text()
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)

    async def until(self, path: str, holds: Any, **query: Any) -> Value:
        """Wait, by a watch, for the first object of which something holds; fails after 30 s."""
        async with contextlib.aclosing(self.events(path, **query)) as events:
            async for event in events:
                if event["type"] in {"ADDED", "MODIFIED"} and holds(event["object"]):
                    found: Value = event["object"]
                    return found
        raise AssertionError(f"{path}: what was waited for has not come")

    async def until_gone(self, path: str, name: str) -> None:
        """Wait, by a watch, until an object is gone; fails after 30 s."""
        found = (await self.get(path)).expect(200)
        if name not in [item["metadata"]["name"] for item in found["items"]]:
            return
        selector = {"fieldSelector": f"metadata.name={name}", "resourceVersion": found["metadata"]["resourceVersion"]}
        async with contextlib.aclosing(self.events(path, **selector)) as events:
            async for event in events:
                if event["type"] == "DELETED":
                    return
        raise AssertionError(f"{path}/{name} is still there")


@contextlib.asynccontextmanager
async def connected(kubeconfig: pathlib.Path) -> AsyncIterator[Cluster]:
    """Yield the cluster that a kubeconfig's current context names. Tokens and client certificates."""
    config = yaml.safe_load(kubeconfig.read_text())  # noqa: ASYNC240  # before anything else runs
    context = _named(config["contexts"], config["current-context"])["context"]
    where = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    tls = ssl.create_default_context(cadata=_data(where, "certificate-authority").decode())
    if "client-certificate-data" in user or "client-certificate" in user:
        _load(tls, _data(user, "client-certificate"), _data(user, "client-key"))
    headers = {"User-Agent": "contract/1"} | ({"Authorization": f"Bearer {user['token']}"} if "token" in user else {})
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(where["server"], headers=headers, connector=connector) as session:
        yield Cluster(session)


def _named(rows: list[Value], name: str) -> Value:
    return next(row for row in rows if row["name"] == name)


def _data(where: Value, name: str) -> bytes:
    if f"{name}-data" in where:
        return base64.b64decode(where[f"{name}-data"])
    return pathlib.Path(where[name]).read_bytes()


def _load(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        tls.load_cert_chain(file.name)


def pod(name: str = "p", **spec: Any) -> Value:
    """Return a pod that needs nothing."""
    container = {"name": "c", "image": "none:1"}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def config_map(name: str, data: dict[str, str] | None = None, **labels: str) -> Value:
    """Return a ConfigMap: the object that nobody but the test touches."""
    return {"metadata": {"name": name, "labels": labels}, "data": data or {}}
