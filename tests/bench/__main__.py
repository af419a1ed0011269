"""``make bench``: measure, print, and say by the exit status whether every promise is kept."""

import os
import sys

from tests.bench import figures, stage


def main() -> int:
    """Run as a program."""
    if os.geteuid() != 0:
        print("bench: error: programs cannot be loaded without root\nhint: run it with sudo", file=sys.stderr)
        return 2
    found = []
    with stage.ready() as where:
        for figure in figures.all_figures(where):
            print(figure.row(), flush=True)
            found.append(figure)
    kept = sum(figure.holds for figure in found)
    machine = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"{kept} of {len(found)} figures within their limits ({machine})")
    return 0 if kept == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
