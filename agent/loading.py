"""The child that compiles and loads (``loader``): started, asked, listened to, and its words read where it refuses.

Outcome: descriptors by name. Here because LLVM is to be gone after 0.3 s, with all its memory. Leaves out what to load
(``attach``).
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Final

from agent import errors

_LOADER_TIMEOUT_S: Final = 180  # arbitrary because generous: 0.5 s here, 30 s in emulation, more on a busy machine


def load(request: Mapping[str, object]) -> dict[str, int]:
    """Have the child compile and load what ``loader`` is asked for; return descriptors of maps and programs by name.

    Raises ``errors.KernelRefused``.
    """
    ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # A file, not a pipe: the verifier's log is longer than a pipe holds, and nobody reads while the child writes.
    with ours, childs, tempfile.TemporaryFile() as words:
        command = [sys.executable, "-P", "-m", "agent.loader", str(childs.fileno())]  # -P: nothing from the cwd
        with subprocess.Popen(  # noqa: S603  # our own module, no shell
            command,
            pass_fds=[childs.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=words,
            env={**os.environ, "PYTHONPATH": _python_path()},
        ) as child:
            childs.close()
            ours.settimeout(_LOADER_TIMEOUT_S)
            try:
                ours.sendall(json.dumps(request).encode())
                reply, descriptors, _, _ = socket.recv_fds(ours, 1 << 16, 64)
                child.wait(timeout=_LOADER_TIMEOUT_S)
                words.seek(0)
                said = words.read()
            except (TimeoutError, OSError, subprocess.TimeoutExpired) as error:
                child.kill()
                raise errors.KernelRefused(
                    f"cannot load bpf/*.c: the loader did not answer ({error})", hint="see: ipseity check"
                ) from error
    answer = json.loads(reply or b'{"error": "the loader died"}')
    if "error" in answer:
        raise _refusal(str(answer["error"]), said.decode(errors="replace"))
    return dict(zip([*answer["maps"], *answer["programs"]], descriptors, strict=True))


def _python_path() -> str:
    """Let the child find the packages that this process was started from."""
    here = str(pathlib.Path(__file__).parents[1])
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))


def _refusal(message: str, said: str) -> errors.KernelRefused:
    told = [line for line in said.splitlines() if line.strip() and not line.startswith("WARNING")]
    if "No module named 'bcc'" in message or "No module named 'bcc'" in said:
        return errors.KernelRefused(
            "cannot load bpf/*.c: no module named 'bcc'",
            hint="install Debian's python3-bpfcc and make the virtual environment with --system-site-packages",
        )
    detail = f" ({told[-1].strip()})" if told else ""
    return errors.KernelRefused(
        f"cannot load bpf/*.c: {message}{detail}", hint="see docs/kernels.md, and report it with the kernel version"
    )
