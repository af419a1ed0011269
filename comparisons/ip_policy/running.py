"""The agent as a process: what it was told, what stops it, what it leaves.

Here so that wiring has one place. Leaves out what it does meanwhile (``agent``).
"""

import asyncio
import contextlib
import dataclasses
import pathlib
import signal
import sys

import structlog

from comparisons.ip_policy import agent, compiler, contender, delays, errors, kernel
from ipseity import kube


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person asks for."""

    node: str
    kubeconfig: str | None
    netns: pathlib.Path | None
    strict: bool
    gate: bool
    log: str
    remove: bool


async def run(wishes: Wishes) -> None:
    """Enforce until SIGTERM or SIGINT."""
    if wishes.netns is not None and not wishes.netns.exists():
        raise errors.PolicyError(f"network namespace {wishes.netns}: there is none", hint="ipseity lab status -o json")
    try:
        told = delays.Log(wishes.log)
    except OSError as error:
        raise errors.PolicyError(
            f"cannot write {wishes.log}: {error.strerror}", hint="give --log a file in an existing directory"
        ) from error
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    rules = kernel.Kernel(wishes.netns)
    api = await kube.connect(wishes.kubeconfig)
    options = compiler.Options(strict=wishes.strict, gate=wishes.gate)
    enforcing = asyncio.create_task(agent.Agent(wishes.node, api, rules, options, told).run())
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((enforcing, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        enforcing.cancel()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await enforcing
        await api.close()
        told.close()
        if wishes.remove:
            rules.remove(contender.TABLES)
