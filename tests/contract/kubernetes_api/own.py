"""Starts the lab's own API server as a process, for tests that were given no other."""

import contextlib
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[3]
READY = "serving"


def failed_start(state: pathlib.Path, listen: str) -> str:
    """Start a server that cannot start; return what it says."""
    command = [sys.executable, "-m", "comparisons.lab.api", "--state", str(state), "--listen", listen]
    ended = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


@contextlib.contextmanager
def served(state: pathlib.Path, *arguments: str) -> Iterator[pathlib.Path]:
    """Run a server meanwhile; yield its kubeconfig. Stopped in order, so that a next one goes on from its state."""
    command = [
        sys.executable,
        "-m",
        "comparisons.lab.api",
        "--state",
        str(state),
        "--listen",
        "127.0.0.1:0",
        *arguments,
    ]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if READY in line:
                break
        else:
            raise AssertionError(f"the API server did not start: {''.join(said)}")
        reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
        reader.start()
        yield state / "kubeconfig"
    finally:
        process.terminate()
        process.wait(20)
    reader.join(5)
    process.stderr.close()
    assert "Traceback" not in "".join(said), "".join(said)
    assert process.returncode == 0
