"""Pods that call Services with routes in front of them: what every request became, by real Envoys.

    shop/client, billing/client   who calls
    shop/web, shop/next           Services with a pod each (two, for ``web`` where a test has it so)
    shop/empty                    a Service without endpoints
    pay/bank                      a Service of another namespace, with the pod of ``next``

Routes are given as they are written in Kubernetes. Leaves out Kubernetes: ``tests/contract/injector`` has statuses.
"""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from injector.routes import model, reading
from tests.scene import street

WEB, NEXT, EMPTY, BANK = "10.97.0.1", "10.97.0.2", "10.97.0.3", "10.97.0.4"
POD: Final = "10.215.0.10"
"""The pod of ``web``: no route is in front of its own address."""
PATIENCE_S: Final = 60.0
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A street with Services, and who lives there."""

    ours: street.Street
    client: street.House
    stranger: street.House

    async def route(self, *items: Json, grants: tuple[Json, ...] = ()) -> None:
        """Have exactly these routes and grants."""
        self.ours.routes = [reading.route(each, model.Kind(each["kind"])) for each in items]
        self.ours.grants = [found for each in grants if (found := reading.grant(each)) is not None]
        self.ours.publish()
        await self.ours.synced(4)

    def conditions(self, name: str, kind: model.Kind = model.Kind.HTTP, namespace: str = "shop") -> tuple[str, str]:
        """Give the reasons of ``Accepted`` and ``ResolvedRefs`` with the first parent."""
        verdict = self.ours.attached.verdicts[kind, namespace, name][0]
        return verdict.accepted.reason, verdict.resolved.reason

    async def ask(self, *asked: Json, of: street.House | None = None) -> list[list[Json]]:
        """Ask from a pod; see ``tests.traffic.asker``."""
        process = await (of or self.client).start("tests.traffic.asker", json.dumps(asked))
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
        return list(json.loads(output))

    async def rules(self, *asked: Json, of: street.House | None = None) -> list[str]:
        """Give which ``tagged`` rule answered each request; its status where none did."""
        found = await self.ask(*asked, of=of)
        return [one[0]["headers"].get("x-rule", str(one[0]["status"])) for one in found]

    async def get(self, path: str, *, host: str = WEB, of: street.House | None = None, **said: Any) -> Json:
        """Ask once by HTTP."""
        ((found,),) = await self.ask({"url": f"http://{host}:{said.pop('port', 8080)}{path}", **said}, of=of)
        return found

    async def call(self, method: str = "/probe.Echo/Say", *, of: street.House | None = None, **said: Any) -> Json:
        """Ask once by gRPC."""
        ((found,),) = await self.ask({"grpc": f"{WEB}:9090", "call": method, **said}, of=of)
        return found


@contextlib.asynccontextmanager
async def block() -> AsyncIterator[Block]:
    """Have all of it run, without routes."""
    async with street.street() as ours:
        web, following = street.pod(10, "web"), street.pod(11, "next")
        client, stranger = street.pod(12, "client"), street.pod(13, "client", namespace="billing")
        ours.pods = [web, following, client, stranger]
        ours.services = [
            street.fronting("web", WEB, [web]),
            street.fronting("next", NEXT, [following]),
            street.fronting("empty", EMPTY, []),
            street.fronting("bank", BANK, [following], namespace="pay"),
        ]
        ours.publish()
        async with (
            ours.house(web),
            ours.house(following),
            ours.house(client, application=False) as here,
            ours.house(stranger, application=False) as there,
        ):
            await ours.synced(4)
            yield Block(ours=ours, client=here, stranger=there)


def to(name: str, weight: int | None = None, *, port: int = 8080, **said: Any) -> Json:
    """Write a backend."""
    return {"name": name, "port": port, **({} if weight is None else {"weight": weight}), **said}


def http(*rules: Json, name: str = "r", service: str = "web", namespace: str = "shop", **parent: Any) -> Json:
    """Write an HTTPRoute for a Service."""
    ref = {"group": "", "kind": "Service", "name": service, **parent}
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"kind": "HTTPRoute", "metadata": metadata, "spec": {"parentRefs": [ref], "rules": list(rules)}}


def grpc(*rules: Json, **said: Any) -> Json:
    """Write a GRPCRoute for a Service."""
    return {**http(*rules, **said), "kind": "GRPCRoute"}


def tagged(tag: str, *matches: Json, backend: str = "web", port: int = 8080) -> Json:
    """Write a rule whose answers say which one it was."""
    said = changed("ResponseHeaderModifier", "responseHeaderModifier", set=[{"name": "x-rule", "value": tag}])
    rule: Json = {"filters": [said], "backendRefs": [to(backend, port=port)]}
    return {**rule, "matches": list(matches)} if matches else rule


def url(path: str, **said: Any) -> Json:
    """Write a request to ``web``."""
    return {"url": f"http://{WEB}:8080{path}", **said}


def path(value: str, kind: str = "PathPrefix") -> Json:
    """Write a match of a path."""
    return {"path": {"type": kind, "value": value}}


def changed(kind: str, member: str, **said: Any) -> Json:
    """Write a filter."""
    return {"type": kind, member: said}


def grant(namespace: str = "pay", *, sender: str = "shop", kind: str = "HTTPRoute", **to_: Any) -> Json:
    """Write a ReferenceGrant for Services."""
    senders = [{"group": model.GROUP, "kind": kind, "namespace": sender}]
    return {
        "metadata": {"name": "g", "namespace": namespace},
        "spec": {"from": senders, "to": [{"group": "", "kind": "Service", **to_}]},
    }
