"""Asks the webhooks that a write concerns, in the order and with the consequences of the real server.

Mutating ones one after the other, each on what the one before left; asked again, once, where their
``reinvocationPolicy`` wants it and a later one changed the object. Validating ones all at once. One that cannot be
asked is passed by or refuses the write, as its ``failurePolicy`` says; what it refuses itself is refused. Rules:
k8s.io/apiserver/pkg/admission/plugin/webhook, ``mutating`` and ``validating``. Leaves out policies in CEL
(ValidatingAdmissionPolicy), and reviews in version v1beta1.
"""

import asyncio
import copy
import dataclasses
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from comparisons.lab.api import (
    admission_review,
    attributes,
    calling,
    decoding,
    defaulting,
    hooks,
    kinds,
    operations,
    plugins,
    pod_security,
    preparation,
    status,
    store,
)

LOG = structlog.get_logger("lab.api")
Value = dict[str, Any]

REQUEST_S = 34.0
"""How long admission may take in all: k8s.io/apiserver/pkg/endpoints/handlers: requestTimeoutUpperBound."""


class Caller(Protocol):
    """How a webhook is asked."""

    async def ask(self, hook: hooks.Hook, body: bytes) -> Any:
        """Return the parsed answer; raises calling.Unanswered."""
        ...


@dataclasses.dataclass(slots=True)
class _Reinvocation:
    """Which webhooks are to be asked again, as k8s.io/apiserver's webhookReinvokeContext keeps it."""

    invoked: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    """Those that wish it and were asked since the object last changed."""
    due: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    changed: bool = False
    again: bool = False

    def object_changed(self) -> None:
        """Whoever was asked before has not seen this object."""
        self.due |= self.invoked
        self.invoked = set()


class Admission:
    """The admission of one server."""

    def __init__(self, objects: store.Store, caller: Caller) -> None:
        self._objects = objects
        self._caller = caller

    async def mutate(self, asked: attributes.Attributes) -> Value:
        """Return the object as it shall be written (an empty one for a deletion); raises Refused."""
        self._plug(asked)
        found = hooks.ordered(self._objects.objects(kinds.MUTATING_WEBHOOK_CONFIGURATION).values())
        if found:
            try:
                async with asyncio.timeout(REQUEST_S):
                    asked = await self._mutated(asked, found)
            except TimeoutError as error:
                raise status.timed_out() from error
        return asked.object or {}

    async def validate(self, asked: attributes.Attributes) -> None:
        """Raise Refused if Pod Security or a webhook refuses the write, or one cannot be asked and must be."""
        self._check_security(asked)
        found = hooks.ordered(self._objects.objects(kinds.VALIDATING_WEBHOOK_CONFIGURATION).values())
        concerned = [hook for hook in found if self._concerns(hook, asked)]
        if not concerned:
            return
        answers = [self._answer(hook, asked) for hook in concerned]
        try:
            async with asyncio.timeout(REQUEST_S):
                outcomes = await asyncio.gather(*answers, return_exceptions=True)
        except TimeoutError as error:
            raise status.timed_out() from error
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _check_security(self, asked: attributes.Attributes) -> None:
        """Judge a new pod as webhooks have left it, as the real server does before it asks validating ones."""
        made = asked.operation is attributes.Operation.CREATE and asked.resource is kinds.POD and not asked.subresource
        if not made or asked.object is None:
            return
        namespace = self._objects.get(kinds.NAMESPACE, ("", asked.namespace)) or {"metadata": {}}
        why = pod_security.refusal(asked.object, namespace["metadata"].get("labels") or {})
        if why:
            raise status.forbidden("", "pods", asked.object["metadata"].get("name", ""), why)

    async def _mutated(self, asked: attributes.Attributes, found: list[hooks.Hook]) -> attributes.Attributes:
        state = _Reinvocation()
        asked = await self._pass(asked, found, state)
        if not state.changed:
            return asked
        seen = copy.deepcopy(asked.object)
        self._plug(asked)
        if asked.object != seen:
            state.object_changed()
        state.again = True
        return await self._pass(asked, found, state)

    async def _pass(
        self, asked: attributes.Attributes, found: list[hooks.Hook], state: _Reinvocation
    ) -> attributes.Attributes:
        for hook in found:
            if (state.again and hook.key not in state.due) or not self._concerns(hook, asked):
                continue
            answer = await self._answer(hook, asked)
            admitted = asked if answer is None else _patched(hook, asked, answer)
            if admitted.object != asked.object:
                state.changed = True
                state.object_changed()
            asked = admitted
            if hook.reinvocable:
                state.invoked.add(hook.key)
        return asked

    def _plug(self, asked: attributes.Attributes) -> None:
        """Complete a new object in place with what the server's own plugins give it."""
        if asked.operation is attributes.Operation.CREATE and not asked.subresource and asked.object is not None:
            plugins.fill(self._objects, asked.resource, asked.namespace, asked.object)

    def _concerns(self, hook: hooks.Hook, asked: attributes.Attributes) -> bool:
        """Whether the webhook is to be asked; raises Refused where its conditions cannot be told."""
        return hooks.concerns(hook, asked, self._namespace_labels(asked)) and hooks.conditions_hold(
            hook, asked, admission_review.for_conditions(asked)
        )

    def _namespace_labels(self, asked: attributes.Attributes) -> Mapping[str, str] | None:
        """Labels of the object's namespace; of a namespace that is written, its own. None outside of any."""
        if asked.resource is kinds.NAMESPACE and asked.object is not None and not asked.subresource:
            found: Value | None = asked.object
        elif asked.namespace:
            found = self._objects.get(kinds.NAMESPACE, ("", asked.namespace))
        else:
            return None
        return (found or {"metadata": {}})["metadata"].get("labels") or {}

    async def _answer(self, hook: hooks.Hook, asked: attributes.Attributes) -> admission_review.Answer | None:
        """Return what a webhook said; None if it could not be asked and need not be. Raises Refused."""
        uid = str(uuid.uuid4())
        try:
            said = await self._caller.ask(hook, admission_review.body(asked, uid))
            answer = _verified(said, uid, mutating=hook.mutating)
        except calling.Unanswered as error:
            if hook.fails_open:
                LOG.warning("failed calling webhook, failing open", webhook=hook.name, error=str(error))
                return None
            raise _failed(hook, str(error)) from error
        asked.write.warnings.extend(answer.warnings)
        if not answer.allowed:
            raise _denied(hook, answer.result)
        return answer


