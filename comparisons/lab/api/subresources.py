"""Subresources other than ``status``: what a POST or PUT to them does to the object they belong to."""

import dataclasses
from typing import Any

from aiohttp import web

from comparisons.lab.api import (
    answers,
    asking,
    attributes,
    change,
    changes,
    decoding,
    kinds,
    logs,
    pod_proxy,
    registry,
    resources,
    scaling,
    status,
    store,
    token_request,
)

Value = dict[str, Any]

SUCCESS: Value = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


@dataclasses.dataclass(frozen=True, slots=True)
class Subresources:
    """The handlers, over one registry."""

    rules: registry.Registry
    log_reader: logs.Logs
    token_requests: token_request.TokenRequests
    pod_proxy: pod_proxy.PodProxy

    async def handle(  # noqa: PLR0911  # one line a subresource
        self, request: web.Request, target: asking.Target
    ) -> web.StreamResponse:
        """Do what the subresource is for; raises Refused."""
        match (target.subresource, request.method):
            case ("binding", "POST"):
                return await self._bind(request, target)
            case ("eviction", "POST"):
                return await self._evict(request, target)
            case ("finalize", "PUT"):
                return await self._finalize(request, target)
            case ("log", "GET"):
                return await self.log_reader.handle(request, self.rules.get(target.kind, _key(target)))
            case ("proxy", "GET"):
                return await self.pod_proxy.handle(request, target)
            case ("token", "POST"):
                return await self.token_requests.handle(request, target)
            case ("scale", "GET" | "PUT" | "PATCH"):
                return await scaling.handle(self.rules, request, target)
            case _:
                raise status.method_not_allowed()

    async def _bind(self, request: web.Request, target: asking.Target) -> web.Response:
        who = resources.write(request, "binding")
        body = {**await _decoded(request, "V1Binding", "Binding", "v1"), "apiVersion": "v1", "kind": "Binding"}
        binding = await self.rules.admit(attributes.subresource(target.kind, _key(target), body, who))
        node = (binding.get("target") or {}).get("name", "")
        if not node:
            raise status.invalid("", "Binding", target.name, [status.required("target.name")])
        self.rules.settle(kinds.POD, *self._bound(target, node, who), who)
        return answers.respond(SUCCESS, 201)

    def _bound(self, target: asking.Target, node: str, who: change.Change) -> tuple[Value, Value]:
        """Return the pod before and after it gets its node."""
        pod = self.rules.get(kinds.POD, _key(target))
        if pod["metadata"].get("deletionTimestamp"):
            raise status.conflict(
                "", "pods/binding", target.name, f"pod {target.name} is being deleted, cannot be assigned to a host"
            )
        if taken := pod["spec"].get("nodeName"):
            raise status.conflict(
                "", "pods/binding", target.name, f'pod {target.name} is already assigned to node "{taken}"'
            )
        condition = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": who.time,
        }
        others = [each for each in pod["status"].get("conditions") or () if each["type"] != "PodScheduled"]
        bound = {**pod, "metadata": {**pod["metadata"]}, "spec": {**pod["spec"], "nodeName": node}}
        return pod, bound | {"status": {**pod["status"], "conditions": [*others, condition]}}

    async def _evict(self, request: web.Request, target: asking.Target) -> web.Response:
        who = resources.write(request, "eviction")
        said = await _decoded(request, "V1Eviction", "Eviction", "policy/v1")
        body = {**said, "apiVersion": "policy/v1", "kind": "Eviction"}
        eviction = await self.rules.admit(attributes.subresource(target.kind, _key(target), body, who))
        removal = resources.removal(eviction.get("deleteOptions") or {}, request.query)
        await self.rules.delete(kinds.POD, _key(target), removal, who)
        return answers.respond(SUCCESS, 201)

    async def _finalize(self, request: web.Request, target: asking.Target) -> web.Response:
        """Set a namespace's ``spec.finalizers``, which only this path changes."""
        validation = asking.field_validation(request.query)
        said = decoding.decode(await resources.body(request), kinds.NAMESPACE, validation).value
        old = self.rules.get(kinds.NAMESPACE, _key(target))
        self.rules.check_version(kinds.NAMESPACE, _key(target), old, said)
        spec = {**old["spec"], "finalizers": (said.get("spec") or {}).get("finalizers") or []}
        new = {**changes.keep(kinds.NAMESPACE, old, old, ""), "spec": spec}
        done = self.rules.settle(kinds.NAMESPACE, old, new, resources.write(request, "finalize"))
        return answers.respond(done)


async def _decoded(request: web.Request, shape: str, kind: str, api_version: str) -> Value:
    validation = asking.field_validation(request.query)
    return decoding.shaped(await resources.body(request), shape, kind, api_version, validation).value


def _key(target: asking.Target) -> store.Key:
    return (target.namespace, target.name)
