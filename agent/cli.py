"""The agent's commands: ``ipseity agent``, ``observe``, ``who-owned``, ``handshake``.

Here because flags are what people learn by heart, so they stand in one place; those of ``observe`` have the names that
``hubble observe`` gave them. Each command imports what it runs when it runs: the agent's process never pays for tables,
nor ``--help`` for the agent. Leaves out what flags mean (``flags``) and who prints errors (``ipseity.cli``).
"""

# ruff: noqa: PLC0415  # lazy imports are the point, see above

import asyncio
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from agent import config, verdicts
from ipseity import settings

Command = Callable[..., Any]


class _RunByDefault(click.Group):
    """``ipseity agent --flag`` is ``ipseity agent run --flag``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the sub-command that was left out."""
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault)
def agent() -> None:
    """Run the node agent, or remove what it left in the kernel."""


@agent.command()
@settings.click_options(config.Config)
def run(**flags: object) -> int:
    """Run the agent until SIGTERM. This is what ``ipseity agent`` does."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # structlog imports it for tracebacks: 4 MB a node
    from agent import app

    return app.run(settings.load(config.Config, flags, os.environ))


@agent.command()
@click.option("--bpffs", metavar="DIR", help="Where the BPF file system is mounted.  [IPSEITY_BPFFS]")
@click.option("--instance", metavar="NAME", help="Whose pins to remove.  [IPSEITY_INSTANCE]")
@click.option(
    "--checkpoint",
    envvar="IPSEITY_CHECKPOINT",
    metavar="FILE",
    help="To remove as well.  [IPSEITY_CHECKPOINT, or none]",
)
def cleanup(checkpoint: str | None, **flags: object) -> int:
    """Remove every pin and program of this instance, its checkpoint if that is named, and nothing else."""
    from agent import attach

    loaded = settings.load(config.Config, flags, os.environ)
    removed = attach.cleanup(loaded.bpffs, loaded.instance)
    if checkpoint and pathlib.Path(checkpoint).exists():
        pathlib.Path(checkpoint).unlink()
        removed.append(checkpoint)
    for path in removed:
        click.echo(f"removed {path}")
    click.echo(f"{len(removed)} removed" if removed else "there was nothing to remove")
    return 0


def _server(command: Command) -> Command:
    """Add the option that says which agents are asked."""
    return click.option(
        "--server",
        multiple=True,
        metavar="URL",
        help="An agent's API: unix://PATH or http://127.0.0.1:PORT. Several are seen as one.  [IPSEITY_API]",
    )(command)


def _many(*names: str, metavar: str, text: str) -> Callable[[Command], Command]:
    """Add an option whose values are alternatives."""
    return click.option(*names, multiple=True, metavar=metavar, help=text)


def _output(*choices: str) -> Callable[[Command], Command]:
    """Add the option that says how the answer is written."""
    kind = click.Choice(choices)
    return click.option("--output", "-o", type=kind, default="table", show_default=True, help="How it is written.")


def _reason(command: Command) -> Command:
    """Add the filter for why an answer was wrong."""
    reasons = click.Choice([reason.value for reason in verdicts.Mismatch if reason])
    return click.option("--reason", multiple=True, type=reasons, help="Only what was wrong for this reason.")(command)


def _end_filters(command: Command) -> Command:
    """Add the filters that exist for either end, for the source and for the destination."""
    for prefix, side in (("to-", "the destination"), ("from-", "the source"), ("", "one of the ends")):
        namespace, label = ((), ()) if prefix else (("-n",), ("-l",))
        command = _many(f"--{prefix}ip", metavar="CIDR", text=f"Address or prefix of {side}.")(command)
        command = _many(f"--{prefix}label", *label, metavar="SELECTOR", text=f"Labels of {side}: app=web,!old.")(
            command
        )
        command = _many(f"--{prefix}namespace", *namespace, metavar="NAME", text=f"Namespace of {side}.")(command)
        command = _many(f"--{prefix}pod", metavar="[NS/]PREFIX", text=f"Start of the pod name of {side}.")(command)
    return command


@click.command()
@_server
@_end_filters
@click.option("--port", multiple=True, type=click.IntRange(0, 65535), metavar="PORT", help="Port of one of the ends.")
@click.option("--protocol", multiple=True, type=click.Choice(["tcp", "udp"], case_sensitive=False), help="Transport.")
@click.option(
    "--evidence",
    multiple=True,
    type=click.Choice(["kernel", "handshake", "ip", "none"]),
    help="What the name of one of the ends rests on.",
)
@click.option("--mismatch", is_flag=True, help="Only flows for which some answer was wrong.")
@_reason
@click.option(
    "--traffic-direction",
    multiple=True,
    type=click.Choice(["ingress", "egress"], case_sensitive=False),
    help="Egress: as the source's node saw it; ingress: as the destination's.",
)
@click.option("--type", multiple=True, type=click.Choice(["edge", "connection"]), help="Type of record.")
@_many("--node-name", metavar="NAME", text="Node whose agent reported.")
@click.option("--since", metavar="TIME", help="From then on: 5m (ago), 12:03:07, 2026-11-22T12:03:07Z.")
@click.option("--last", type=click.IntRange(min=0), metavar="N", help="Only the last N flows that match.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes; on a terminal, redraw the table.")
@_output("table", "wide", "json", "jsonl")
@click.option(
    "--aggregate-by",
    type=click.Choice(["workload", "pod", "service-account", "namespace", "none"]),
    help="What is one row; none: every flow.  [default: workload; none for jsonl, and for -f in a pipe]",
)
def observe(**given: Any) -> int:
    """Show who talks to whom, and what each name rests on.

    Values of one filter are alternatives; different filters must all hold.
    """
    from agent import flags
    from agent import observe as observing
    from ipseity import screen

    page = screen.Page.of(sys.stdout, os.environ)
    question = flags.question(given, now_wall_ns=time.time_ns(), terminal=page.terminal, environ=os.environ)
    return observing.run(question, page, sys.stderr)


@click.command()
@_server
@click.option(
    "--method",
    type=click.Choice(["ip", "ip_read", "handshake"]),
    default="ip",
    show_default=True,
    help="Whose answer: a look-up of the address when it happened, when it was read, or the handshake.",
)
@_reason
@_many("--namespace", "-n", metavar="NAME", text="Namespace of who it was, or of whom the address named.")
@_output("table", "wide", "json")
def mismatches(**given: Any) -> int:
    """Show how often an address would have named somebody else: whom, why, since when and for how long."""
    from agent import flags
    from agent import mismatches as misnamed
    from ipseity import screen

    page = screen.Page.of(sys.stdout, os.environ)
    return misnamed.run(flags.misnamed(given, os.environ), page, output=given["output"])


@click.command()
@_server
@_output("table", "json")
@click.argument("question", metavar="IP[@TIME]")
def who_owned(server: tuple[str, ...], output: str, question: str) -> int:
    """Tell who had an address at a time (12:03:07, 5m ago, RFC 3339; default: now).

    Exit code 0 if exactly one owner is known, else 1.
    """
    from agent import flags, owners
    from ipseity import screen

    try:
        asked = owners.parse(question, time.time_ns())
    except ValueError as error:
        raise click.UsageError(f"{question!r}: {error}") from error
    answer = owners.best(owners.ask(asked, flags.servers(server, os.environ)))
    page = screen.Page.of(sys.stdout, os.environ)
    return owners.run(asked, answer, page, as_json=output == "json")


@click.group()
def handshake() -> None:
    """Make, replace and look at the keys that sign identities in TCP handshakes."""


def _secret(command: Command) -> Command:
    """Add the options that say which Secret of which cluster."""
    for option in (
        click.option("--context", metavar="NAME", help="Context in the kubeconfig."),
        click.option("--kubeconfig", metavar="FILE", help="Kubeconfig; else KUBECONFIG, ~/.kube/config, or the pod's."),
        click.option(
            "--secret",
            default="ipseity-system/ipseity-handshake",
            show_default=True,
            metavar="NS/NAME",
            help="Secret with the keys.",
        ),
    ):
        command = option(command)
    return command


def _settle(command: Command) -> Command:
    """Add the option that says how patient a rotation is."""
    return click.option(
        "--settle",
        "settle_s",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="How long every agent is given to have heard of a step.  [default: 60]",
    )(command)


def _patience(settle_s: float | None) -> float:
    from agent import keys

    return keys.SETTLE_S if settle_s is None else settle_s


def _where(secret: str, kubeconfig: str | None, context: str | None) -> Any:
    from agent import keysecret, rotating

    try:
        place = keysecret.Place.parse(secret)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--secret") from error
    return rotating.Where(place=place, kubeconfig=kubeconfig, context=context)


@handshake.command()
@_secret
def init(**where: Any) -> int:
    """Make the Secret with a random key, if there is none."""
    from agent import rotating

    return _code(asyncio.run(rotating.init(_where(**where), click.echo)))


@handshake.command()
@_settle
@_secret
def status(settle_s: float | None, **where: Any) -> int:
    """Say which keys there are, by fingerprint, and where a rotation stands.

    Exit code 1: a rotation is under way.
    """
    from agent import rotating

    return _code(asyncio.run(rotating.status(_where(**where), click.echo, settle_s=_patience(settle_s))))


@handshake.command()
@click.option("--plan", "mode", flag_value="plan", default="plan", help="Say what is next and what to wait for.")
@click.option("--apply", "mode", flag_value="apply", help="Take the next step, if every agent has had its time.")
@click.option("--wait", is_flag=True, help="With --apply: go on until the old key is gone.")
@_settle
@_secret
def rotate(mode: str, settle_s: float | None, *, wait: bool, **where: Any) -> int:
    """Replace the key in three steps, while everything runs and no connection loses its evidence.

    Exit code 1: something has to be waited for.
    """
    from agent import rotating

    asked = rotating.rotate(_where(**where), click.echo, apply=mode == "apply", wait=wait, settle_s=_patience(settle_s))
    return _code(asyncio.run(asked))


def _code(holds: bool) -> int:  # noqa: FBT001  # the one thing it turns into an exit code
    return 0 if holds else 1
