"""NetworkPolicy by IP: packets through the rules, the evaluator and a naive reading of the specification agree.

331 clusters are made up from a seed: pods, namespaces, policies of every form. Each is enforced on two nodes; everybody
asks everybody, at five ports, by TCP and UDP, every sixth time by SCTP, by IPv4 and IPv6 in turn; every second time the
rules are loaded whole, else only what differs from the case before. Then the corner cases of docs/network-policy.md,
each with what the documentation says. A probe counts only if it arrived or a rule's counter says that it was dropped.
"""

import collections
import os
import random
import time

from comparisons.ip_policy import compiler, model
from tests.fakes import made_up_policies
from tests.prove import verdict
from tests.scene import corners, policed

CASES = 331
SEED = 20_260_105
LIMIT_S = 480
LANES = (model.Protocol.TCP, model.Protocol.UDP)


def prove() -> verdict.Verdict:
    """Measure it."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("network namespaces need root", hint="run it with sudo")
    began_s = time.monotonic()
    counted: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    with policed.up("p-oracle", {"node-a": 4, "node-b": 3}) as street:
        ground = street.ground()
        for case in range(CASES):
            dice = random.Random(SEED + case)
            objects = made_up_policies.cluster(ground, dice)
            options = compiler.Options(strict=case % 3 != 0, gate=case % 2 == 0)
            state = street.enforce(objects, options, anew=case % 4 < 2)
            protocols = (*LANES, model.Protocol.SCTP) if case % 6 == 0 else LANES
            outcome = street.compare(objects, state, options, street.questions(protocols, 4 if case % 3 else 6))
            counted.update(asked=outcome.asked, allowed=outcome.allowed, policies=len(state.policies))
            wrong += [f"seed {SEED + case}: {each}" for each in outcome.wrong]
        known = corners.documented()
        failed = [each for corner in known for each in corners.failures(street, corner)]
        again = street.net.again
    took_s = time.monotonic() - began_s
    for each in (*wrong[:10], *failed[:10]):
        print(each)
    denied = counted["asked"] - counted["allowed"]
    fine = len(known) - len({each.partition(":")[0] for each in failed})
    return verdict.Verdict(
        holds=not wrong and not failed and bool(known) and min(denied, counted["allowed"]) > 0 and took_s < LIMIT_S,
        figure=(
            f"{CASES} cases, {counted['asked']} packets asked, {len(wrong)} disagreements; "
            f"{fine} of {len(known)} corner cases as documented"
        ),
        lines=(
            f"{counted['policies']} policies; {counted['allowed']} probes arrived, a rule dropped {denied}, 0 are lost",
            f"sent again because the machine was busy: {again}",
            f"{took_s:.0f} s of {LIMIT_S}",
        ),
    )
