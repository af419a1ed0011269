"""Whatever ends a comparison: a message with a hint, no lab left, no half report. Leaves out one that ends well."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from comparisons.lab import cgroups, layout

IPSEITY = pathlib.Path(sys.executable).with_name("ipseity")
COMPARE = [str(IPSEITY), "compare", "--only", "udp", "--contender", "nothing", "--no-cost"]
PATIENCE_S = 60.0


def traces(name: str) -> list[str]:
    """List what there is of a lab."""
    found = [str(path) for path in layout.NETNS.glob(f"ips-{name}-*")]
    found += [str(path) for mount in cgroups.hierarchies() for path in mount.glob(f"ipseity-{name}")]
    state = layout.Lab(name=name).state
    return found + ([str(state)] if state.exists() else [])


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something that has no event."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)  # noqa: TID251  # another process's state has no event


def files(folder: pathlib.Path) -> list[str]:
    """List what is there, but for what an interrupted comparison goes on from."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path) for path in found if path.parts[0] != ".unfinished")


def run(*words: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a comparison."""
    return subprocess.run([*COMPARE, *words], check=False, capture_output=True, text=True, env=env)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "nowhere"), "there is no scenario 'nowhere'"),
        (("--contender", "nobody"), "there is no contender 'nobody'"),
        (("--runs", "0"), "--runs"),
        (("-o", "/proc/nowhere"), "/proc/nowhere"),
    ],
)
def test_wrong_words_are_named(words: tuple[str, ...], said: str) -> None:
    """Exit code 2, the value, and what to do."""
    done = run(*words)
    assert 2 == done.returncode
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_tool_is_named_before_anything_is_made(tmp_path: pathlib.Path) -> None:
    """Without nft there is no lab."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("runc", "ip", "nsenter"):
        (tools / name).symlink_to(shutil.which(name) or "")
    done = run("-o", str(tmp_path / "out"), env={**os.environ, "PATH": str(tools)})
    assert 2 == done.returncode
    assert "'nft'" in done.stderr
    assert "hint: install nftables" in done.stderr
    assert not (tmp_path / "out").exists()


def test_results_that_are_broken_are_named(tmp_path: pathlib.Path) -> None:
    """The report is not written."""
    (tmp_path / "results/udp").mkdir(parents=True)
    (tmp_path / "results/udp/results.json").write_text("{")
    done = run("--report", "-o", str(tmp_path))
    assert 2 == done.returncode
    assert "results/udp/results.json" in done.stderr
    assert ["results/udp/results.json"] == files(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_half_way_it_leaves_no_lab_and_no_report_and_goes_on(
    number: signal.Signals, tmp_path: pathlib.Path
) -> None:
    """Also by SIGKILL, when it has no time to clean up. What was played is not played again."""
    with (
        (tmp_path / "said").open("w+") as said,
        subprocess.Popen(
            [*COMPARE, "--runs", "2", "-o", str(tmp_path / "out")], stderr=said, stdout=said, start_new_session=True
        ) as process,
    ):
        name = f"cmp-{process.pid}"
        until((tmp_path / "out/.unfinished/udp/nothing/0.json").exists, "the first run is over")
        assert traces(name)
        process.send_signal(number)
        process.wait(PATIENCE_S)
    until(lambda: not traces(name), "nothing is left of the lab")
    assert [] == files(tmp_path / "out")
    if number != signal.SIGKILL:
        assert 130 == process.returncode
        assert "goes on where" in (tmp_path / "said").read_text()
    done = run("--runs", "2", "-o", str(tmp_path / "out"))
    assert 0 == done.returncode, done.stderr
    assert re.match(r"0/1 ", done.stderr), done.stderr
    assert "report.html" in files(tmp_path / "out")
    assert not (tmp_path / "out/.unfinished").exists()


def test_a_full_disk_is_said_and_leaves_nothing_that_looks_whole(tmp_path: pathlib.Path) -> None:
    """A file system without room: no report, no lab."""
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,nr_inodes=64", "none", str(out)], check=True)
    try:
        (out / "ballast").write_bytes(bytes(12 * 1024))
        done = run("--runs", "1", "-o", str(out))
        assert 2 == done.returncode
        assert "No space left on device" in done.stderr
        assert "hint: " in done.stderr
        assert "Traceback" not in done.stderr
        assert ["ballast"] == files(out)
    finally:
        subprocess.run(["umount", str(out)], check=True)
