"""``make bench``: measure, print, and say by the exit status whether every promise is kept."""

import itertools
import os
import sys

from tests.bench import figure, figures, handshake, mesh, routes, stage


def main() -> int:
    """Run as a program."""
    if os.geteuid() != 0:
        print("bench: error: programs cannot be loaded without root\nhint: run it with sudo", file=sys.stderr)
        return 2
    with stage.ready() as where:
        tally = figure.printed(
            itertools.chain(
                figures.all_figures(where), handshake.all_figures(where), mesh.all_figures(), routes.all_figures()
            )
        )
    print(f"{tally.said} ({figure.machine()})")
    return 0 if tally.holds else 1


if __name__ == "__main__":
    sys.exit(main())
