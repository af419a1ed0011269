"""Certificates change under load and no request fails: issuer, both phases of the anchor, and leaves of 60 s.

Leaves live for a minute and are renewed all the time, while 100 requests a second flow for five and a half minutes.
Meanwhile the issuer is replaced, and the trust anchor is rotated in its two phases, by the command that a person would
use (``ipseity identity rotate --apply --wait``). The load opens new connections all the time, so that each certificate
is met by handshakes.
"""

import json
import subprocess
import time

from tests.prove import verdict
from tests.scene import mesh

RATE = 100
LOAD_S = 330
ROTATION_LIMIT_S = 240
LEAF_LIFE_S = 60
SETTLE_S = 5
AT_LEAST = 10_000


def prove() -> verdict.Verdict:
    """Measure it."""
    environ = {"IPSEITY_BUNDLE_SETTLE_S": str(SETTLE_S), "IPSEITY_LEAF_LIFE_S": str(LEAF_LIFE_S)}
    with mesh.up("rotation", environ=environ) as where:
        where.apply(mesh.namespace("shop") + mesh.server("shop", "client") + "---" + mesh.server("shop", "web"))
        where.ready("shop", "client", "web")
        issued, before = signed(where), anchors(where)
        with loading(where, LOAD_S) as load:
            lines = [f"{what}: {rotate(where, what)}" for what in ("issuer", "anchor")]
            found = mesh.result(load)
            after = anchors(where)
        renewals = signed(where) - issued
    lines.append(f"anchors before {before}, after {after}; {renewals} leaves signed; {summary(found)}")
    new_anchor = len(before) == len(after) == 1 and before != after
    renewed = renewals >= 2 * LOAD_S // LEAF_LIFE_S
    return verdict.Verdict(
        holds=found["failed"] == 0 and found["requests"] >= AT_LEAST and new_anchor and renewed,
        figure=f"{found['failed']} of {found['requests']} requests failed through both rotations and {renewals} leaves",
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
        timeout=ROTATION_LIMIT_S,
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
