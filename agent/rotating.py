"""``ipseity handshake``: make the cluster's keys, replace them under load, say where they stand.

Here because a rotation is three writes with a wait between them, and whoever is interrupted goes on from what the
Secret has. Leaves out the order (``keys``) and Kubernetes (``keysecret``).
"""

import asyncio
import contextlib
import dataclasses
import secrets
import typing
from collections.abc import AsyncIterator, Callable
from typing import Final

from agent import clock, errors, keys, keysecret
from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

Say = Callable[[str], object]
_INIT: Final = "ipseity handshake init"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which Secret of which cluster."""

    place: keysecret.Place
    kubeconfig: str | None
    context: str | None


async def init(where: Where, say: Say) -> bool:
    """Make the Secret with a random key, if there is none. Raises KubernetesError."""
    async with _api(where) as api:
        held = await keysecret.read(api, where.place)
        if held is None:
            known = keys.Keys(current=secrets.token_bytes(keys.KEY_BYTES))
            await keysecret.create(api, where.place, known, _now_s())
            say(f"made Secret {where.place} with key {keys.fingerprint(known.current)}; agents use it at once")
        else:
            say(f"Secret {where.place} is there already, with key {keys.fingerprint(held.keys.current)}")
    return True


async def status(where: Where, say: Say, *, settle_s: float = keys.SETTLE_S) -> bool:
    """Say which keys there are and where a rotation stands; False if one is under way. Raises KubernetesError."""
    async with _api(where) as api:
        held = await _held(api, where.place)
        for name, mark in held.keys.named().items():
            say(f"{name:8}  {mark}")
        made = _plan(held, settle_s)
        if made.step is keys.Step.ANNOUNCE:
            say("no rotation is under way")
            return True
        _, *lines = keys.describe(held.keys, made)
        for line in lines:
            say(line)
        return False


async def rotate(where: Where, say: Say, *, apply: bool, wait: bool, settle_s: float = keys.SETTLE_S) -> bool:
    """Say the next step, or take it; with ``wait`` all three. False if something has to be waited for.

    Raises KubernetesError, errors.Unavailable.
    """
    async with _api(where) as api:
        while True:
            held = await _held(api, where.place)
            made = _plan(held, settle_s)
            for line in keys.describe(held.keys, made):
                say(line)
            if not apply:
                return made.due
            if not made.due:
                if not wait:
                    return False
                await asyncio.sleep(made.wait_s)
                continue
            after = keys.after(held.keys, made.step, secrets.token_bytes(keys.KEY_BYTES))
            await keysecret.replace(api, where.place, after, _now_s(), over=held)
            say(f"done: {made.step.value}")
            if made.step is keys.Step.DROP or not wait:
                return True


def _plan(held: keysecret.Held, settle_s: float) -> keys.Plan:
    return keys.plan(held.keys, since_step_s=_now_s() - held.changed_wall_s, settle_s=settle_s)


async def _held(api: "client.ApiClient", place: keysecret.Place) -> keysecret.Held:
    held = await keysecret.read(api, place)
    if held is None:
        raise errors.Unavailable(f"there is no Secret {place}", hint=_INIT)
    return held


@contextlib.asynccontextmanager
async def _api(where: Where) -> "AsyncIterator[client.ApiClient]":
    api = await kube.connect(where.kubeconfig, where.context)
    try:
        yield api
    finally:
        await api.close()


def _now_s() -> float:
    return clock.now().wall_of(clock.boot_ns()) / 1e9
