"""What a real kube-apiserver (v1.36.2) said, as the tests' golden input: ``tests/vectors/kubernetes/*.json``."""

import json
import pathlib
from typing import Any

_FOLDER = pathlib.Path(__file__).parent.parent / "vectors" / "kubernetes"


def load(name: str) -> Any:
    """Give one recording as it is in its file."""
    return json.loads((_FOLDER / f"{name}.json").read_text())


def lines(name: str) -> list[bytes]:
    """Give the raw lines of a recorded watch."""
    return [line.encode() for line in load(name)["lines"]]
