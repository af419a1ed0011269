"""The control plane is dead for two minutes: no request fails, new pods wait for it, pods that did not opt in do not.

Its process is killed and its Deployment scaled to nothing while 100 requests a second flow between meshed pods. An
injected pod that is created meanwhile is refused or waits, and is ready after the return; a pod without the annotation
is created at once although the webhook is down.
"""

import json
import os
import signal
import subprocess
import time

from tests.prove import verdict
from tests.scene import lab, mesh

OUTAGE_S = 120.0
RATE = 100
AT_ONCE_S = 2.0


def prove() -> verdict.Verdict:
    """Measure it."""
    with mesh.up("outage") as where:
        where.apply(mesh.namespace("shop") + mesh.server("shop", "client") + "---" + mesh.server("shop", "web"))
        where.ready("shop", "client", "web")
        words = ("load", "web", "--rate", str(RATE), "--seconds", str(OUTAGE_S + 30))
        with where.calling("shop", where.pod("shop", "client"), *words) as load:
            where.kubectl("scale", "deployment/ipseity-control", "-n", "ipseity-system", "--replicas=0")
            for pid in where.control_pids():
                os.kill(pid, signal.SIGKILL)
            gone_s = time.monotonic()
            mesh.wait_until(lambda: not where.control_pids(), 20, "the control plane is gone")
            where.apply(mesh.server("shop", "late"))
            plain_s = unannotated(where)
            mesh.wait_until(lambda: time.monotonic() - gone_s > OUTAGE_S, OUTAGE_S + 5, "two minutes have passed")
            ready_meanwhile = bool(where.get("pods", "shop", "-l", "app=late")) and is_ready(where, "late")
            where.kubectl("scale", "deployment/ipseity-control", "-n", "ipseity-system", "--replicas=1")
            back_s = time.monotonic()
            where.ready("shop", "late")
            late_s = time.monotonic() - back_s
            found = mesh.result(load)
        proxied = "ipseity-proxy" in json.dumps(where.get("pods", "shop", "-l", "app=late")[0]["spec"])
    return verdict.Verdict(
        holds=found["failed"] == 0 and proxied and not ready_meanwhile and plain_s <= AT_ONCE_S,
        figure=f"{found['failed']} of {found['requests']} requests failed in {OUTAGE_S:.0f} s without a control plane",
        lines=(
            f"an injected pod created meanwhile: ready {late_s:.1f} s after the return, injected: {proxied}",
            f"a pod without the annotation was created in {plain_s:.2f} s while the webhook was down",
            f"p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms; failures: {found['failures']}",
        ),
    )


def unannotated(where: mesh.Mesh) -> float:
    """Create a pod that did not opt in; gives how long that took."""
    started_s = time.monotonic()
    words = [str(lab.BIN / "kubectl"), f"--kubeconfig={where.lab.kubeconfig}", "run", "plain", "-n", "shop"]
    subprocess.run([*words, "--image=none", "--command", "--", "sleep", "1000"], check=True, capture_output=True)
    return time.monotonic() - started_s


def is_ready(where: mesh.Mesh, app: str) -> bool:
    """Tell whether a pod is ready."""
    pod = where.get("pods", "shop", "-l", f"app={app}")[0]
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"
