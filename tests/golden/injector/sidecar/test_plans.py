"""The redirect and the bootstrap, whole, as files that a person can read and Envoy accepts.

Leaves out whether they do what they say: functional tests.
"""

import json
import pathlib
import subprocess

import pytest

from injector.sidecar import bootstrap, commands, files, orders, ports, redirect
from tests.fakes import authority
from tests.golden import golden

HERE = pathlib.Path(__file__).parent
TOLD = orders.Orders(
    pod_name="web-6d4f-x2x1p",
    pod_namespace="shop",
    pod_uid="0a1b2c3d-0000-4000-8000-00000000002f",
    node_name="node-1",
    service_account="web",
    trust_domain="cluster.local",
    control_plane=authority.CONTROL_PLANE,
    control_plane_id=authority.CONTROL_PLANE_ID,
    identity_address=f"{authority.CONTROL_PLANE}:8444",
    discovery_address=f"{authority.CONTROL_PLANE}:8445",
    identity_dir="/var/run/secrets/ipseity.io",
    workload_dir="/run/ipseity.io",
    proxy_uid=2102,
    envoy="/usr/bin/envoy",
    python="/usr/bin/python3",
    version="0.1.0",
    log_level="warning",
    concurrency=1,
    max_connections=20_000,
    drain_s=25.0,
)
FACTS = bootstrap.Facts(ipv6=True, heap_bytes=160 << 20)


def test_the_redirect(request: pytest.FixtureRequest) -> None:
    """With skipped ports in both directions, one of which is ours anyway."""
    plan = redirect.Redirect(
        proxy_uid=2103,
        skip_inbound=ports.parse(["9000-9010", "15020", "9005"]),
        skip_outbound=ports.parse(["3306", "25"]),
    )
    golden.check(request, HERE / "redirect.nft", redirect.ruleset(plan))


def test_the_redirect_without_exceptions(request: pytest.FixtureRequest) -> None:
    """What nearly every pod has."""
    golden.check(request, HERE / "redirect-plain.nft", redirect.ruleset(redirect.Redirect()))


def test_the_bootstrap(request: pytest.FixtureRequest) -> None:
    """With IPv6 and a limit of memory."""
    golden.check(request, HERE / "bootstrap.json", json.dumps(bootstrap.make(TOLD, FACTS), indent=2) + "\n")


@pytest.mark.parametrize("address", ["control.example:8445", "192.0.2.1:8445", "[2001:db8::1]:8445"])
@pytest.mark.parametrize("facts", [FACTS, bootstrap.Facts(ipv6=False, heap_bytes=0)])
def test_envoy_accepts_the_bootstrap(tmp_path: pathlib.Path, address: str, facts: bootstrap.Facts) -> None:
    """The pinned one, in every form that the facts of a pod give it."""
    told = TOLD._replace(workload_dir=str(tmp_path), discovery_address=address)
    made = authority.make()
    files.publish_identity(str(tmp_path), *made.identity("spiffe://cluster.local/ns/shop/sa/web"), generation=1)
    files.publish_trust(str(tmp_path), made.bundle, generation=1)
    config = tmp_path / "bootstrap.json"
    config.write_text(json.dumps(bootstrap.make(told, facts)))
    words = [commands._envoy(), "--mode", "validate", "--config-path", config, "--log-level", "warning"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)
