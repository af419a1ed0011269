"""``ipseity authz``: ask what the policies say. Registered by ``injector.cli``.

Here because what these commands do is this feature's. Each imports what it runs when it runs. Leaves out who prints
errors (``ipseity.cli``).
"""

# ruff: noqa: PLC0415  # lazy imports are the point, see above

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import click

from injector.policy import options
from ipseity import screen, settings

if TYPE_CHECKING:
    from injector.policy import explain as explaining
    from injector.policy import reading

_ALLOWED, _DENIED = 0, 1


@click.group()
def authz() -> None:
    """Ask who may call whom, and why."""


@authz.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO[:PORT]")
@click.option("--namespace", "-n", default="default", show_default=True, metavar="NAME", help="Of names without one.")
@click.option("--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="How it is written.")  # fmt: skip
@settings.click_options(options.Options)
def explain(source: str, target: str, namespace: str, output: str, **given: object) -> int:
    """Say whether FROM may call TO, by which rule, and what would have to change.

    FROM and TO are [NAMESPACE/]NAME of a pod, a workload or a service account; FROM may also be a SPIFFE ID, TO a
    Service. Without PORT, every port that TO declares.

    Exit code 0 if all is allowed, 1 if something is denied, 2 if it cannot be told.
    """
    loaded = settings.load(options.Options, given, os.environ)
    page = screen.Page.of(sys.stdout, os.environ)
    moment, found = asyncio.run(_answers(source, target, namespace, loaded))
    return _show(page, moment, found, as_json=output == "json")


async def _answers(
    source: str, target: str, namespace: str, loaded: options.Options
) -> "tuple[reading.Moment, list[explaining.Explanation]]":
    from injector.policy import explain as explaining
    from injector.policy import reading, subjects
    from ipseity import kube

    api = await kube.connect(loaded.kubeconfig, loaded.context)
    try:
        moment = await reading.read(api, loaded.domain)
    finally:
        await api.close()
    return moment, [
        explaining.explain(moment.state, moment.book.policies, caller, called.pod, called.port)
        for caller in subjects.sources(moment.state, source, namespace)
        for called in subjects.targets(moment.state, target, namespace)
    ]


def _show(page: screen.Page, moment: "reading.Moment", found: "list[explaining.Explanation]", *, as_json: bool) -> int:
    from injector.policy import answer
    from injector.policy import explain as explaining

    if as_json:
        page.print([json.dumps(answer.document(found, moment.warnings), indent=2)])
    else:
        page.print(answer.lines(found, width=page.size().columns, colour=page.colour))
        for warning in moment.warnings:
            click.echo(f"warning: {warning}", err=True)
    return _DENIED if any(each.outcome is explaining.Outcome.DENIED for each in found) else _ALLOWED
