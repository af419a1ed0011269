"""The command ``ipseity tap``: runs ``ipseity sidecar tap`` in pods' proxies and writes what they tell.

Here because it is the one command that looks at single requests, and so the one that needs a right of its own: to run a
command in the pod. Leaves out what a record says (``tap``) and running commands in pods (``kube.exec``).
"""

# ruff: noqa: PLC0415  # lazy imports are the point: ``ipseity --help`` stays quick

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import urllib.parse
from typing import TYPE_CHECKING, Final

import click

from injector.policy import options
from ipseity import screen, settings, table

if TYPE_CHECKING:
    from kubernetes.aio import client

    from injector.seeing import tap

_MAX_LINE: Final = 64 * 1024
_MAX_SAID: Final = 500
"""Characters of what a pod says instead; whoever runs it decides what it is."""
_WAITING: Final = 1024
"""Requests that wait to be written; then pods wait, and drop."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is wanted."""

    wanted: str
    namespace: str
    share: float
    seconds: float
    most: int
    directions: frozenset[str]
    as_json: bool


@click.command(name="tap")
@click.argument("target", metavar="[NAMESPACE/]NAME")
@click.option("--namespace", "-n", default="default", show_default=True, metavar="NAME", help="Of a name without one.")
@click.option(
    "--share",
    type=click.FloatRange(0.01, 100),
    default=100.0,
    show_default=True,
    metavar="PERCENT",
    help="So many of all requests, chosen at random.",
)
@click.option(
    "--for", "seconds", type=click.FloatRange(0.1, 600), default=30.0, show_default=True, metavar="S", help="How long."
)
@click.option(
    "--most",
    "-c",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    metavar="N",
    help="End after so many requests.",
)
@click.option(
    "--direction",
    type=click.Choice(["both", "inbound", "outbound"]),
    default="both",
    show_default=True,
    help="What comes to the pods, what they send, or both.",
)
@click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How it is written; json: one object a line.",
)
@settings.click_options(options.Options)
def command(  # noqa: PLR0913  # one for each option
    *,
    target: str,
    namespace: str,
    share: float,
    seconds: float,
    most: int,
    direction: str,
    output: str,
    **given: object,
) -> int:
    """Show requests of a pod, or of a workload's pods, as their proxies answer them.

    Of each: who, to whom, method, host, path without its query, status, latency, route. Never a body, a query or any
    other header. Needs the rights to list pods and to run commands in them (get and create on pods/exec).
    """
    page = screen.Page.of(sys.stdout, os.environ)
    loaded = settings.load(options.Options, given, os.environ)
    where, slash, name = target.rpartition("/")
    asked = _Asked(
        wanted=name,
        namespace=where if slash else namespace,
        share=share,
        seconds=seconds,
        most=most,
        directions=frozenset({"inbound", "outbound"} if direction == "both" else {direction}),
        as_json=output == "json",
    )
    return asyncio.run(_tap(loaded, asked, page))


async def _tap(loaded: options.Options, asked: _Asked, page: screen.Page) -> int:
    from injector.policy import reading
    from injector.seeing import tap
    from ipseity import kube

    api = await kube.connect(loaded.kubeconfig, loaded.context)
    try:
        path = f"/api/v1/namespaces/{urllib.parse.quote(asked.namespace, safe='')}/pods"
        targets = tap.targets([item async for item in reading.each(api, path)], asked.wanted)
        if len(targets) > tap.MOST_PODS:
            click.echo(f"{len(targets)} pods: the first {tap.MOST_PODS} are tapped", err=True)
        return await _Session(api, loaded, asked, page).run(targets[: tap.MOST_PODS])
    finally:
        await api.close()


class _Session:
    """Pods tell; requests are written in the order in which they come."""

    def __init__(self, api: "client.ApiClient", loaded: options.Options, asked: _Asked, page: screen.Page) -> None:
        self._api = api
        self._domain = loaded.domain
        self._asked = asked
        self._page = page
        self._told: asyncio.Queue[tap.Told | None] = asyncio.Queue(_WAITING)
        self._failed = 0

    async def run(self, targets: "list[tap.Target]") -> int:
        """Tap until all have ended, or enough was told."""
        from injector.seeing import tap

        lines = tap.Lines(width=self._page.size().columns if self._page.terminal else None, colour=self._page.colour)
        if not self._asked.as_json:
            self._page.print([lines.header()])
        running = {asyncio.create_task(self._one(each)) for each in targets}
        ended = asyncio.create_task(self._end(running))
        shown = 0
        try:
            while shown < self._asked.most and (told := await self._told.get()) is not None:
                self._page.print([json.dumps(tap.document(told)) if self._asked.as_json else lines.line(told)])
                shown += 1
        finally:
            for each in (*running, ended):
                each.cancel()
            await asyncio.gather(*running, ended, return_exceptions=True)
        if not shown and not self._failed:
            click.echo("no request in that time", err=True)
        return 1 if self._failed else 0

    async def _end(self, running: "set[asyncio.Task[None]]") -> None:
        await asyncio.wait(running)
        await self._told.put(None)

    async def _one(self, target: "tap.Target") -> None:
        from injector.kube import exec as execution
        from injector.seeing import tap
        from ipseity import kube

        asked, part, said = self._asked, bytearray(), bytearray()
        words = tap.command(target, share=asked.share, seconds=asked.seconds, most=asked.most)
        try:
            async with contextlib.aclosing(execution.output(self._api, target.place, words)) as pieces:
                async for channel, piece in pieces:
                    if channel is execution.Channel.ERRORS:
                        said += piece[: max(0, _MAX_LINE - len(said))]
                        continue
                    *whole, rest = (part + piece).split(b"\n")
                    part = bytearray(rest[-_MAX_LINE:])
                    for line in whole:
                        told = tap.read(bytes(line), target, self._domain)
                        if told is not None and told.direction in asked.directions:
                            await self._told.put(told)
        except kube.KubernetesError as error:
            self._failed += 1
            why = " ".join((said.decode(errors="replace").strip() or str(error)).split())
            why = table.printable(why if len(why) <= _MAX_SAID else f"{why[:_MAX_SAID]}...")
            click.echo(f"warning: {target.pod.ref} is not in it: {why}", err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            return
        self._lost(target, bytes(said))

    def _lost(self, target: "tap.Target", said: bytes) -> None:
        """Say how many requests are missing, by the last line that a pod has said of itself."""
        with contextlib.suppress(ValueError, IndexError, AttributeError):
            dropped = json.loads(said.splitlines()[-1]).get("dropped")
            if isinstance(dropped, int) and dropped > 0:
                click.echo(f"warning: {target.pod.ref} had {dropped} more, faster than they could be written", err=True)
