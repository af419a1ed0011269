"""``make scale``: measure every half, print, and say by the exit status whether every aim is met.

    python -m tests.scale [HALF...]

Without a name, all halves, one after the other.
"""

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping

from tests.bench import figure
from tests.scale import agent, control

HALVES: Mapping[str, Callable[[], Iterator[figure.Figure]]] = {
    "control": control.figures,
    "agent": agent.figures,
}


def main(words: list[str]) -> int:
    """Run as a program."""
    unknown = [word for word in words if word not in HALVES]
    if unknown:
        print(f"scale: error: there is no {unknown[0]!r}\nhint: there are {', '.join(HALVES)}", file=sys.stderr)
        return 2
    tally = figure.printed(itertools.chain.from_iterable(HALVES[word]() for word in words or HALVES))
    print(f"{tally.said} ({figure.machine()})")
    return 0 if tally.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
