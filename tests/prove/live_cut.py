"""A policy that changes cuts at once: 5 live connections of the refused identity end within 1 s, 5 others lose no byte.

The connections carry a byte each way every 20 ms. The policy admits both identities, then one. When each connection
ended is compared with when kubectl had applied the change.
"""

import json
from typing import Any

from tests.prove import verdict
from tests.scene import mesh

COUNT = 5
LIMIT_S = 1.0
HOLD_S = 12.0
BEFORE_S = 3.0


def prove() -> verdict.Verdict:
    """Measure it."""
    with mesh.up("cut") as where:
        servers = (mesh.server("shop", name) for name in ("anna", "bert", "web"))
        where.apply(mesh.namespace("shop") + "\n---\n".join(servers))
        where.ready("shop", "anna", "bert", "web")
        where.apply(admitting("anna", "bert"))
        words = ("hold", "web", "--port", "7000", "--count", str(COUNT), "--seconds", str(HOLD_S))
        pods = {name: where.pod("shop", name) for name in ("anna", "bert")}
        mesh.wait_until(lambda: works(where, pods["anna"]), 20, "the policy is in force")
        with (
            where.calling("shop", pods["anna"], *words) as anna,
            where.calling("shop", pods["bert"], *words) as bert,
        ):
            for process in (anna, bert):
                assert process.stdout is not None
                for _ in range(COUNT):
                    process.stdout.readline()
            flowing_s = mesh.now_s()
            mesh.wait_until(lambda: mesh.now_s() - flowing_s > BEFORE_S, 10, "traffic flows")
            where.apply(admitting("anna"))
            changed_s = mesh.now_s()
            kept, cut = mesh.result(anna)["connections"], mesh.result(bert)["connections"]
    after = sorted(each["wall_s"] - changed_s for each in cut)
    ended = [each for each in cut if each["ended"]]
    lost = sum(each["sent"] - each["echoed"] for each in kept)
    holds = (
        len(ended) == COUNT
        and after[-1] <= LIMIT_S
        and lost == 0
        and all(not each["ended"] for each in kept)
        and len(kept) == COUNT
    )
    return verdict.Verdict(
        holds=holds,
        figure=f"{len(ended)} of {COUNT} ended, the last {1000 * after[-1]:.0f} ms after the change; {lost} bytes lost",
        lines=(f"refused: {describe(cut, changed_s)}", f"allowed: {describe(kept, changed_s)}"),
    )


def works(where: mesh.Mesh, pod: str) -> bool:
    """Tell whether bytes are echoed."""
    return where.call("shop", pod, "every", "web")["opaque"].get("same") is True


def describe(found: list[dict[str, Any]], changed_s: float) -> str:
    """Say how connections ended."""
    told = (
        f"{each['ended'] or 'by itself'} at {each['wall_s'] - changed_s:+.3f} s after {each['echoed']} bytes"
        for each in found
    )
    return "; ".join(told)


def admitting(*names: str) -> str:
    """Admit accounts to ``web``."""
    return json.dumps(mesh.policy("shop", "web", mesh.accounts("shop", *names)))
