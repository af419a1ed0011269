"""Everything that a user can meet is in docs/: commands, flags, metrics, programs, decisions.

Leaves out whether it is well said.
"""

import importlib.metadata
import re
from collections.abc import Iterator
from typing import Any

import click
import prometheus_client
import pytest

from agent import catalogue
from injector.discovery import metrics as discovery_metrics
from injector.identity import metrics as identity_metrics
from injector.rollout import metrics as rollout_metrics
from injector.seeing import measured
from injector.webhook import metrics as webhook_metrics
from ipseity import cli
from tests.repo import tree

DOCS = tree.ROOT / "docs"


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Walk a command and what is below it, with full names."""
    yield name, command
    if isinstance(command, click.Group):
        for below, subcommand in command.commands.items():
            yield from commands(f"{name} {below}", subcommand)


def every_command() -> list[tuple[str, click.Command]]:
    """Load all commands that are registered."""
    found = importlib.metadata.entry_points(group=cli.GROUP)
    return [pair for entry in found for pair in commands(f"ipseity {entry.name}", entry.load())]


def test_every_command_and_flag_is_in_the_manual() -> None:
    """docs/cli.md names each command, and each flag of each command."""
    manual = (DOCS / "cli.md").read_text()
    missing = []
    for name, command in every_command():
        flags = [max(param.opts, key=len) for param in command.params if isinstance(param, click.Option)]
        missing += [word for word in (name, *flags) if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", manual)]
    assert [] == sorted(set(missing))


def test_every_metric_is_documented() -> None:
    """docs/metrics.md names each metric as a query does."""
    page = (DOCS / "metrics.md").read_text()
    metrics = [value for value in vars(catalogue).values() if isinstance(value, catalogue.Metric)]
    assert metrics
    assert [] == [metric.exposed for metric in metrics if f"`{metric.exposed}`" not in page]


def test_every_metric_of_the_mesh_is_documented() -> None:
    """docs/metrics.md has a row for each metric of the control plane, with its kind and labels."""
    page = (DOCS / "metrics.md").read_text()
    registry = prometheus_client.CollectorRegistry()
    for part in (identity_metrics, webhook_metrics, discovery_metrics, rollout_metrics):
        part.Metrics(registry)
    rows = [row_of(metric) for metric in vars(registry)["_collector_to_names"]]
    assert len(rows) > 30
    assert [] == [row for row in rows if f"\n{row}" not in page]


def row_of(metric: Any) -> str:
    """Begin the row of a metric as a query names it."""
    kind, labels = metric._type, ", ".join(f"`{label}`" for label in metric._labelnames) or "-"
    return f"| `{metric._name}{'_total' if kind == 'counter' else ''}` | {kind} | {labels} |"


def test_every_series_that_is_read_of_a_sidecar_is_documented() -> None:
    """Those of Envoy that ``ipseity stat`` and ``ipseity edges`` rest on."""
    page = (DOCS / "metrics.md").read_text()
    whole = [name for name in measured.WANTED if not name.endswith("_bytes_total")]
    assert [] == [name for name in whole if f"`{name}`" not in page]


def test_every_kernel_program_has_its_row() -> None:
    """bpf/README.md has a row for each C file."""
    page = (tree.ROOT / "bpf/README.md").read_text()
    assert [] == [path.name for path in tree.files("bpf/*.c") if f"| `{path.name}` |" not in page]


def test_every_kernel_source_says_its_licence() -> None:
    """The kernel's own rule: the first line is an SPDX tag."""
    tag = "/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */"
    ours = [(path, text) for path, text in tree.texts("bpf/*.c", "bpf/*.h") if "include/kernel/" not in path]
    assert [] == [path for path, text in ours if not text.startswith(tag)]


def test_every_decision_is_listed_and_dated() -> None:
    """A page in docs/adr has a date and a state below its title, and a row in the index."""
    index = (DOCS / "adr/README.md").read_text()
    pages = [path for path in tree.files("docs/adr/*.md") if path.name != "README.md"]
    head = re.compile(r"# \d{4}: .+\n\n20\d\d-\d\d-\d\d, (accepted|superseded by \d{4})\n")
    assert [] == [path.name for path in pages if path.name not in index or not head.match(path.read_text())]


def test_the_changelog_says_what_is_new() -> None:
    """In the form of Keep a Changelog, newest first."""
    sections = re.findall(r"^## (.+)$", (tree.ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", section) for section in sections[1:])


@pytest.mark.parametrize("path", tree.files("*.md"), ids=lambda path: str(path.relative_to(tree.ROOT)))
def test_every_link_leads_somewhere(path: object) -> None:
    """A relative link in a page is a file that is tracked."""
    page = tree.ROOT / str(path)
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text())
    assert [] == [target for target in targets if not (page.parent / target).exists()]
