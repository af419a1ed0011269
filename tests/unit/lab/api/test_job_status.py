"""A Job's arithmetic: how many pods, when it is over, what it says."""

from typing import Any

import pytest

from comparisons.lab.controllers import job_status

NOW = 1_800_000_000 * 10**9
STARTED = "2027-01-15T08:00:00Z"


def job(**spec: Any) -> dict[str, Any]:
    """Return a Job that started at NOW."""
    return {"metadata": {"name": "j"}, "spec": {"backoffLimit": 6, **spec}, "status": {"startTime": STARTED}}


def view(active: int = 0, good: int = 0, bad: int = 0, ended_s: float = 0) -> job_status.View:
    """Pods of a Job."""
    ended = [job_status.Ended(failed=n >= good, at_wall_ns=NOW - int(ended_s * 1e9)) for n in range(good + bad)]
    return job_status.View(active=[{"metadata": {}, "status": {}} for _ in range(active)], terminating=0, ended=ended)


@pytest.mark.parametrize(
    ("spec", "pods", "wanted"),
    [
        ({"completions": 7, "parallelism": 3}, view(), 3),
        ({"completions": 7, "parallelism": 3}, view(active=2), 1),
        ({"completions": 7, "parallelism": 3}, view(active=1, good=5), 1),
        ({"completions": 7, "parallelism": 3}, view(active=3, good=5), -1),
        ({"parallelism": 3}, view(active=1), 2),
        ({"parallelism": 3}, view(active=1, good=1), 0),
    ],
)
def test_missing(spec: dict[str, int], pods: job_status.View, wanted: int) -> None:
    """Never more than may run at once, nor than are still needed."""
    assert job_status.missing(job(**spec), pods) == wanted


def test_the_end() -> None:
    """By completions, by the back-off limit, by the deadline."""
    assert job_status.verdict(job(completions=2), view(good=1), NOW) is None
    assert job_status.verdict(job(completions=2), view(good=2), NOW)["type"] == "Complete"
    assert job_status.verdict(job(completions=2, backoffLimit=1), view(bad=1), NOW) is None
    assert job_status.verdict(job(completions=2, backoffLimit=1), view(bad=2), NOW)["reason"] == "BackoffLimitExceeded"
    late = NOW + 8 * 10**9
    assert job_status.verdict(job(completions=2, activeDeadlineSeconds=7), view(), late)["reason"] == "DeadlineExceeded"


@pytest.mark.parametrize(
    ("bad", "ended_s", "wanted"), [(0, 0, 0), (1, 0, 10), (1, 4, 6), (3, 0, 40), (30, 0, 600), (1, 60, 0)]
)
def test_back_off(bad: int, ended_s: float, wanted: float) -> None:
    """Ten seconds, twice as long each time, ten minutes at most."""
    assert job_status.back_off_s(view(bad=bad, ended_s=ended_s), NOW) == pytest.approx(wanted)


def test_a_finished_job_expires() -> None:
    """Counted from its end."""
    ended = job(ttlSecondsAfterFinished=7)
    ended["status"]["conditions"] = [{"type": "Complete", "status": "True", "lastTransitionTime": STARTED}]
    assert job_status.finished(ended)
    assert job_status.left_s(ended, NOW + 3 * 10**9) == 4
    ended["spec"].pop("ttlSecondsAfterFinished")
    assert job_status.left_s(ended, NOW) is None
