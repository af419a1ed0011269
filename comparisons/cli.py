"""``ipseity lab``: a node in a box from the command line.

Here because a newcomer has no cluster. Prints, and decides nothing: ``lab.lab`` does. What a container prints under
``lab exec`` is its own.
"""

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

import click

from comparisons.lab import cgroups, containers, errors, layout, plan
from comparisons.lab import lab as labs
from ipseity import screen, table

NAME = click.option("--name", default="lab", show_default=True, help="Which lab; several may be up at a time.")
_COLOURS = {labs.Health.RUNNING: table.Colour.GREEN, labs.Health.DEAD: table.Colour.RED}
_COLUMNS = tuple(table.Column(title=title) for title in ("NODE", "STATE", "ADDRESS", "PODS", "CGROUP"))


@click.group()
def lab() -> None:
    """Nodes in a box: real pods on this machine, with a Kubernetes API of their own."""


@lab.command()
@NAME
@click.option("--nodes", type=int, default=None, help=f"How many nodes.  [default: {labs.DEFAULT_NODES}]")
@click.option(
    "--pod-cidr", default="", help="IPv4 range of all pods, at least a /29 per node.  [default: a free 10.x.0.0/16]"
)
@click.option("--kubeconfig", default="", help="Join the cluster of this file instead of serving an API.")
@click.option("--rbac", is_flag=True, help="Roles bind: programs in pods may do what their roles say, and no more.")
def up(name: str, nodes: int | None, pod_cidr: str, kubeconfig: str, rbac: bool) -> None:  # noqa: FBT001  # a flag is a flag
    """Bring a lab up, or bring back what died of it."""
    names = layout.Lab(name=name)
    _show(labs.up(names, labs.Wishes(nodes=nodes, pod_cidr=pod_cidr, kubeconfig=kubeconfig, rbac=rbac)))
    click.echo(f"next: export KUBECONFIG={names.kubeconfig}; kubectl get pods -A -o wide")


@lab.command()
@NAME
def down(name: str) -> None:
    """Remove a lab and everything in it, however it is."""
    plan.check_name(name)
    was = labs.down(layout.Lab(name=name))
    click.echo(f"lab {name} is gone" if was else f"there was no lab {name}")


@lab.command()
@NAME
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", help="How to print it.")
def status(name: str, output: str) -> int:
    """Say how a lab is: 0 if all of it runs, 1 if not."""
    state = labs.state(layout.Lab(name=name))
    if state is None:
        click.echo(f"lab {name} is not up\nnext: ipseity lab up --name {name}")
        return 1
    if output == "json":
        click.echo(json.dumps({**plan.to_json(state.plan), "health": state.health}, indent=2))
    else:
        _show(state)
    return 0 if set(state.health.values()) == {labs.Health.RUNNING} else 1


@lab.command()
@NAME
@click.option("--raw", is_flag=True, help="Print the file, not its path.")
def kubeconfig(name: str, raw: bool) -> None:  # noqa: FBT001  # a flag is a flag
    """Print the path of a lab's kubeconfig."""
    path = layout.Lab(name=name).kubeconfig
    if not path.exists():
        raise errors.LabError(f"lab {name!r} is not up", hint=f"ipseity lab up --name {name}")
    click.echo(path.read_text() if raw else str(path))


@lab.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@NAME
@click.option("-n", "--namespace", default="default", show_default=True, help="The pod's namespace.")
@click.option("-c", "--container", default="", help="Which container.  [default: the first that runs]")
@click.option("-t", "--tty", is_flag=True, help="Give the command this terminal.")
@click.argument("pod")
@click.argument("command", nargs=-1, required=True)
def execute(name: str, namespace: str, container: str, tty: bool, pod: str, command: tuple[str, ...]) -> int:  # noqa: FBT001, PLR0913, PLR0917  # a command line
    """Run a command in a container of a pod: lab exec POD -- CMD."""
    names = layout.Lab(name=name)
    state = labs.state(names)
    if state is None:
        raise errors.LabError(f"lab {name!r} is not up", hint=f"ipseity lab up --name {name}")
    node, identity = _running(state, namespace, pod, container)
    arguments = [
        containers.program(),
        "--root",
        str(names.node(node).runc),
        "exec",
        *(["--tty"] if tty else []),
        identity,
    ]
    words = command[1:] if command[0] == "--" else command
    return subprocess.run([*arguments, *words], check=False).returncode  # noqa: S603  # the person's own command, as given


def _running(state: labs.State, namespace: str, pod: str, container: str) -> tuple[str, str]:
    """Return the node and the id of a running container, as the API tells them."""
    found = _get(state.names, f"/api/v1/namespaces/{namespace}/pods/{pod}")
    status = found.get("status") or {}
    known = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    for it in known:
        if "running" in (it.get("state") or {}) and container in ("", it["name"]):
            return found["spec"]["nodeName"], it["containerID"].partition("://")[2]
    which = f"container {container!r}" if container else "container"
    raise errors.LabError(f"no {which} of pod {pod!r} runs", hint=f"kubectl -n {namespace} describe pod {pod}")


def _get(names: layout.Lab, path: str) -> dict[str, Any]:
    import asyncio  # noqa: PLC0415  # with the client below, half a second that only exec pays

    from ipseity import kube  # noqa: PLC0415  # see above

    async def read() -> dict[str, Any]:
        api = await kube.connect(str(names.kubeconfig))
        try:
            return dict(json.loads(await kube.get(api, path)))
        finally:
            await api.close()

    return asyncio.run(read())


def _show(state: labs.State) -> None:
    page = screen.Page.of(sys.stdout, os.environ)
    up = set(state.health.values()) == {labs.Health.RUNNING}
    api = "its own API" if not state.plan.kubeconfig else f"the API of {state.plan.kubeconfig}"
    rows = [_row(state, node) for node in state.plan.nodes]
    page.print([f"lab {state.plan.name} {'is up' if up else 'is broken'}: {len(state.plan.nodes)} nodes, {api}"])
    page.print(table.lines(_COLUMNS, rows, width=None, colour=page.colour))
    if not up:
        dead = ", ".join(name for name, health in state.health.items() if health is labs.Health.DEAD)
        page.print([f"not running: {dead}; see {state.names.log('*').parent}"])
        page.print([f"next: ipseity lab up --name {state.plan.name}"])


def _row(state: labs.State, node: plan.NodePlan) -> list[table.Cell]:
    health, names = state.health[node.name], state.names.node(node.name)
    plain = [node.ips[0], node.pod_cidrs[0], _cgroup_root(names)]
    return [table.Cell(node.name), table.Cell(health, _COLOURS[health]), *map(table.Cell, plain)]


def _cgroup_root(names: layout.Node) -> str:
    with contextlib.suppress(errors.LabError, OSError):
        return str(cgroups.unified() / names.cgroup.lstrip("/"))
    return names.cgroup
