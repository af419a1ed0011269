"""Routes do what they say: every match, filter, weight, time-out and retry by real requests; HTTP/1.1, HTTP/2, gRPC.

Measured here, through real Envoys: a weight of 10 in 100 over 5,000 requests (within 3 standard errors), time-outs
(within 50 ms), the attempts that a server sees, and how much more a server is asked that only fails (at most the budget
more, with 16 clients at a time, quick and slow failures). The rest of the matrix is tests: exactly those are run.
"""

import asyncio
import collections
from typing import Any

from injector.discovery import clusters
from tests.prove import _cases, verdict
from tests.scene import routed

ASKED, SHARE = 5000, 0.1
TIMEOUT_S, LATE_S = 0.3, 0.05
OUTAGE = 1600
_FILE, _MORE = "tests/functional/injector/test_routes.py", "tests/functional/injector/test_routes_attached.py"
CASES = {
    "paths, by HTTP/1.1 and HTTP/2": f"{_FILE}::test_paths_are_matched",
    "headers, queries, methods": f"{_FILE}::test_headers_queries_and_methods_are_matched",
    "weights of 0": f"{_FILE}::test_nothing_goes_where_the_weight_is_0",
    "header changes": f"{_FILE}::test_headers_are_changed_on_the_way_and_back",
    "redirects": f"{_FILE}::test_clients_are_sent_elsewhere",
    "prefixes replaced": f"{_FILE}::test_prefixes_are_replaced_as_the_table_of_the_specification_says",
    "host and path rewritten": f"{_FILE}::test_host_and_whole_path_are_rewritten",
    "mirrors": f"{_FILE}::test_copies_are_sent_and_nobody_waits_for_them",
    "shares of mirrors": f"{_FILE}::test_a_share_of_copies_is_sent",
    "attempts of retries": f"{_FILE}::test_a_server_sees_exactly_the_attempts",
    "retries of what takes too long": f"{_FILE}::test_what_takes_too_long_is_tried_again",
    "gRPC matches": f"{_MORE}::test_grpc_calls_are_matched_and_shared",
    "gRPC weights and headers": f"{_MORE}::test_grpc_has_weights_and_changes_headers",
}


def prove() -> verdict.Verdict:
    """Measure what has figures, run the rest."""
    holds, lines = asyncio.run(_measured())
    rest = _cases.prove(CASES, "features")
    figure = f"{rest.figure}; {lines[-1]}"
    return verdict.Verdict(holds=holds and rest.holds, figure=figure, lines=(*lines, *rest.lines))


async def _measured() -> tuple[bool, tuple[str, ...]]:
    async with routed.block() as block:
        found = [await _weight(block), await _timeouts(block), await _attempts(block), await _budget(block)]
    return all(holds for holds, _ in found), tuple(line for _, line in found)


async def _weight(block: routed.Block) -> tuple[bool, str]:
    await block.route(routed.http({"backendRefs": [routed.to("web", 90), routed.to("next", 10)]}))
    ((*found,),) = await block.ask(routed.url("/", count=ASKED))
    names = collections.Counter(str(each["body"]["name"]) for each in found if each["status"] == 200)
    error = (ASKED * SHARE * (1 - SHARE)) ** 0.5
    off = abs(names["next-11"] - ASKED * SHARE) / error
    failed = ASKED - names.total()
    line = f"weight 10 of 100: {names['next-11']} of {ASKED}, {off:.1f} standard errors off; {failed} failed"
    return off <= 3 and names.total() == ASKED, line


async def _timeouts(block: routed.Block) -> tuple[bool, str]:
    took: list[dict[str, Any]] = []
    for which in ("request", "backendRequest"):
        await block.route(routed.http({"timeouts": {which: "300ms"}, "backendRefs": [routed.to("web")]}))
        took += [await block.get("/slow?seconds=2") for _ in range(7)]
    late_ms = [1000 * (each["seconds"] - TIMEOUT_S) for each in took]
    holds = {504} == {each["status"] for each in took} and -10 <= min(late_ms) and max(late_ms) <= 1000 * LATE_S
    return holds, f"time-outs of 300 ms: {len(took)} fired, {min(late_ms):.0f} to {max(late_ms):.0f} ms after it"


async def _attempts(block: routed.Block) -> tuple[bool, str]:
    heard = {}
    for attempts in (0, 1, 2, 7):
        retry = {"codes": [503], "attempts": attempts, "backoff": "1ms"}
        await block.route(routed.http({"retry": retry, "backendRefs": [routed.to("web")]}))
        path = f"/attempts-{attempts}?status=503"
        await block.get(path)
        heard[attempts] = (await block.get(path, host=routed.POD))["body"]["asked"] - 1
    said = ", ".join(f"{attempts} -> {seen}" for attempts, seen in heard.items())
    return all(seen == attempts + 1 for attempts, seen in heard.items()), f"attempts written -> requests seen: {said}"


async def _budget(block: routed.Block) -> tuple[bool, str]:
    retry = {"codes": [503], "attempts": 5, "backoff": "1ms"}
    await block.route(routed.http({"retry": retry, "backendRefs": [routed.to("web")]}))
    loads = []
    for seconds in (0, 0.01, 0.05):
        path = f"/outage?status=503&seconds={seconds}"
        await block.ask(routed.url(path, count=OUTAGE))
        loads.append(((await block.get(path, host=routed.POD))["body"]["asked"] - 1) / OUTAGE)
    line = f"an outage raises the load to {max(loads):.3f} at most, allowed {1 + clusters.RETRY_BUDGET:.1f}"
    return 1 < min(loads) and max(loads) <= 1 + clusters.RETRY_BUDGET, line
