"""``ipseity check``: asks every program of ours what it finds, and prints one answer.

Here because a person has one question, and the programs must not import one another: each registers a
``contribution.Contribution`` as an entry point in the group ``ipseity.checks``. Leaves out every check, and how an
answer looks (``findings``).
"""

import dataclasses
import importlib.metadata
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from ipseity import contribution, findings, screen, settings

GROUP: Final = "ipseity.checks"
HOLDS, DOES_NOT_HOLD = 0, 1
Command = Callable[..., Any]


def contributions() -> dict[str, contribution.Contribution]:
    """Load all, by name, in order."""
    found = {each.name: each.load() for each in importlib.metadata.entry_points(group=GROUP)}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def _asked(command: Command) -> Command:
    """Add the options of all contributions; a setting that several have is one option."""
    seen: set[str] = set()
    decorators = []
    for name, each in contributions().items():
        decorators.append(click.option(f"--{name}", f"only_{name}", is_flag=True, help=each.only))
        decorators.append(settings.click_options(each.settings, without=seen))
        seen |= {field.name for field in dataclasses.fields(each.settings)}
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


@click.command()
@click.option(
    "--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="How it is written.",
)  # fmt: skip
@_asked
def check(output: str, **given: object) -> int:
    """Check what this node lacks for the agent, and, where there is a mesh, whether it is well.

    Changes nothing. Exit code 1 if something fails.
    """
    sections = look(contributions(), given, os.environ)
    page = screen.Page.of(sys.stdout, os.environ)
    page.print([findings.document(sections)] if output == "json" else findings.report(sections, page))
    return HOLDS if findings.hold(sections) else DOES_NOT_HOLD


def look(
    known: Mapping[str, contribution.Contribution], given: Mapping[str, object], environ: Mapping[str, str]
) -> list[findings.Section]:
    """Ask those whose flag was given, or all if none was. Raises SettingError, and what a contribution raises."""
    asked = {name for name in known if given.get(f"only_{name}")}
    loaded: dict[str, object] = {
        name: settings.load(each.settings, given, environ) for name, each in known.items() if not asked or name in asked
    }
    found = [known[name].look(told, asked=name in asked) for name, told in loaded.items()]
    return [section for section in found if section is not None]
