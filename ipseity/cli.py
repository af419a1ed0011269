"""The front door: one command group whose commands register themselves, and what a person sees when one fails.

Here because the programs share one console script and must not import one another. A command is an entry point in the
group ``ipseity.commands``; only the one that was asked for is imported, and its one-line help is read from the source
text without importing it. Leaves out every command: those are the programs' own.

Exit codes: 0 holds, 1 does not hold, 2 used wrongly or cannot run, 130 interrupted.
"""

import ast
import importlib.metadata
import importlib.util
import os
import pathlib
import sys
import traceback
import typing

import click

GROUP = "ipseity.commands"
HOLDS, DOES_NOT_HOLD, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 130


class _SeenEnoughError(Exception):
    """The reader of our output (head, less) has closed it."""


class Commands(click.Group):
    """The entry points of ``ipseity.commands`` as a click group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in alphabetical order."""
        del ctx
        return sorted(_entry_points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, or None if there is no such command."""
        del ctx
        entry_point = _entry_points().get(cmd_name)
        return typing.cast("click.Command", entry_point.load()) if entry_point else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Turn a wrong name into an error that lists the right ones."""
        if args and args[0] not in _entry_points() and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}; there are: {', '.join(self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a reader that went away is no error, and click would make it exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _SeenEnoughError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print each command with its line, importing none of them."""
        rows = [(name, one_line(entry_point)) for name, entry_point in sorted(_entry_points().items())]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
        del ctx


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ipseity", message="%(package)s %(version)s")
def ipseity() -> None:
    """Who, not which IP: pod identity for network flows, from the kernel's own evidence."""


def one_line(entry_point: importlib.metadata.EntryPoint) -> str:
    """Give the first line of a command's docstring, from its source; empty if it cannot be read."""
    try:
        spec = importlib.util.find_spec(entry_point.module)
        source = pathlib.Path(spec.origin).read_text() if spec and spec.origin else ""
        tree = ast.parse(source)
    except (ImportError, OSError, SyntaxError, ValueError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry_point.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def main(args: list[str] | None = None) -> typing.NoReturn:
    """Run the command line and exit. The only place that prints errors."""
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. A command may return one, or None for "holds"."""
    try:
        result = ipseity.main(args=args, prog_name="ipseity", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except _SeenEnoughError:
        _silence_output()
        return HOLDS
    except Exception as error:  # noqa: BLE001  # the outermost place: every error ends as a message and a code
        return _explain(error)
    return result if isinstance(result, int) else HOLDS


def _explain(error: Exception) -> int:
    """Print what was wrong and what to do. An error of ours is known by its ``hint``; anything else is a defect."""
    hint = getattr(error, "hint", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
    elif isinstance(error, click.ClickException):
        _complain(error.format_message(), _usage_hint(error))
    elif hint is not None:
        _complain(str(error), str(hint))
    else:
        traceback.print_exception(error)
        _complain(f"{type(error).__name__}: {error}", "this is a defect in ipseity; the lines above say where")
    return CANNOT_RUN


def _silence_output() -> None:
    """Send what is still buffered nowhere: the interpreter flushes it at exit, and would end with code 120."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else ""


def _complain(message: str, hint: str) -> None:
    click.echo(f"ipseity: error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {found.name: found for found in importlib.metadata.entry_points(group=GROUP)}
