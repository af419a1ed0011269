"""``make prove [WHAT=name]``: list the claims, or measure one.

Exit status 0: it holds, 1: it does not, 2: it cannot be measured. Claims are listed from their docstrings without being
imported, so that the list is there even if a claim's needs are not.
"""

import ast
import importlib
import pathlib
import signal
import sys
import time

from tests.prove import verdict

HERE = pathlib.Path(__file__).parent
NOT_CLAIMS = {"verdict"}
"""And whatever begins with an underscore: parts of claims."""


def claims() -> dict[str, str]:
    """Names of the claims, and the first line of each one's docstring."""
    files = sorted(path for path in HERE.glob("[!_]*.py") if path.stem not in NOT_CLAIMS)
    return {path.stem.replace("_", "-"): summary(path) for path in files}


def summary(path: pathlib.Path) -> str:
    """First line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def show(known: dict[str, str]) -> int:
    """Print what can be asked for."""
    width = max(map(len, known))
    for name, line in known.items():
        print(f"make prove WHAT={name:{width}}  {line}")
    return 0


def measure(name: str, line: str) -> int:
    """Put one claim to the test and print what was found."""
    print(f"{name}: {line}", flush=True)
    module = importlib.import_module(f"tests.prove.{name.replace('-', '_')}")
    started_s = time.monotonic()
    try:
        found: verdict.Verdict = module.prove()
    except verdict.CannotMeasure as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        print(f"hint: {error.hint}", file=sys.stderr)
        return 2
    for row in found.lines:
        print(f"  {row}")
    took_s = time.monotonic() - started_s
    print(f"{name}: {'holds' if found.holds else 'DOES NOT HOLD'} (measured in {took_s:.0f} s)")
    print(found.figure)
    return 0 if found.holds else 1


def main(arguments: list[str]) -> int:
    """Run as a program."""
    known = claims()
    if not arguments:
        return show(known)
    (name,) = arguments
    if name not in known:
        print(f"prove: error: no claim is called {name!r}", file=sys.stderr)
        print(f"hint: the claims are {', '.join(known)}", file=sys.stderr)
        return 2
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # In the background of a script everything is deaf to it, also what a claim starts and presses Ctrl-C at.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what it has brought up is taken down
    return measure(name, known[name])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