def _verified(said: Any, uid: str, *, mutating: bool) -> admission_review.Answer:
    try:
        return admission_review.verified(said, uid, mutating=mutating)
    except admission_review.Unusable as error:
        raise calling.Unanswered(f"received invalid webhook response: {error}") from error


def _failed(hook: hooks.Hook, why: str) -> status.Refused:
    return status.internal_error(f'failed calling webhook "{hook.name}": {why}')


def _denied(hook: hooks.Hook, result: Value) -> status.Refused:
    """Return the webhook's own Status, made a refusal: ToStatusErr of the real server."""
    by = f'admission webhook "{hook.name}" denied the request'
    message, reason, code = (result.get(part) for part in ("message", "reason", "code"))
    said = message or reason
    details = result.get("details")
    return status.Refused(
        code if isinstance(code, int) and 400 <= code <= 599 else 400,
        str(reason or ""),
        f"{by}: {said}" if said else f"{by} without explanation",
        details if isinstance(details, dict) else None,
    )


def _patched(hook: hooks.Hook, asked: attributes.Attributes, answer: admission_review.Answer) -> attributes.Attributes:
    """Return the write after a webhook's patch; raises Refused (500), whatever ``failurePolicy`` says."""
    try:
        wanted = admission_review.operations(answer.patch)
        if not wanted:
            return asked
        if answer.patch_type != admission_review.JSON_PATCH:
            return _unsupported(hook, asked, answer.patch_type)
        if asked.object is None:
            why = "attempted to modify the object, which is not supported for this operation"
            raise status.internal_error(f'admission webhook "{hook.name}" {why}')
        return dataclasses.replace(asked, object=_reread(asked, operations.applied(asked.object, wanted)))
    except (admission_review.PatchUnreadable, operations.Inapplicable) as error:
        raise status.internal_error(str(error)) from error


def _unsupported(hook: hooks.Hook, asked: attributes.Attributes, patch_type: str) -> attributes.Attributes:
    if not hook.fails_open:
        raise _failed(hook, f'unsupported patch type "{patch_type}"')
    return asked


def _reread(asked: attributes.Attributes, value: Value) -> Value:
    """Return a patched object as if a client had sent it: unknown fields dropped, defaults filled in."""
    kind = asked.resource
    if asked.group_version_kind != (kind.group, kind.version, kind.kind):
        return value
    try:
        found = decoding.decode(value, kind, decoding.FieldValidation.IGNORE).value
    except status.Refused as refused:
        raise status.internal_error(refused.message) from refused
    if asked.subresource:
        return found
    defaulting.fill(kind, found)
    return preparation.unborn(kind, found) if asked.operation is attributes.Operation.CREATE else found
