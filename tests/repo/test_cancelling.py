"""A task that is told to end does. Leaves out everything that only running it shows."""

import pytest

from tests.repo import tree


@pytest.mark.parametrize("package", ["agent", "comparisons", "injector", "ipseity"])
def test_nothing_waits_in_a_way_that_may_swallow_a_cancellation(package: str) -> None:
    """Before Python 3.12 ``asyncio.wait_for`` does, where what is waited for comes at that moment: a loop goes on."""
    sources = tree.texts(f"{package}/*.py")
    assert sources
    assert [] == [name for name, text in sources if "asyncio.wait_for(" in text]
