"""Webhook configurations for the tests of one namespace, put in force and taken away again."""

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator
from typing import Any

from tests.contract.kubernetes_api import cluster
from tests.fakes import admission_webhook

Value = dict[str, Any]

GROUP = "/apis/admissionregistration.k8s.io/v1"
MUTATING, VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
READY = "ready.example.com"
READY_TRIES, READY_PAUSE_S = 200, 0.05
"""A real server reads configurations by a watch: a new one takes a moment to be in force."""


def path(kind: str, name: str = "") -> str:
    """Return the path of a configuration, or of all."""
    return f"{GROUP}/{kind.lower()}s" + (f"/{name}" if name else "")


@dataclasses.dataclass(frozen=True, slots=True)
class Hooked:
    """Makes webhooks ask about one namespace."""

    api: cluster.Cluster
    namespace: str
    webhook: admission_webhook.Webhook
    made: list[str]

    def hook(self, name: str = "first.example.com", **more: Any) -> Value:
        """Return a webhook that is asked about new pods of the namespace."""
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        return {
            "name": name,
            "clientConfig": self.webhook.client(),
            "rules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
            **more,
        }

    async def put(self, *hooks: Value, kind: str = MUTATING, name: str = "") -> Value:
        """Create a configuration of these webhooks and wait until it is in force."""
        meta = {"name": name or f"contract-{uuid.uuid4().hex[:10]}"}
        body = {"metadata": meta, "webhooks": [*hooks, self._ready()]}
        made = await self.api.create(path(kind), body)
        self.made.append(path(kind, made["metadata"]["name"]))
        await self._in_force()
        return made

    async def clear(self) -> None:
        """Take all configurations away."""
        while self.made:
            await self.api.delete(self.made.pop())

    def _ready(self) -> Value:
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
        client = {**self.webhook.client(), "url": f"https://{self.webhook.address}:{self.webhook.port}/ready"}
        selector = {"matchLabels": {"contract": "ready"}}
        return self.hook(READY, rules=[rule], clientConfig=client, failurePolicy="Ignore", objectSelector=selector)

    async def _in_force(self) -> None:
        maps = f"/api/v1/namespaces/{self.namespace}/configmaps"
        present = len(self.webhook.readiness)
        for _ in range(READY_TRIES):
            await self.api.create(maps, cluster.config_map("ready", contract="ready"), dryRun="All")
            if len(self.webhook.readiness) - present >= len(self.made):
                return
            present = len(self.webhook.readiness)
            await asyncio.sleep(READY_PAUSE_S)
        raise AssertionError("the webhook is not asked")


@contextlib.asynccontextmanager
async def within(api: cluster.Cluster, namespace: str, webhook: admission_webhook.Webhook) -> AsyncIterator[Hooked]:
    """Yield a way to configure webhooks; they are taken away at the end."""
    found = Hooked(api, namespace, webhook, [])
    yield found
    await found.clear()
