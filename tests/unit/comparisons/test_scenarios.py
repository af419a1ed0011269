"""Every scenario says what it must, before it is run; one that does not is refused. Leaves out playing them."""

import pathlib

import pytest

from comparisons import contenders, scenarios

ALL = scenarios.load()


@pytest.mark.parametrize("name", ALL)
def test_a_scenario_claims_something_of_contenders_that_exist(name: str) -> None:
    """The baseline, both kinds of policy, and where the claim comes from."""
    told = ALL[name].told
    assert {"nothing", "ip", "sidecar"} <= set(told.expect) <= set(contenders.CATALOGUE)
    assert told.claim
    assert told.question.endswith("?")
    assert told.sources
    assert all(each.because for each in told.parameters)
    assert hasattr(ALL[name].drive, "prepare")
    assert hasattr(ALL[name].drive, "play")


def test_there_are_scenarios_on_every_side() -> None:
    """Where the address misleads, where identity loses, and where neither helps."""
    assert {"address", "identity", "both"} == {it.told.column for it in ALL.values()}
    assert 6 <= sum(it.quick for it in ALL.values())


def test_the_ip_policy_is_right_where_nothing_disturbs_it() -> None:
    """The claims are not all against it: it is no straw man."""
    assert 6 <= sum(it.told.expect["ip"] == "right" for it in ALL.values())


@pytest.mark.parametrize(
    "text",
    ["order = ", 'order = "first"', "order = 1\nunknown = 2", ""],
    ids=["broken TOML", "a wrong type", "an unknown field", "nothing"],
)
def test_a_broken_file_is_named_with_a_hint(tmp_path: pathlib.Path, text: str) -> None:
    """Never a traceback."""
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(scenarios.ScenarioError, match=r"mine\.toml") as caught:
        scenarios.load(tmp_path)
    assert "mine.toml" in caught.value.hint


def test_a_drive_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    """The file is right but for that."""
    text = (scenarios.HERE / "udp.toml").read_text().replace('drive = "strangers"', 'drive = "nowhere"')
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(scenarios.ScenarioError, match="nowhere"):
        scenarios.load(tmp_path)
