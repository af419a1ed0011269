"""Options of every level of tests."""

import signal

import hypothesis
import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # What runs in the background of a script is deaf to it, and so is what tests start, which would never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("brief", max_examples=25, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=10_000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update`` writes golden files instead of comparing with them."""
    parser.addoption("--update", action="store_true", help="Write what came out into the golden files.")
