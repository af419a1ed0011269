"""``ipseity identity``: look at the mesh's authorities, rotate them, verify the issuance log.

Here because what these commands do is this feature's. Each imports what it runs when it runs. Registered by
``injector.cli``. Leaves out who prints errors (``ipseity.cli``).
"""

# ruff: noqa: PLC0415  # lazy imports are the point, see above

import asyncio
import contextlib
import pathlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

import click

from injector import names

if TYPE_CHECKING:
    from kubernetes.aio import client

    from injector.identity import rotation

Command = Callable[..., Any]
_POLL_S: Final = 5.0
_HOLDS, _DOES_NOT_HOLD = 0, 1


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)


def _cluster(command: Command) -> Command:
    """Add the options that say which cluster."""
    for option in (
        click.option("--namespace", "-n", default=names.SYSTEM_NAMESPACE, show_default=True, help="Of the mesh."),
        click.option("--context", metavar="NAME", help="Context in the kubeconfig."),
        click.option("--kubeconfig", metavar="FILE", help="Kubeconfig; else KUBECONFIG, ~/.kube/config, or the pod's."),
    ):
        command = option(command)
    return command


@contextlib.asynccontextmanager
async def _api(kubeconfig: str | None, context: str | None) -> "AsyncIterator[client.ApiClient]":
    from ipseity import kube

    api = await kube.connect(kubeconfig, context)
    try:
        yield api
    finally:
        await api.close()


@click.group()
def identity() -> None:
    """Look at the mesh's authorities, rotate them, verify what was issued."""


@identity.command()
@_cluster
def check(namespace: str, kubeconfig: str | None, context: str | None) -> int:
    """Say how long anchor, issuer and leaves have left, and what is wrong."""
    return asyncio.run(_check(namespace, kubeconfig, context))


@identity.command()
@click.option("--plan", "mode", flag_value="plan", default="plan", help="Say what is next and what to wait for.")
@click.option("--apply", "mode", flag_value="apply", help="Take the next step, if its conditions hold.")
@click.option("--what", type=click.Choice(["anchor", "issuer"]), default="anchor", show_default=True)
@click.option("--wait", is_flag=True, help="With --apply: go on until it is rotated.")
@click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long pods that do not say what they trust are given to read a new bundle.  [default: 180]",
)
@_cluster
def rotate(**given: Any) -> int:
    """Replace the trust anchor in two phases, or the issuer, while everything runs.

    Exit code 1: something has to be waited for.
    """
    return asyncio.run(_rotate(**given))


@identity.group("log")
def issuance_log() -> None:
    """Look at the issuance log."""


@issuance_log.command()
@click.argument("path", type=click.Path(path_type=pathlib.Path, exists=True, dir_okay=False))
@click.option("--head", metavar="N:SHA256", help="A newest line that was published: the log must contain it.")
def verify(path: pathlib.Path, head: str | None) -> int:
    """Verify the chain over a log and its rotated files: nothing removed, changed or put in."""
    from injector.identity import issuance, issuelog

    try:
        published = issuance.Head.parse(head) if head else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--head") from error
    verdict = issuance.verify(issuelog.lines(path), published)
    for each in verdict.breaks:
        click.echo(f"line {each.place} of the files: {each.what}")
    if verdict.first_seq > 1:
        click.echo(f"begins at {verdict.first_seq}: nothing is known about what was before it")
    click.echo(f"{verdict.lines} lines, newest {verdict.head}: {'holds' if verdict.holds else 'DOES NOT HOLD'}")
    return _HOLDS if verdict.holds else _DOES_NOT_HOLD


async def _check(namespace: str, kubeconfig: str | None, context: str | None) -> int:
    from injector.identity import examination, findings

    async with _api(kubeconfig, context) as api:
        found = await examination.examine(api, namespace, now_s=_now_s())
    for each in found:
        click.echo(f"{each.level:4}  {each.what}{f'  ({each.remedy})' if each.remedy else ''}")
    good = all(each.level is findings.Level.GOOD for each in found)
    return _HOLDS if good else _DOES_NOT_HOLD


async def _rotate(  # noqa: PLR0913  # the command's options
    *,
    mode: str,
    what: str,
    settle_s: float | None,
    namespace: str,
    kubeconfig: str | None,
    context: str | None,
    wait: bool,
) -> int:
    from injector.identity import readiness, rotating, rotation

    settle_s = readiness.SETTLE_S if settle_s is None else settle_s
    goal = rotation.Goal(what)
    said: tuple[str, ...] = ()
    async with _api(kubeconfig, context) as api:
        while True:
            seen = await rotating.look(api, namespace, settle_s=settle_s)
            now_s = _now_s()
            made = rotation.plan(seen.known, goal, now_s=now_s)
            lines = tuple(rotation.describe(made))
            if lines != said:
                click.echo("\n".join(lines))
            said = lines
            if mode == "plan" or (not made.due and (made.manual or not wait)):
                return _HOLDS if made.due else _DOES_NOT_HOLD
            if made.due and made.step:
                click.echo(f"done:  {await rotating.apply(api, namespace, seen, made.step, now_s=now_s)}")
                if _is_last(made.step) or not wait:
                    return _HOLDS
            else:
                await asyncio.sleep(_POLL_S)


def _is_last(step: "rotation.Step") -> bool:
    from injector.identity import rotation

    return step in (rotation.Step.DROP_OLD, rotation.Step.MAKE_ISSUER)
