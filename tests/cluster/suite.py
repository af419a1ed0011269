"""Plays the checks in order: those that stand on what failed are named and left out. Then takes out what was made."""

import asyncio
import contextlib
import signal
import time
import traceback
from collections.abc import Iterator
from typing import Final

from ipseity import kube
from tests.cluster import checks, ground, own, record
from tests.cluster.subjects import (
    agent,
    definitions,
    destination,
    identity,
    installing,
    leaving,
    policy,
    server,
    webhook,
)

ORDER: Final[tuple[checks.Check, ...]] = (
    *server.CHECKS,
    *installing.FIRST,
    *definitions.CHECKS,
    *webhook.CHECKS,
    *identity.CHECKS,
    *destination.CHECKS,
    *policy.CHECKS,
    *agent.CHECKS,
    *webhook.LAST,
    *installing.LAST,
    *leaving.CHECKS,
)
_INSTALL: Final = "install/install"


async def play(on: ground.Ground, kept: record.Record) -> bool:
    """Make every check; afterwards nothing is left. Returns False if it was interrupted. Raises KubernetesError."""
    whole = True
    try:
        with _interruptible():
            for each in ORDER:
                await _make(each, on, kept)
    except asyncio.CancelledError:
        whole = False
        kept.say("\ninterrupted: taking out what was made; once more to leave it there")
    finally:
        with _interruptible():
            await _leave(on, kept)
    return whole


async def _leave(on: ground.Ground, kept: record.Record) -> None:
    try:
        left = await own.clean(on, kept.say, run=on.run)
    except asyncio.CancelledError:
        left = ["what this run has made: interrupted"]
    if left:
        names = (on.meshed, on.plain, on.guarded)
        hint = "\n".join(own.by_hand(names))
        kept.add(
            record.Result(key="suite/left", says=_LEFT, outcome=record.Outcome.FAIL, text="\n".join(left), hint=hint)
        )


_LEFT: Final = "what this run has made is gone"


async def _make(each: checks.Check, on: ground.Ground, kept: record.Record) -> None:
    """Make one check, or say why not."""
    why = _left_out(each, on, kept)
    if why:
        kept.add(_result(each, record.Outcome.LEFT, text=why))
        return
    began_s = time.monotonic()
    outcome, text, hint = record.Outcome.FAIL, "", ""
    try:
        outcome, text = record.Outcome.OK, await each.run(on)
    except record.Failed as failed:
        outcome, text, hint = record.Outcome.FAIL, str(failed), failed.hint
    except kube.KubernetesError as error:
        outcome, text, hint = record.Outcome.FAIL, str(error), error.hint
    except Exception:  # noqa: BLE001  # what nobody expected of a server is a finding, and no reason to leave things there
        outcome = record.Outcome.FAIL
        text = f"not what the suite expects:\n{traceback.format_exc(limit=-3).strip()}"
        hint = "please report this with the output of kubectl version"
    kept.add(_result(each, outcome, text=text, hint=hint, took_s=time.monotonic() - began_s))


def _left_out(each: checks.Check, on: ground.Ground, kept: record.Record) -> str:
    """Say why a check is not made; empty: it is."""
    if each.changes and on.given.installed:
        return "Ipseity was there before, and stays as it is (INSTALLED)"
    if each.admin and not on.admin:
        return "it needs cluster-admin"
    needs = [need for need in each.needs if not kept.passed(need)]
    return f"it stands on {', '.join(needs)}" if needs else ""


def _result(
    each: checks.Check, outcome: record.Outcome, *, text: str, hint: str = "", took_s: float = 0.0
) -> record.Result:
    return record.Result(key=each.key, says=each.says, outcome=outcome, text=text, hint=hint, took_s=took_s)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Cancel the task meanwhile, when a person or a system says that it is enough."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
