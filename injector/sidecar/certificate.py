"""The pod's certificate over time: a child process gets each one, this decides when, and says how it went.

Here because a proxy without a certificate must not start, and one with an old certificate must go on while it can.
Leaves out getting one (``certify``) and the arithmetic of delays (``renewal``).
"""

import json
import os
import signal
from collections.abc import Mapping
from typing import Any, Final

from injector.sidecar import files, journal, orders, processes, renewal

_MOST_S: Final = 30.0
"""For one child; its own deadline is half of it."""
_MAX_OUTPUT: Final = 65_536
_WORRY_SHARE: Final = 0.2
"""Of a life: less than this left, and a failure is an error, not a warning."""


class Certificate:
    """Never raises; ``step`` and ``ended`` are called by whoever owns the loop."""

    def __init__(self, told: orders.Orders, environ: Mapping[str, str]) -> None:
        self.usable = False
        """There was a certificate for Envoy since this process started; maybe it has ended since."""
        self.due_s = 0.0
        """When the next attempt is due, CLOCK_BOOTTIME."""
        self._told = told
        self._environ = {**environ, "GRPC_VERBOSITY": "NONE"}  # what it would say is in the outcome
        self._task = "adopt" if files.identity(told.workload_dir) else "issue"
        self._pid = 0
        self._output = -1
        self._kill_at_s = 0.0
        self._wish_s: float | None = None
        """When somebody wants another one, asked for while a child was on its way already."""
        self._failures = 0
        self._complaint = ""
        self._ends_s = 0.0
        self._life_s = 0.0

    def step(self, now_s: float) -> None:
        """Start a child if one is due, end one that takes too long."""
        if self._pid and now_s >= self._kill_at_s:
            processes.tell(self._pid, signal.SIGKILL)
        elif not self._pid and now_s >= self.due_s:
            self._start(now_s)

    def ended(self, child: processes.Ended, now_s: float) -> None:
        """Take the outcome if it was our child that ended."""
        if child.pid != self._pid or not self._pid:
            return
        outcome = _outcome(self._output, child.code)
        os.close(self._output)
        self._pid, self._output = 0, -1
        if child.code == 0 and "left_s" in outcome:
            self._succeeded(outcome, now_s)
        elif self._task == "adopt":
            self._task, self.due_s = "issue", now_s
            journal.say("info", "certificate", message="what an earlier run left is not used", **outcome)
        else:
            self._failed(outcome, now_s)

    def ask_soon(self, now_s: float, *, trust_changed: bool) -> None:
        """Ask again: spread over a while if the anchors changed, at once if a person wishes it."""
        due_s = now_s
        if trust_changed:
            due_s = renewal.after_new_trust(now_s, self.due_s, max(0.0, self._ends_s - now_s), _chance())
        self.due_s = due_s
        self._wish_s = due_s if self._pid else None

    def stop(self) -> None:
        """End the child, if there is one."""
        if self._pid:
            processes.tell(self._pid, signal.SIGKILL)

    def _start(self, now_s: float) -> None:
        told = self._told
        task = {
            "task": self._task,
            "spiffe_id": told.spiffe_id,
            "control_plane": told.control_plane,
            "address": told.identity_address,
            "token": f"{told.identity_dir}/token",
            "trust": f"{told.identity_dir}/ca.crt",
            "directory": told.workload_dir,
        }
        command = [told.python, "-P", "-m", "injector.sidecar.certify", json.dumps(task)]
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid = processes.start(command, self._environ, stdout=writer)
        except OSError as error:
            os.close(reader)
            self._failed({"reason": "start", "message": f"{told.python} cannot be started: {error.strerror}"}, now_s)
        else:
            self._output, self._kill_at_s = reader, now_s + _MOST_S
        finally:
            os.close(writer)

    def _succeeded(self, outcome: Mapping[str, Any], now_s: float) -> None:
        issued = renewal.Certificate(age_s=float(outcome["age_s"]), left_s=float(outcome["left_s"]))
        self.due_s = renewal.after_success(now_s, issued, _chance())
        if self._wish_s is not None:
            self.due_s, self._wish_s = min(self.due_s, max(now_s, self._wish_s)), None
        self._ends_s, self._life_s = now_s + issued.left_s, issued.age_s + issued.left_s
        self._task, self._failures, self._complaint, self.usable = "issue", 0, "", True
        journal.say("info", "certificate", renew_in_s=round(self.due_s - now_s), **outcome)

    def _failed(self, outcome: Mapping[str, Any], now_s: float) -> None:
        self._failures += 1
        left_s = self._ends_s - now_s if self.usable else None
        self.due_s = renewal.after_failure(
            now_s, self._failures, None if left_s is None else max(0.0, left_s), _chance()
        )
        complaint = f"{outcome.get('reason')}: {outcome.get('message')}"
        worse = left_s is not None and left_s < self._life_s * _WORRY_SHARE
        if complaint != self._complaint or worse:
            self._say_failure(outcome, now_s, left_s)
        self._complaint = complaint

    def _say_failure(self, outcome: Mapping[str, Any], now_s: float, left_s: float | None) -> None:
        level, state = "warning", "Envoy waits for the first one"
        if left_s is not None and left_s > 0:
            level = "error" if left_s < self._life_s * _WORRY_SHARE else "warning"
            state = f"the one in use has {left_s:.0f} s left"
        elif left_s is not None:
            level, state = "error", f"the one in use ended {-left_s:.0f} s ago: peers refuse this pod"
        journal.say(
            level,
            "certificate",
            **{**outcome, "state": state, "attempt": self._failures, "again_in_s": round(self.due_s - now_s, 1)},
        )


def _outcome(output: int, code: int) -> dict[str, Any]:
    """Read what the child printed; it has ended, so everything is in the pipe."""
    os.set_blocking(output, False)
    try:
        read = json.loads(os.read(output, _MAX_OUTPUT))
        if isinstance(read, dict):
            return read
    except (OSError, ValueError):
        pass
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return {"outcome": "failed", "reason": "crash", "message": f"the process that gets certificates died: {how}"}


def _chance() -> float:
    """Give a number in [0, 1); the random library is half a megabyte."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
