"""``python -m tests.cluster --kubeconfig FILE``, or ``make test-cluster KUBECONFIG=FILE``.

Exit codes: 0 everything holds, 1 something does not, 2 it could not be tried, 130 interrupted.
"""

import asyncio
import os
import secrets
import sys
import time
from typing import Any, Final

import click

from ipseity import kube, screen
from tests.cluster import ground, own, record, suite

_HOLDS, _FAILS, _CANNOT, _INTERRUPTED = 0, 1, 2, 130
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' own, for names that no word comes of."""


@click.command(help=__doc__)
@click.option("--kubeconfig", envvar="KUBECONFIG", help="Which cluster; none: ~/.kube/config.")
@click.option("--context", envvar="CONTEXT", help="Context in that file; none: its current one.")
@click.option("--image-agent", "agent_image", envvar="IMAGE_AGENT", default="", help="As nodes pull it.")
@click.option(
    "--image-mesh", "mesh_image", envvar="IMAGE_MESH", default="", help="As nodes pull it; test pods run it too."
)
@click.option(
    "--pull-policy", envvar="PULL_POLICY", default="",
    type=click.Choice(["", "Always", "IfNotPresent", "Never"]), help="Of all images.",
)  # fmt: skip
@click.option(
    "--pull-secret", envvar="PULL_SECRET", default="", metavar="NAMESPACE/NAME",
    help="Secret to pull with; copied to where it is needed.",
)  # fmt: skip
@click.option("--agent-settings", envvar="AGENT_SETTINGS", default="", help="NAME=VALUE, separated by spaces.")
@click.option("--mesh-settings", envvar="MESH_SETTINGS", default="", help="NAME=VALUE, separated by spaces.")
@click.option("--installed", envvar="INSTALLED", is_flag=True, help="Ipseity is there, and stays as it is.")
@click.option("--clean", envvar="CLEAN", is_flag=True, help="Only take out what earlier runs have left.")
@click.option(
    "--timeout", "limit_s", envvar="TIMEOUT", default=180.0, show_default=True, help="For what is waited for."
)
@click.option("-o", "--output", envvar="OUTPUT", type=click.Choice(["text", "json"]), default="text", show_default=True)
def main(*, agent_settings: str, mesh_settings: str, clean: bool, output: str, **given: Any) -> None:
    """Run as a program."""
    parameters = ground.Parameters(
        agent_settings=tuple(agent_settings.split()), mesh_settings=tuple(mesh_settings.split()), **given
    )
    page = screen.Page.of(sys.stderr if output == "json" else sys.stdout, os.environ)
    kept = record.Record(page)
    began_s = time.monotonic()
    try:
        code = asyncio.run(_clean(parameters, page) if clean else _try(parameters, kept))
    except kube.KubernetesError as error:
        sys.stderr.write(f"test-cluster: error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        sys.exit(_CANNOT)
    if not clean:
        page.print(kept.summary(time.monotonic() - began_s))
        if output == "json":
            print(kept.document(interrupted=code == _INTERRUPTED, took_s=round(time.monotonic() - began_s, 1)))
    sys.exit(code)


async def _try(given: ground.Parameters, kept: record.Record) -> int:
    run = "".join(secrets.choice(_ALPHABET) for _ in range(5))
    async with ground.reached(given, run) as on:
        whose = await own.in_the_way(on)
        if whose and not given.installed:
            killed = "this suite" in whose
            hint = (
                "make test-cluster CLEAN=1"
                if killed
                else "INSTALLED=1 tries what is there, without install, upgrade and uninstall"
            )
            raise kube.KubernetesError(f"Ipseity is in this cluster already, by {whose}", hint=hint)
        whole = await suite.play(on, kept)
    return _INTERRUPTED if not whole else _HOLDS if kept.holds() else _FAILS


async def _clean(given: ground.Parameters, page: screen.Page) -> int:
    async with ground.reached(given, "") as on:
        left = await own.clean(on, lambda text: page.print([text]))
    page.print(left or ["nothing of this suite is left"])
    return _FAILS if left else _HOLDS


if __name__ == "__main__":
    main()
