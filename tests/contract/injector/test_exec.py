"""Commands in pods, as a server that kubectl gets on with runs them: ours says and hears what kubectl does.

Leaves out a kubelet.
"""

import contextlib
import pathlib
import subprocess

import pytest

from injector.kube import exec as execution
from ipseity import kube
from tests.fakes import exec_api, policy_api
from tests.scene import clone

POD = {
    "metadata": {"namespace": "shop", "name": "web-1", "uid": "u"},
    "spec": {"containers": [{"name": "app", "image": "none"}]},
    "status": {"phase": "Running"},
}
PLACE = execution.Place(namespace="shop", pod="web-1", container="app")
WORDS = ["echo", "one two", "--three"]
PIECES = [(1, b"first\n"), (2, b"trouble\n"), (1, b"sec"), (1, b"ond\n")]
FAILED = {
    "kind": "Status",
    "status": "Failure",
    "reason": "NonZeroExitCode",
    "message": "command terminated with exit code 7",
    "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
}


def kubectl(config: str) -> subprocess.CompletedProcess[bytes]:
    words = [str(clone.ROOT / ".venv/bin/kubectl"), "--kubeconfig", config, "exec", "-n", "shop", "-c", "app", "web-1"]
    return subprocess.run([*words, "--", *WORDS], capture_output=True, check=False, stdin=subprocess.DEVNULL)


async def ours(config: str) -> dict[execution.Channel, bytes]:
    api = await kube.connect(config, None)
    found: dict[execution.Channel, bytes] = {}
    try:
        async with contextlib.aclosing(execution.output(api, PLACE, WORDS)) as pieces:
            async for channel, piece in pieces:
                found[channel] = found.get(channel, b"") + piece
    finally:
        await api.close()
    return found


async def test_it_asks_and_hears_as_kubectl_does(tmp_path: pathlib.Path) -> None:
    """The same pod, container and words; the same output and errors, whatever pieces they come in."""
    api = exec_api.ExecApi([POD], [*PIECES, exec_api.ended()])
    with policy_api.in_thread(api.serve):
        theirs, mine = kubectl(api.kubeconfig(tmp_path)), await ours(api.kubeconfig(tmp_path))
    assert (0, b"first\nsecond\n", b"trouble\n") == (theirs.returncode, theirs.stdout, theirs.stderr)
    assert {execution.Channel.OUTPUT: theirs.stdout, execution.Channel.ERRORS: theirs.stderr} == mine
    assert [("web-1", "app", WORDS)] * 2 == api.asked


async def test_a_command_that_fails_is_an_error(tmp_path: pathlib.Path) -> None:
    """For kubectl its exit code, for us what the server says."""
    api = exec_api.ExecApi([POD], [exec_api.ended(FAILED)])
    with policy_api.in_thread(api.serve):
        assert 7 == kubectl(api.kubeconfig(tmp_path)).returncode
        with pytest.raises(kube.KubernetesError, match="command terminated with exit code 7"):
            await ours(api.kubeconfig(tmp_path))
