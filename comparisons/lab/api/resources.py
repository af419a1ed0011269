"""The verbs of the API on a resource: HTTP in, HTTP out.

What they mean is left to ``registry``, ``listing`` and ``watching``. Leaves out subresources other than ``status``:
``subresources``.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from aiohttp import web

from comparisons.lab import clock
from comparisons.lab.api import (
    access,
    answers,
    applying,
    asking,
    change,
    decoding,
    kinds,
    listing,
    patching,
    registry,
    status,
    store,
    tables,
    users,
    watching,
)

Value = dict[str, Any]
T = TypeVar("T")

FRESH_WAIT_S, FRESH_LOOKS = 3.0, 30
"""How long a list waits for a revision that has not been yet: k8s.io/apiserver/pkg/storage/cacher blockTimeout."""
ACCOUNT_TRIES, ACCOUNT_PAUSE_S = 10, 0.1
"""How the ServiceAccount admission of the real server waits for a new namespace's default account."""
PROPAGATION = ("Background", "Foreground", "Orphan")
MOVED_TRIES = 5
"""k8s.io/apiserver/pkg/endpoints/handlers: MaxRetryWhenPatchConflicts."""
SAID = ("fieldManager", "fieldValidation")
"""Options that admission reviews repeat."""
WARNINGS = web.RequestKey("warnings", list[str])
"""What the answer will say in Warning headers, whatever becomes of the request."""


def write(request: web.Request, subresource: str = "") -> change.Change:
    """Who asks, as ``managedFields`` will say it: the fieldManager, else the program in User-Agent."""
    program = request.headers.get("User-Agent", "unknown").partition("/")[0]
    manager = request.query.get("fieldManager") or program or "unknown"
    return change.Change(
        manager=manager,
        now_wall_ns=clock.wall_ns(),
        subresource=subresource,
        dry_run=asking.dry_run(request.query),
        user=request[users.KEY],
        options={name: request.query[name] for name in SAID if request.query.get(name)},
        warnings=request.setdefault(WARNINGS, []),
    )


async def body(request: web.Request) -> Value:
    """Return the body as plain values; raises Refused."""
    media_type = request.content_type if "Content-Type" in request.headers else decoding.JSON
    if media_type not in decoding.BODIES:
        raise status.unsupported_media_type(decoding.BODIES)
    return decoding.mapping(await request.read(), media_type)


