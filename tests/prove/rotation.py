"""Certificates change under load and no request fails: issuer, both phases of the anchor, and leaves of 60 s.

One load of 100 requests a second runs while the issuer is replaced and the trust anchor is rotated in its two phases
by ``ipseity identity rotate --apply --wait``. Then, with leaves that live for a minute, a second load runs for five
minutes. Every load opens new connections all the time, so that each certificate is met by handshakes.
"""

import json
import subprocess
import time

from tests.prove import verdict
from tests.scene import mesh

RATE = 100
ROTATING_S = 120
RENEWING_S = 300
LEAF_LIFE_S = 60
SETTLE_S = 5
AT_LEAST = 10_000


def prove() -> verdict.Verdict:
    """Measure it."""
    lines: list[str] = []
    with mesh.up("rotation", environ={"IPSEITY_BUNDLE_SETTLE_S": str(SETTLE_S)}) as where:
        where.apply(mesh.namespace("shop") + mesh.server("shop", "client") + "---" + mesh.server("shop", "web"))
        where.ready("shop", "client", "web")
        with loading(where, ROTATING_S) as load:
            before = anchors(where)
            lines.append("issuer: " + rotate(where, "issuer"))
            lines.append("anchor: " + rotate(where, "anchor"))
            after = anchors(where)
            rotated = mesh.result(load)
        lines.append(f"anchors before {before}, after {after}; {summary(rotated)}")
        where.kubectl(
            "set", "env", "deployment/ipseity-control", "-n", "ipseity-system", f"IPSEITY_LEAF_LIFE_S={LEAF_LIFE_S}"
        )
        where.ready("ipseity-system", "ipseity-control")
        where.kubectl("rollout", "restart", "deployment/client", "deployment/web", "-n", "shop")
        where.ready("shop", "client", "web")
        issued = signed(where)
        with loading(where, RENEWING_S) as load:
            renewed = mesh.result(load)
        renewals = signed(where) - issued
        lines.append(f"{renewals} leaves signed in {RENEWING_S} s; {summary(renewed)}")
    failed = rotated["failed"] + renewed["failed"]
    total = rotated["requests"] + renewed["requests"]
    new_anchor = len(before) == len(after) == 1 and before != after
    return verdict.Verdict(
        holds=failed == 0
        and rotated["requests"] >= AT_LEAST
        and new_anchor
        and renewals >= 2 * RENEWING_S // LEAF_LIFE_S,
        figure=f"{failed} of {total} requests failed through both rotations and {renewals} renewals",
        lines=tuple(lines),
    )


def loading(where: mesh.Mesh, seconds: int) -> mesh.Calling:
    """Load ``web`` from ``client`` meanwhile."""
    words = ("load", "web", "--rate", str(RATE), "--seconds", str(seconds))
    return where.calling("shop", where.pod("shop", "client"), *words)


def rotate(where: mesh.Mesh, what: str) -> str:
    """Run the command until it is done; gives how long that took."""
    started_s = time.monotonic()
    words = [str(mesh.COMMAND), "identity", "rotate", "--apply", "--wait", "--what", what, "--settle", str(SETTLE_S)]
    done = subprocess.run(
        [*words, "--kubeconfig", str(where.lab.kubeconfig)],
        check=False,
        capture_output=True,
        text=True,
        timeout=ROTATING_S,
    )
    if done.returncode:
        raise RuntimeError(f"rotation of the {what} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return f"rotated in {time.monotonic() - started_s:.1f} s: {'; '.join(done.stdout.splitlines()[-3:])}"


def anchors(where: mesh.Mesh) -> list[str]:
    """Give the digests of the anchors that the control plane says pods must trust."""
    told = json.loads(where.kubectl("get", "configmap", "ipseity-identity", "-n", "ipseity-system", "-o", "json"))
    newest = max((json.loads(text) for text in told["data"].values()), key=lambda status: status["time_s"])
    return [digest[:12] for digest in newest["bundle"]]


def signed(where: mesh.Mesh) -> int:
    """Count the leaves that were signed, as the issuance log of the control plane has them."""
    pod = where.pod("ipseity-system", "ipseity-control")
    told = where.run("ipseity-system", pod, "cat", "/var/lib/ipseity/issued.jsonl", container="control-plane")
    return len(told.splitlines())


def summary(found: dict[str, object]) -> str:
    """Say how a load went."""
    told = f"{found['failed']} of {found['requests']} failed, p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms"
    return f"{told} {found['failures'] or ''}"
