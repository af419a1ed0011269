"""``ipseity ip-policy``: enforce NetworkPolicies on a node, ask what they say, show what they become.

Here because what these commands do is this feature's. Each imports what it runs when it runs. Leaves out who prints
errors (``ipseity.cli``).
"""

# ruff: noqa: PLC0415  # lazy imports are the point, see above

import asyncio
import json
import pathlib
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from comparisons.ip_policy import evaluate, model, places

KUBECONFIG = click.option("--kubeconfig", default=None, metavar="FILE", help="How to reach the Kubernetes API.")
FILES = click.option(
    "-f", "--filename", "files", multiple=True, metavar="FILE", help="As if this were applied, too; may be repeated."
)
OFFLINE = click.option("--offline", is_flag=True, help="Only what the files say; ask no cluster.")
STRICT = click.option(
    "--strict/--no-strict", default=True, show_default=True, help="End connections that are not allowed any more."
)
GATE = click.option(
    "--gate/--no-gate", default=True, show_default=True, help="Let a new pod's traffic wait for its rules."
)
NODE = click.option("--node", required=True, metavar="NAME", help="The node, as the API calls it.")
_ALLOWED, _DENIED = 0, 1


@click.group("ip-policy")
def ip_policy() -> None:
    """NetworkPolicy by IP address: enforce it in the lab, ask it, show its rules."""


@ip_policy.command()
@NODE
@KUBECONFIG
@click.option("--netns", default="", metavar="PATH", help="The node's network namespace.  [default: this one]")
@STRICT
@GATE
@click.option("--log", default="-", show_default=True, metavar="FILE", help="Where delays are written, as JSON lines.")
@click.option("--remove-on-exit", is_flag=True, help="Leave no rules behind.")
def run(  # noqa: PLR0913, PLR0917  # a command line
    node: str,
    kubeconfig: str | None,
    netns: str,
    strict: bool,  # noqa: FBT001  # a flag is a flag
    gate: bool,  # noqa: FBT001  # see above
    log: str,
    remove_on_exit: bool,  # noqa: FBT001  # see above
) -> None:
    """Enforce NetworkPolicies on one node of a lab until stopped."""
    from comparisons.ip_policy import running

    where = pathlib.Path(netns) if netns else None
    asyncio.run(
        running.run(
            running.Wishes(
                node=node, kubeconfig=kubeconfig, netns=where, strict=strict, gate=gate, log=log, remove=remove_on_exit
            )
        )
    )


@ip_policy.command()
@click.argument("source", metavar="FROM")
@click.argument("destination", metavar="TO:PORT[/PROTOCOL]")
@click.option("--namespace", "-n", default="default", show_default=True, metavar="NAME", help="Of names without one.")
@click.option("--output", "-o", type=click.Choice(["table", "json"]), default="table", help="How it is written.")
@KUBECONFIG
@FILES
@OFFLINE
def explain(  # noqa: PLR0913, PLR0917  # a command line
    source: str,
    destination: str,
    namespace: str,
    output: str,
    kubeconfig: str | None,
    files: tuple[str, ...],
    offline: bool,  # noqa: FBT001  # a flag is a flag
) -> int:
    """Say whether FROM may connect to TO, and which policy and rule decide.

    FROM and TO are [NAMESPACE/]POD or an address. PORT is a number or a name.

    Exit code 0 if it is allowed, 1 if it is denied, 2 if it cannot be told.
    """
    from comparisons.ip_policy import evaluate, places

    state = _state(kubeconfig, files, offline=offline)
    found = places.asked(state, source, destination, namespace)
    verdicts = [(each, evaluate.verdict(state, each.connection)) for each in found]
    if output == "json":
        click.echo(json.dumps([_document(each, verdict) for each, verdict in verdicts], indent=2))
    else:
        for each, verdict in verdicts:
            protocol = each.connection.protocol
            port = f"{each.connection.port}/{protocol.value.lower() if protocol else 'any'}"
            word = "allowed" if verdict.allowed else "denied"
            click.echo(f"{each.source} -> {each.destination} {port}: {word}")
            click.echo(f"  egress:  {_word(verdict.egress)}: {verdict.egress}")
            click.echo(f"  ingress: {_word(verdict.ingress)}: {verdict.ingress}")
    return _ALLOWED if all(verdict.allowed for _, verdict in verdicts) else _DENIED


@ip_policy.command()
@NODE
@KUBECONFIG
@FILES
@OFFLINE
@STRICT
@GATE
def render(  # noqa: PLR0913, PLR0917  # a command line
    node: str,
    kubeconfig: str | None,
    files: tuple[str, ...],
    offline: bool,  # noqa: FBT001  # a flag is a flag
    strict: bool,  # noqa: FBT001  # see above
    gate: bool,  # noqa: FBT001  # see above
) -> None:
    """Print a node's rules, as nft -f would take them."""
    from comparisons.ip_policy import compiler, errors, ruleset

    state = _state(kubeconfig, files, offline=offline)
    if node not in state.nodes and not any(pod.node == node for pod in state.pods.values()):
        known = ", ".join(sorted(state.nodes)) or "none"
        raise errors.PolicyError(f"there is no node {node!r}", hint=f"there are: {known}")
    click.echo(ruleset.whole(compiler.compile_for(node, state, compiler.Options(strict=strict, gate=gate))), nl=False)


def _state(kubeconfig: str | None, files: tuple[str, ...], *, offline: bool) -> "model.State":
    from comparisons.ip_policy import errors, gathering

    if offline and not files:
        raise errors.PolicyError("--offline without a file: nothing to decide about", hint="give -f FILE")
    given = gathering.from_files(files)
    known = [] if offline else asyncio.run(gathering.from_cluster(kubeconfig))
    return gathering.state([*known, *given])


def _word(decision: "evaluate.Decision") -> str:
    return "allowed" if decision.allowed else "denied"


def _document(each: "places.Asked", verdict: "evaluate.Verdict") -> dict[str, object]:
    connection = each.connection
    return {
        "source": str(connection.source),
        "destination": str(connection.destination),
        "protocol": connection.protocol.value if connection.protocol else None,
        "port": connection.port,
        "allowed": verdict.allowed,
        **{
            direction: {
                "allowed": end.allowed,
                "reason": end.reason.name.lower(),
                "isolatedBy": list(end.policies),
                "policy": end.policy or None,
                "rule": end.rule if end.policy else None,
            }
            for direction, end in (("egress", verdict.egress), ("ingress", verdict.ingress))
        },
    }
