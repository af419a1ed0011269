"""``ipseity compare --from-cluster``: the page's observational half, and the policies that a cluster's flows suggest.

Here because it plays nothing: flows and objects are read, nothing is changed. Prints, and decides nothing:
``observed.run`` looks, ``report`` writes.
"""

import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any, Final

import click

from comparisons import report, results
from comparisons.ip_policy import errors
from comparisons.observed import run, told

_OPTIONS: Final = (
    click.option("--from-cluster", is_flag=True, help="Look at a cluster's own flows and policies; play nothing."),
    click.option(
        "--flows", multiple=True, metavar="FILE", help="With --from-cluster: flow records, - for standard input."
    ),
    click.option("--server", "servers", multiple=True, metavar="URL", help="With --from-cluster: an agent's API."),
    click.option("-f", "--filename", "files", multiple=True, metavar="FILE", help="Objects, as if they were applied."),
    click.option("--offline", is_flag=True, help="Only the objects that the files have; ask no cluster."),
    click.option("--kubeconfig", default=None, metavar="FILE", help="How to reach the Kubernetes API."),
    click.option(
        "--print",
        "policies",
        type=click.Choice(["identity", "network"]),
        default=None,
        help="Print the suggested policies of one kind as YAML, and nothing else.",
    ),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what ``--from-cluster`` may be told."""
    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def look(folder: pathlib.Path, command: str, *, as_json: bool, said: dict[str, Any]) -> None:
    """Look, write the page, and say the most important of it."""
    wishes = run.Wishes(
        flows=said["flows"],
        servers=said["servers"],
        files=said["files"],
        offline=said["offline"],
        kubeconfig=said["kubeconfig"],
        command=command,
    )
    found = run.look(wishes)
    results.write(folder / report.RESULTS / report.OBSERVED / "results.json", found)
    report.write(folder)
    if said["policies"]:
        click.echo(report.policies(found, said["policies"]), nl=False)
    elif as_json:
        click.echo(json.dumps(_short(found, folder), indent=2))
    else:
        for line in _lines(found):
            click.echo(line)
        click.echo(f"report: {folder / 'report.html'}")


def refuse(said: dict[str, Any]) -> None:
    """Refuse what means nothing without ``--from-cluster``."""
    given = [name for name in ("flows", "servers", "files", "offline", "kubeconfig", "policies") if said[name]]
    if given:
        names = {"servers": "--server", "files": "--filename", "policies": "--print"}
        words = ", ".join(names.get(name, f"--{name}") for name in given)
        raise errors.PolicyError(f"{words}: only with --from-cluster", hint="ipseity compare --from-cluster --help")


def _short(found: told.Observed, folder: pathlib.Path) -> dict[str, object]:
    return {
        "checked": found.checked,
        "wrong": found.wrong,
        "lets_in": sum(it.outcome == "lets_in" for it in found.misjudged),
        "keeps_out": sum(it.outcome == "keeps_out" for it in found.misjudged),
        "idle": len(found.idle),
        "bare": [it.namespace for it in found.bare],
        "suggested": [f"{it.namespace}/{it.workload}" for it in found.suggestions],
        "refused": len(found.refused),
        "report": str(folder / "report.html"),
    }


def _lines(found: told.Observed) -> list[str]:
    short = {it: sum(each.outcome == it for each in found.misjudged) for it in ("lets_in", "keeps_out")}
    bare = ", ".join(it.namespace for it in found.bare) or "none"
    odd = f"; {found.unreadable} lines could not be read ({found.unreadable_why})" if found.unreadable else ""
    return [
        f"{found.records} flows of {len(found.nodes)} nodes, {found.first} to {found.last}{odd}",
        f"addresses named somebody else in {found.wrong} of {found.checked} ends that could be checked",
        f"policies in force: a wrong pod let in: {short['lets_in']} cases, a right one refused: {short['keeps_out']}",
        f"{len(found.idle)} policies or rules do nothing; namespaces without a policy: {bare}",
        f"suggested for {len(found.suggestions)} workloads; {len(found.refused)} rules refused, with the reason",
    ]
