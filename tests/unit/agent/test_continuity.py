"""What a restarted agent takes over, and that it takes over all of it or nothing.

Left out: that nothing is missing over a real kill (tests/prove/restart.py), what the parts save (their own tests).
"""

import pathlib

import msgspec

from agent import continuity, drops, metrics, ownership, pipeline, wire
from tests.fakes import flows

NOW_NS = 10**12


def parts() -> tuple[metrics.FlowMetrics, pipeline.Pipeline]:
    """Make totals and a pipeline with nothing in them."""
    totals = metrics.FlowMetrics(max_series=7, grace_s=60, pod_labels=False, bounds_us=wire.RTT_BOUNDS_US)
    return totals, pipeline.Pipeline(ownership.Ownership(history_s=60), max_edges=64)


def saved(path: pathlib.Path) -> drops.Drops:
    """Write a checkpoint with one series; gives what was lost."""
    lost = drops.Drops()
    totals, line = parts()
    totals.add(flows.edge(), NOW_NS)
    assert continuity.Continuity(path, lost).save(totals, line, NOW_NS)
    return lost


def test_totals_come_back(tmp_path: pathlib.Path) -> None:
    """And when the API was last heard."""
    lost = saved(tmp_path / "state")
    totals, line = parts()
    assert NOW_NS == continuity.Continuity(tmp_path / "state", lost).resume(totals, line, adopted=True)
    assert (1, 0) == (len(totals), lost.by_stage["checkpoint_unreadable"])


def test_totals_without_their_edges_are_not_taken_over(tmp_path: pathlib.Path) -> None:
    """The kernel's counts since the programs were loaded would be added to totals that have them already."""
    lost = saved(tmp_path / "state")
    state = msgspec.msgpack.decode((tmp_path / "state").read_bytes())
    state["edges"]["wide"] = bytes(3)
    (tmp_path / "state").write_bytes(msgspec.msgpack.encode(state))
    totals, line = parts()
    assert 0 == continuity.Continuity(tmp_path / "state", lost).resume(totals, line, adopted=True)
    assert (0, 1) == (len(totals), lost.by_stage["checkpoint_unreadable"])


def test_what_a_killed_agent_left_behind_is_written_over(tmp_path: pathlib.Path) -> None:
    """However often it is killed in the middle of writing, there is one such file; the next checkpoint takes it."""
    (tmp_path / ".state.new").write_bytes(bytes(23))
    saved(tmp_path / "state")
    assert ["state"] == [path.name for path in tmp_path.iterdir()]
    assert 0o600 == (tmp_path / "state").stat().st_mode & 0o777


def test_a_link_is_not_written_through(tmp_path: pathlib.Path) -> None:
    """What it names is as it was; the checkpoint is a file of its own."""
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / ".state.new").symlink_to("other")
    saved(tmp_path / "state")
    assert b"mine" == (tmp_path / "other").read_bytes()
    assert not (tmp_path / "state").is_symlink()
