"""Comparing with a golden file, or writing it."""

import pathlib

import pytest


def check(request: pytest.FixtureRequest, path: pathlib.Path, came_out: str) -> None:
    """Compare with what is in the file; with ``--update`` write it."""
    if request.config.getoption("--update"):
        path.write_text(came_out)
    assert path.is_file(), f"{path.name} is missing: run with --update, and read what it writes"
    assert path.read_text() == came_out
