"""The agent with the rights of its manifest: enough for all that it follows, and not one more.

Leaves out the control plane's: ``tests/contract/injector/test_roles.py``.
"""

import asyncio
import contextlib
import pathlib
import re
import time

import yaml

from agent import config, keysecret, pods
from ipseity import kube
from tests.contract.kubernetes_api import own
from tests.scene import clone, gatekeeper

MANIFEST = clone.ROOT / "ipseity/manifests/agent.yaml"
ROLLOUT = clone.ROOT / "tests/golden/deploy/rollout.golden.yaml"
"""What the chart renders with it; no manifest has it, for it is off by default."""
PATIENCE_S = 30


PAGE = clone.ROOT / "docs/security.md"
ROW = re.compile(r"^\| (`[a-z`/, ]+`[^|]*) \| ((?:`[a-z]+`(?:, )?)+) \|", re.MULTILINE)


def granted(manifest: pathlib.Path = MANIFEST) -> set[tuple[str, str]]:
    """Give what a manifest allows: verb, resource."""
    roles = [each for each in yaml.safe_load_all(manifest.read_text()) if each["kind"] in {"ClusterRole", "Role"}]
    rules = [rule for role in roles for rule in role["rules"]]
    return {(verb, resource) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


async def test_the_agent_asks_for_what_it_may_and_may_what_it_asks_for(tmp_path: pathlib.Path) -> None:
    """Whatever it follows is listed and watched, under its own roles; each right of theirs is used."""
    with own.served(tmp_path / "api") as admin:
        async with gatekeeper.before(admin, gatekeeper.Roles(MANIFEST), tmp_path) as keeper:
            api = await kube.connect(str(keeper.kubeconfig))
            place = keysecret.Place.parse(config.Config().handshake_secret)
            cluster = pods.Cluster(
                api,
                clock=time.monotonic_ns,
                beside=[
                    pods.Beside(pods.accounts(api, time.monotonic_ns), lambda _: None),
                    pods.Beside(keysecret.follow(api, place, time.monotonic_ns), lambda _: None),
                ],
            )
            following = asyncio.create_task(cluster.follow(lambda _: None))
            async with asyncio.timeout(PATIENCE_S):
                for verb, resource in granted():
                    await keeper.asked(verb, resource)
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            await api.close()
    assert set() == keeper.refused
    assert granted() == {(each.verb, each.resource) for each in keeper.allowed}


def test_every_right_has_its_reason() -> None:
    """docs/security.md has a row for each verb on each resource of all programs, and for none that they have not."""
    told = {
        (verb, resource)
        for cell, verbs in ROW.findall(PAGE.read_text())
        for resource in re.findall(r"`([a-z]+(?:/[a-z]+)?)`", cell.partition(", only")[0])
        for verb in re.findall(r"`([a-z]+)`", verbs)
    }
    assert granted() | granted(MANIFEST.with_name("mesh.yaml")) | granted(ROLLOUT) == told
