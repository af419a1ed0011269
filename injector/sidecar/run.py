"""PID 1 of the proxy container: certificate first, then Envoy; renews, follows the trust bundle, drains, ends.

Here because something must hold Envoy's key and outlive its certificates, at a memory cost that a pod does not notice:
this process imports a handful of C modules and what is beside it, and is started without site-packages
(``python -I -S``, see ``commands``). It never dies of a missing token, a bad bundle or a full volume: it says so, and
tries again.

Envoy that ends by itself is started again at once if it had run for a minute: its callers have lost their connections
already, and the kubelet would need seconds. If it dies sooner, this ends with its exit code: a crash loop belongs to
the kubelet, where people see it.

    SIGTERM, SIGINT   drain, then end; a second one ends at once
    SIGUSR1           only begin to drain: not ready, HTTP connections end after what they are at
    SIGHUP            ask for a new certificate now
"""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Final

from injector.sidecar import admin, bootstrap, certificate, drain, envoy, files, journal, orders, processes, trust

_IDLE_S: Final = 1.0
_DRAINING_S: Final = 0.1
"""Between two looks at what is going on."""
_LAST_S: Final = 5.0
"""For Envoy to end, from SIGTERM to SIGKILL. It takes milliseconds."""
_STABLE_S: Final = 60.0
_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class Supervisor:
    """Everything that goes on in one proxy container."""

    def __init__(self, told: orders.Orders, environ: Mapping[str, str]) -> None:
        self._told = told
        self._environ = environ
        self._signals = processes.Signals()
        self._trust = trust.Trust(told)
        self._certificate = certificate.Certificate(told, environ)
        self._envoy_pid = 0
        self._envoy_since_s = 0.0
        self._asked_s: float | None = None
        """When we were asked to end."""
        self._stopped_s: float | None = None
        """When Envoy was."""
        self._code: int | None = None
        """How to exit, once that is known."""
        self._complaint = ""

    def run(self) -> int:
        """Supervise until told to end, or Envoy does; gives the exit code."""
        while self._code is None:
            self._step(_now_s())
            if self._code is None:
                self._hear(self._signals.wait(_IDLE_S if self._asked_s is None else _DRAINING_S))
        self._certificate.stop()
        return self._code

    def _step(self, now_s: float) -> None:
        for child in processes.reap():
            self._certificate.ended(child, now_s)
            if child.pid == self._envoy_pid:
                self._envoy_ended(child, now_s)
        if self._asked_s is not None:
            self._drain(now_s, self._asked_s)
            return
        if self._trust.step(now_s):
            self._certificate.ask_soon(now_s, trust_changed=True)
        self._certificate.step(now_s)
        if not self._envoy_pid and self._code is None and self._trust.published and self._certificate.usable:
            self._start(now_s)

    def _hear(self, numbers: set[int]) -> None:
        if numbers & _ENDING:
            self._end(_now_s())
        elif signal.SIGUSR1 in numbers:
            admin.fail_health_check(files.admin_socket(self._told.workload_dir))
            journal.say("info", "drain", message="not ready from now on; HTTP connections end after what they are at")
        if signal.SIGHUP in numbers:
            self._certificate.ask_soon(_now_s(), trust_changed=False)

    def _start(self, now_s: float) -> None:
        """Start Envoy; a volume that is full or a binary that is missing is tried again at the next step."""
        try:
            made = json.dumps(bootstrap.make(self._told, envoy.facts())).encode()
            files.replace(files.bootstrap(self._told.workload_dir), made)
            self._envoy_pid = processes.start(envoy.command(self._told), self._environ)
        except OSError as error:
            self._complain(f"Envoy cannot be started: {error}")
            return
        self._envoy_since_s, self._complaint = now_s, ""
        journal.say("info", "envoy-started", pid=self._envoy_pid)

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            journal.say("error", "supervisor", message=text)
        self._complaint = text

    def _envoy_ended(self, child: processes.Ended, now_s: float) -> None:
        self._envoy_pid = 0
        if self._asked_s is not None:
            self._code = 0
            return
        ran_s = now_s - self._envoy_since_s
        self._code = exit_code(child.code, ran_s)
        how = {"killed_by": signal.Signals(-child.code).name} if child.code < 0 else {"code": child.code}
        then = "it is started again" if self._code is None else "soon after its start; so does this container"
        journal.say("error", "envoy-ended", message=f"Envoy ended by itself; {then}", ran_s=round(ran_s, 1), **how)

    def _end(self, now_s: float) -> None:
        """Begin to drain; asked twice, stop."""
        if self._asked_s is not None:
            self._stop(now_s)
            return
        self._asked_s = now_s
        journal.say("info", "drain", message="told to end", grace_s=self._told.drain_s)
        if self._envoy_pid:
            admin.fail_health_check(files.admin_socket(self._told.workload_dir))
        else:
            self._code = 0

    def _drain(self, now_s: float, asked_s: float) -> None:
        if self._stopped_s is not None:
            if now_s - self._stopped_s >= _LAST_S and self._envoy_pid:
                processes.tell(self._envoy_pid, signal.SIGKILL)
            return
        gauges = admin.connections(files.admin_socket(self._told.workload_dir)) or {}
        seen = drain.Seen(drain.busy(gauges), drain.listeners(envoy.listeners_table(), self._told.proxy_uid))
        waited_s = now_s - asked_s
        if drain.may_end(seen, waited_s=waited_s, grace_s=self._told.drain_s):
            cut = (
                {"level": "warning", "message": "time is over; what is left is cut"}
                if seen.busy
                else {"level": "info", "message": "drained"}
            )
            journal.say(event="drain", waited_s=round(waited_s, 1), **cut, **seen._asdict())
            self._stop(now_s)

    def _stop(self, now_s: float) -> None:
        if self._stopped_s is None and self._envoy_pid:
            self._stopped_s = now_s
            processes.tell(self._envoy_pid, signal.SIGTERM)


def exit_code(envoy_code: int, ran_s: float) -> int | None:
    """Say how to exit when Envoy has ended by itself, never as if all were well; None: start it again."""
    if ran_s >= _STABLE_S:
        return None
    return 128 - envoy_code if envoy_code < 0 else envoy_code or 1


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main(text: str) -> int:
    """Follow orders until the end; gives the exit code."""
    told = orders.of(text)
    journal.say("info", "supervisor", message="started", version=told.version, spiffe_id=told.spiffe_id)
    code = Supervisor(told, dict(os.environ)).run()
    journal.say("info", "supervisor", message="ended", code=code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
