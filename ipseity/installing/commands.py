"""The commands: what a person types, and what is said meanwhile. Leaves out what each step does."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from ipseity import kube
from ipseity.installing import cluster, manifests, removal, trouble

Command = Callable[..., Any]

_WORKLOADS: Final[dict[str, Any]] = {
    "mesh": {"kind": "Deployment", "metadata": {"name": "ipseity-control", "namespace": manifests.NAMESPACE}},
    "agent": {"kind": "DaemonSet", "metadata": {"name": "ipseity-agent", "namespace": manifests.NAMESPACE}},
}
"""What tells whether a part is there, and whether it is ready."""
_HINT_READY: Final = (
    f"see: kubectl -n {manifests.NAMESPACE} get pods, and: kubectl -n {manifests.NAMESPACE} describe pods"
)


def _reach(command: Command) -> Command:
    """Add the options that every command has."""
    for option in (
        click.option(
            "--timeout",
            "limit_s",
            type=click.FloatRange(min=1),
            default=180.0,
            show_default=True,
            metavar="SECONDS",
            help="For each thing that is waited for.",
        ),
        click.option("--dry-run", is_flag=True, help="Have the server judge it all, and change nothing."),
        click.option("--context", metavar="NAME", help="Context in that file; none: its current one."),
        click.option(
            "--kubeconfig", metavar="FILE", help="File to reach the API server with; none: KUBECONFIG, ~/.kube/config."
        ),
    ):
        command = option(command)
    return command


_SETTINGS: Final = {
    "mesh": "Setting of the control plane, as in leaf_life_s=43200; may be repeated.",
    "agent": "Setting of the agent, as in max_edges=131072; may be repeated.",
}


def _pairs(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE. Raises click.BadParameter."""
    del context, option
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{each!r} is not of the form NAME=VALUE, with a name as in docs/cli.md")
        found[name] = value
    return found


def _what(command: Command) -> Command:
    """Add the options that say what is applied."""
    for option in (
        click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until everything is ready."),
        click.option("--force-conflicts", is_flag=True, help="Take over fields that somebody else has set."),
        click.option(
            "--output",
            "-o",
            type=click.Choice(["text", "yaml"]),
            default="text",
            show_default=True,
            help="yaml: print the manifests, and ask no cluster.",
        ),
        click.option(
            "--mesh-image",
            metavar="IMAGE",
            default="",
            help="Instead of this version's own, for control plane and sidecars.",
        ),
        click.option("--agent-image", metavar="IMAGE", default="", help="Instead of this version's own."),
        click.option(
            "--pull-policy",
            type=click.Choice(["Always", "IfNotPresent", "Never"]),
            help="Of all images, also in sidecars.  [default: IfNotPresent]",
        ),
        click.option(
            "--pull-secret",
            "pull_secrets",
            multiple=True,
            metavar="NAME",
            help=f"Secret in {manifests.NAMESPACE} to pull with; may be repeated.",
        ),
        *(
            click.option(
                f"--{part}-setting",
                f"{part}_settings",
                multiple=True,
                metavar="NAME=VALUE",
                callback=_pairs,
                help=help_,
            )
            for part, help_ in _SETTINGS.items()
        ),
        click.option("--only", type=click.Choice(manifests.PARTS), help="Only the agent, or only the mesh."),
    ):
        command = option(command)
    return command


@click.command()
@_what
@_reach
def install(**given: Any) -> int:
    """Install the agent and the mesh of this version into a cluster.

    Server-side apply of the manifests that deploy/chart renders with its defaults; for anything else use the chart.
    """
    return _apply(given, upgrade=False)


@click.command()
@_what
@_reach
def upgrade(**given: Any) -> int:
    """Bring what is installed to this version.

    The control plane comes first, then one agent after the other; sidecars are renewed when their pods are.
    """
    return _apply(given, upgrade=True)


@click.command()
@click.option(
    "--purge", is_flag=True, help="Remove the kinds AuthorizationPolicy and Canary too, and all such objects."
)
@_reach
def uninstall(**given: Any) -> int:
    """Take everything out of a cluster again, programs in the nodes' kernels included.

    In an order in which no pod waits for a webhook that is gone. Running pods keep their sidecars.
    """
    return asyncio.run(_uninstall(**given))


def _apply(given: dict[str, Any], *, upgrade: bool) -> int:
    parts: Sequence[str] = (given["only"],) if given["only"] else ("mesh", "agent")
    choices = manifests.Choices(
        images={"agent": given["agent_image"], "mesh": given["mesh_image"]},
        pull_policy=given["pull_policy"] or "",
        pull_secrets=given["pull_secrets"],
        settings={part: given[f"{part}_settings"] for part in _SETTINGS},
    )
    objects = manifests.chosen(parts, choices)
    if given["output"] == "yaml":
        click.echo(manifests.written(objects), nl=False)
        return 0
    return asyncio.run(_applied(given, parts, objects, upgrade=upgrade))


async def _applied(given: dict[str, Any], parts: Sequence[str], objects: list[manifests.Json], *, upgrade: bool) -> int:
    async with await cluster.Cluster.connect(given["kubeconfig"], given["context"], dry_run=given["dry_run"]) as where:
        await _refuse(where, parts, upgrade=upgrade)
        for each in objects:
            click.echo(f"{manifests.shown(each)} {await where.apply(each, force=given['force_conflicts'])}")
        if given["wait"] and not given["dry_run"]:
            for part in parts:
                await _ready(where, part, given["limit_s"])
    return 0


async def _refuse(where: cluster.Cluster, parts: Sequence[str], *, upgrade: bool) -> None:
    """Refuse to install what is there, to upgrade what is not, and to meddle with what Helm keeps."""
    for part in parts:
        found = await where.get(manifests.path(_WORKLOADS[part]))
        keeper = (found or {}).get("metadata", {}).get("labels", {}).get(manifests.MANAGED_BY)
        if found and keeper != manifests.MANAGER:
            hint = "use what installed it (helm upgrade), or ipseity uninstall first"
            raise kube.KubernetesError(f"the {part} in this cluster is kept by {keeper or 'somebody else'}", hint=hint)
        if found and not upgrade:
            raise kube.KubernetesError(f"the {part} is in this cluster already", hint="use: ipseity upgrade")
        if upgrade and not found:
            raise kube.KubernetesError(
                f"there is no {part} in this cluster", hint=f"use: ipseity install --only {part}"
            )


async def _ready(where: cluster.Cluster, part: str, limit_s: float) -> None:
    path = manifests.path(_WORKLOADS[part])

    async def holds() -> bool:
        return cluster.ready(await where.get(path))

    async def why() -> list[str]:
        pods = await where.items(removal.PODS, labelSelector=f"app={_WORKLOADS[part]['metadata']['name']}")
        events = await where.items(removal.EVENTS)
        return trouble.of_pods(pods, events) or trouble.of_workload(await where.get(path), events)

    await where.until(holds, limit_s, f"the {part} is ready", _HINT_READY, why)
    click.echo(f"the {part} is ready")


async def _uninstall(*, kubeconfig: str | None, context: str | None, dry_run: bool, purge: bool, limit_s: float) -> int:
    async with await cluster.Cluster.connect(kubeconfig, context, dry_run=dry_run) as where:
        work = removal.Removal(where=where, tell=click.echo, limit_s=limit_s)
        await work.everything(purge=purge)
    return 0