@dataclasses.dataclass(frozen=True, slots=True)
class Resources:
    """The handlers, over one registry."""

    rules: registry.Registry

    async def collection(self, request: web.Request, target: asking.Target) -> web.StreamResponse:
        """GET, POST and DELETE without a name."""
        match request.method:
            case "GET":
                return await self._read(request, target)
            case "POST":
                return await self._create(request, target)
            case "DELETE":
                return await self._delete_all(request, target)
            case _:
                raise status.method_not_allowed()

    async def one(self, request: web.Request, target: asking.Target) -> web.StreamResponse:
        """GET, PUT, PATCH and DELETE of an object, or of its status."""
        match request.method:
            case "GET":
                return self._show(request, target)
            case "PUT":
                return await self._replace(request, target)
            case "PATCH":
                return await self._patch(request, target)
            case "DELETE" if not target.subresource:
                return await self._delete(request, target)
            case _:
                raise status.method_not_allowed()

    async def _read(self, request: web.Request, target: asking.Target) -> web.StreamResponse:
        asked = asking.reading(request.query)
        form = answers.form(request.headers.get("Accept", ""))
        if asked.watch:
            return await self._watch(request, target, asked, form)
        await self._until(asked.revision)
        found = listing.page(self.rules.store, target, asked)
        return answers.respond(tables.collection(target.kind, found, form, _included(request), clock.wall_ns()))

    async def _until(self, revision: int | None) -> None:
        """Wait a little for a revision that is ahead: another writer may be about to make it."""
        for _ in range(FRESH_LOOKS):
            if revision is None or revision <= self.rules.store.revision:
                return
            await asyncio.sleep(FRESH_WAIT_S / FRESH_LOOKS)

    async def _watch(
        self, request: web.Request, target: asking.Target, asked: asking.Reading, form: answers.Form
    ) -> web.StreamResponse:
        encode = tables.line_encoder(target.kind, form, _included(request))
        watch = watching.Watch(self.rules.store, target, asked, encode)
        response = web.StreamResponse(headers={"Content-Type": answers.JSON, "Cache-Control": "no-cache, private"})
        try:
            await response.prepare(request)
            async for batch in watch.batches():
                await response.write(batch)
            await response.write_eof()
        except (ConnectionError, RuntimeError):  # the watcher went away: aiohttp says either
            pass
        return response

    async def _create(self, request: web.Request, target: asking.Target) -> web.Response:
        if target.kind.namespaced and not target.namespace:
            raise status.method_not_allowed()
        kind, validation = target.kind, asking.field_validation(request.query)
        decoded = decoding.decode(await body(request), kind, validation)
        self._check_namespace(target, decoded.value)
        if kind is kinds.POD:
            await self._account(target.namespace, decoded.value)
        made = await self.rules.create(kind, target.namespace, decoded.value, write(request))
        return self._object(request, kind, made, 201, decoded.warnings)

    def _check_namespace(self, target: asking.Target, value: Value) -> None:
        said = (value.get("metadata") or {}).get("namespace", "")
        if target.namespace and said not in {"", target.namespace}:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise status.bad_request(message)

    async def _account(self, namespace: str, pod: Value) -> None:
        """Wait for a new namespace's default account; the registry refuses a pod whose account is not there."""
        if access.account_of(pod) != access.DEFAULT or not self._known(kinds.NAMESPACE, ("", namespace)):
            return
        for _ in range(ACCOUNT_TRIES):
            if self._known(kinds.SERVICE_ACCOUNT, (namespace, access.DEFAULT)):
                return
            await asyncio.sleep(ACCOUNT_PAUSE_S)

    def _known(self, kind: kinds.Kind, key: store.Key) -> bool:
        return self.rules.store.get(kind, key) is not None

    def _show(self, request: web.Request, target: asking.Target) -> web.Response:
        found = self.rules.get(target.kind, (target.namespace, target.name))
        return self._object(request, target.kind, found, 200)

    async def _replace(self, request: web.Request, target: asking.Target) -> web.Response:
        return await unmoved(lambda: self._replace_once(request, target))

    async def _replace_once(self, request: web.Request, target: asking.Target) -> web.Response:
        kind, key = target.kind, (target.namespace, target.name)
        decoded = decoding.decode(await body(request), kind, asking.field_validation(request.query))
        self._check_namespace(target, decoded.value)
        said = (decoded.value.get("metadata") or {}).get("name", target.name)
        if said != target.name:
            raise status.bad_request(
                f"the name of the object ({said}) does not match the name on the URL ({target.name})"
            )
        changed = await self.rules.update(kind, key, decoded.value, write(request, target.subresource))
        return self._object(request, kind, changed, 200, decoded.warnings)

    async def _patch(self, request: web.Request, target: asking.Target) -> web.Response:
        form = patching.patch_type(request.content_type, target.kind)
        if form is patching.PatchType.APPLY_YAML:
            return await unmoved(lambda: self._apply_once(request, target))
        return await unmoved(lambda: self._patch_once(request, target, form))

    async def _apply_once(self, request: web.Request, target: asking.Target) -> web.Response:
        asked, who = applying.options(request.query), write(request, target.subresource)
        done = await applying.apply(self.rules, target, await request.read(), asked, who)
        return self._object(request, target.kind, done.value, 201 if done.created else 200, done.warnings)

    async def _patch_once(self, request: web.Request, target: asking.Target, form: patching.PatchType) -> web.Response:
        kind, key = target.kind, (target.namespace, target.name)
        patched = patching.patched(form, kind.shape, self.rules.get(kind, key), await request.read())
        decoded = decoding.decode(patched, kind, asking.field_validation(request.query))
        changed = await self.rules.update(kind, key, decoded.value, write(request, target.subresource))
        return self._object(request, kind, changed, 200, decoded.warnings)

    async def _delete(self, request: web.Request, target: asking.Target) -> web.Response:
        removal = await _removal(request)
        kind = target.kind
        key, who = (target.namespace, target.name), write(request)
        done = await unmoved(lambda: self.rules.delete(kind, key, removal, who))
        if done.gone and not kind.returns_deleted:
            meta = done.value["metadata"]
            return answers.respond(status.success(status.named(kind.group, kind.plural, meta["name"], meta["uid"])))
        return self._object(request, kind, done.value, 200)

    async def _delete_all(self, request: web.Request, target: asking.Target) -> web.Response:
        if target.kind.namespaced and not target.namespace:
            raise status.method_not_allowed()
        removal = dataclasses.replace(await _removal(request), collection=True)
        found = listing.page(self.rules.store, target, asking.reading(request.query))
        who = write(request)
        for item in found.items:
            await self._delete_each(target.kind, item["metadata"], removal, who)
        return answers.respond(listing.body(target.kind, found))

    async def _delete_each(self, kind: kinds.Kind, meta: Value, removal: registry.Removal, who: change.Change) -> None:
        key = (meta.get("namespace", ""), meta["name"])
        try:
            await unmoved(lambda: self.rules.delete(kind, key, removal, who))
        except status.Refused as refused:
            if refused.code != web.HTTPNotFound.status_code:  # somebody else was quicker
                raise

    def _object(
        self, request: web.Request, kind: kinds.Kind, value: Value, code: int, warnings: tuple[str, ...] = ()
    ) -> web.Response:
        form = answers.form(request.headers.get("Accept", ""))
        shown = tables.single(kind, value, form, _included(request), clock.wall_ns())
        return answers.respond(shown, code, warnings=warnings)


async def unmoved(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again where another write came first while admission was asked; raises Refused (409) after some tries."""
    for _ in range(MOVED_TRIES - 1):
        with contextlib.suppress(registry.Moved):
            return await attempt()
    return await attempt()


def _included(request: web.Request) -> str:
    return request.query.get("includeObject", "Metadata")


async def _removal(request: web.Request) -> registry.Removal:
    """DeleteOptions out of the body, or out of the query for clients that send none."""
    said = await body(request) if (await request.read()).strip() else {}
    return removal(said, request.query)


def removal(said: Value, query: Mapping[str, str]) -> registry.Removal:
    """DeleteOptions as values; raises Refused."""
    options = decoding.shaped(said, "V1DeleteOptions", "DeleteOptions", "v1", decoding.FieldValidation.IGNORE).value
    conditions = options.get("preconditions") or {}
    propagation = options.get("propagationPolicy") or query.get("propagationPolicy")
    if propagation not in {None, *PROPAGATION}:
        cause = status.unsupported("propagationPolicy", propagation, PROPAGATION)
        raise status.invalid("meta.k8s.io", "DeleteOptions", "", [cause])
    return registry.Removal(
        grace_s=options.get("gracePeriodSeconds", asking.number(query, "gracePeriodSeconds")),
        propagation=propagation,
        uid=conditions.get("uid"),
        resource_version=conditions.get("resourceVersion"),
    )
