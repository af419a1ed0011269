"""Pods with a sidecar come and go as others do: a Job completes, and a rolling restart under load fails no request.

A Job whose sidecar would run for ever must end; a Deployment of three pods is restarted, one pod after the other, while
200 requests a second go to it from another meshed pod.
"""

import json
import time

from tests.prove import verdict
from tests.scene import clone, mesh

RATE = 200
LOAD_S = 45
JOB_LIMIT_S = 60


def prove() -> verdict.Verdict:
    """Measure it."""
    with mesh.up("lifecycle") as where:
        client = mesh.server("shop", "client")
        where.apply(mesh.namespace("shop") + client + "---" + mesh.server("shop", "web", replicas=3))
        where.ready("shop", "client", "web")
        where.apply(job())
        started_s = time.monotonic()
        where.kubectl("wait", "-n", "shop", "--for=condition=Complete", "job/once", f"--timeout={JOB_LIMIT_S}s")
        job_s = time.monotonic() - started_s
        proxied = "ipseity-proxy" in json.dumps(where.get("pods", "shop", "-l", "job-name=once")[0]["spec"])
        before = names(where)
        words = ("load", "web", "--rate", str(RATE), "--seconds", str(LOAD_S))
        with where.calling("shop", where.pod("shop", "client"), *words) as load:
            where.kubectl("rollout", "restart", "deployment/web", "-n", "shop")
            where.kubectl("rollout", "status", "deployment/web", "-n", "shop", f"--timeout={LOAD_S}s")
            found = mesh.result(load)
        replaced = not before & names(where)
    answered = sum(found["answered_by"].values())
    return verdict.Verdict(
        holds=proxied and replaced and found["failed"] == 0 and answered == RATE * LOAD_S,
        figure=f"{found['failed']} of {found['requests']} requests failed in a rolling restart; Job: {job_s:.1f} s",
        lines=(
            f"all three pods replaced: {replaced}; answered by {len(found['answered_by'])} pods",
            f"p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms; failures: {found['failures']}",
        ),
    )


def names(where: mesh.Mesh) -> set[str]:
    """Name the pods that serve."""
    return {str(each["metadata"]["name"]) for each in where.get("pods", "shop", "-l", "app=web")}


def job() -> str:
    """Write a Job that calls once and ends."""
    command = json.dumps(mesh.caller("every", "web"))
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: once, namespace: shop}}
spec:
  template:
    metadata: {{labels: {{job-name: once}}, annotations: {{ipseity.io/inject: enabled}}}}
    spec:
      restartPolicy: Never
      containers:
        - {{name: app, image: tests/caller, command: {command}, workingDir: {clone.ROOT}}}
"""
