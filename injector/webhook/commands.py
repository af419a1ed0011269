"""``ipseity inject`` and ``ipseity uninject``: manifests in, manifests out.

Here because what the webhook does must be had without a cluster. The YAML goes to stdout, one line on each object to
stderr. Leaves out what is done: ``manifests``.
"""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from injector.webhook import manifests, options
from ipseity import settings

_Command = Callable[..., Any]


def _input(command: _Command) -> _Command:
    """Add the options that say what is read."""
    command = click.option(
        "--namespace", "-n", default="default", metavar="NAME", show_default=True, help="Of objects that name none."
    )(command)
    return click.option(
        "--filename",
        "-f",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, allow_dash=True),
        metavar="FILE",
        help="Manifests, YAML or JSON; - is standard input, and the default.",
    )(command)


@click.command()
@_input
@settings.click_options(options.Options)
def inject(filename: tuple[str, ...], namespace: str, **flags: object) -> None:
    """Write manifests with the sidecar in them, as the webhook would put it there.

    Every pod and pod template is injected, but those that say ipseity.io/inject: disabled. Comments are lost.
    """
    loaded = settings.load(options.Options, flags, os.environ)
    installation = options.installation(loaded, importlib.metadata.version("ipseity"))
    _print(
        [manifests.inject(_read(name), _title(name), installation, namespace=namespace) for name in _names(filename)]
    )


@click.command()
@_input
def uninject(filename: tuple[str, ...], namespace: str) -> None:
    """Write manifests without the sidecar: exactly what injection added is taken out. Comments are lost."""
    _print([manifests.uninject(_read(name), _title(name), namespace=namespace) for name in _names(filename)])


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    return given or ("-",)


def _title(name: str) -> str:
    return "standard input" if name == "-" else name


def _read(name: str) -> str:
    with click.open_file(name, "rb") as file:
        found: bytes = file.read()
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise manifests.Unusable(f"{_title(name)}: not text in UTF-8: {error}", hint="nothing was written") from error


def _print(rewritten: Sequence[manifests.Rewritten]) -> None:
    """Nothing is written before all could be made: half a file is worse than none."""
    sys.stdout.write("---\n".join(each.text for each in rewritten if each.text))
    for each in rewritten:
        for note in each.notes:
            click.echo(note, err=True)
