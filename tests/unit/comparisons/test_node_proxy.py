"""What a node's proxy makes of pods and policies. Leaves out whether packets agree: the scenarios, ``make prove``."""

import dataclasses
import json
import pathlib
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from google.protobuf import json_format

from comparisons.contenders import model as contenders
from comparisons.contenders import per_node
from comparisons.node_proxy import envoy, model, redirect
from injector.sidecar import redirect as mesh_redirect
from ipseity import identity

KNOWN = (original_dst_pb2, tls_inspector_pb2, rbac_pb2, tcp_proxy_pb2, tls_pb2)
"""Messages that a configuration may hold: imported, they can be read."""
INTENT = contenders.Intent(namespace="shop", app="web", callers=["client", "cron"], port=8080)


def pod(name: str, address: str, account: str = "") -> model.Pod:
    made = {
        "metadata": {
            "uid": name, "name": name, "namespace": "shop", "labels": {"app": account or name},
            "annotations": dict(per_node.PerNode().annotations()),
        },
        "spec": {"nodeName": "node-a", "serviceAccountName": account or name},
        "status": {"podIP": address},
    }  # fmt: skip
    found = model.pod(made)
    assert found is not None
    return found


def node(*policies: model.Policy) -> model.Node:
    web, client = pod("web", "10.0.0.2"), pod("client", "10.0.0.3")
    return model.Node(
        local=[(web, pathlib.Path("/netns/web"))],
        everybody=[web, client, pod("client-2", "10.0.0.4", "client"), pod("late", "")],
        policies=policies,
        keys=pathlib.Path("/keys"),
        trust=pathlib.Path("/trust.pem"),
    )


def said(intent: contenders.Intent) -> model.Policy:
    (made,) = per_node.PerNode().objects(intent)
    return model.policy(made)


def listener(which: str, *policies: model.Policy) -> dict[str, Any]:
    found = {it["name"].partition("|")[0]: it for it in envoy.listeners(node(*policies))["resources"]}
    return dict(found[which])


def without(it: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in it.items() if key != "@type"}


def test_envoy_knows_every_field() -> None:
    """By its own messages; what one of them holds is read, too."""
    assert KNOWN
    it = node(said(INTENT))
    for each in envoy.clusters(it)["resources"]:
        json_format.ParseDict(without(each), cluster_pb2.Cluster())
    for each in envoy.listeners(it)["resources"]:
        json_format.ParseDict(without(each), listener_pb2.Listener())


def test_an_identity_has_a_chain_exactly_if_it_is_admitted() -> None:
    """Found by the name in the handshake, and proven by the certificate; nothing is for anybody else."""
    made = listener("in", said(INTENT))
    who = {f"spiffe://cluster.local/ns/shop/sa/{name}" for name in INTENT.callers}
    assert {f"mtls|{each}" for each in who} == {it["name"] for it in made["filter_chains"]}
    for chain in made["filter_chains"]:
        each = chain["name"].partition("|")[2]
        context = chain["transport_socket"]["typed_config"]
        (accepted,) = context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
        assert {"exact": each} == accepted["matcher"]
        assert context["require_client_certificate"]
        assert [model.server_name(each)] == chain["filter_chain_match"]["server_names"]
        permissions = chain["filters"][0]["typed_config"]["rules"]["policies"]["admitted"]["permissions"]
        assert [{"destination_port": 8080}] == permissions
    assert "default_filter_chain" not in made


def test_where_no_policy_speaks_anybody_is_carried() -> None:
    """In plaintext, too; a policy of another namespace, or for other pods, does not speak."""
    others = [
        said(dataclasses.replace(INTENT, namespace="bank")),
        said(dataclasses.replace(INTENT, app="db")),
    ]
    for policies in ([], others):
        made = listener("in", *policies)
        assert ["mtls|"] == [it["name"] for it in made["filter_chains"]]
        assert "default_filter_chain" in made


def test_a_refused_identity_changes_no_other_chain() -> None:
    """So nobody else's connections are cut."""
    before = {it["name"]: it for it in listener("in", said(INTENT))["filter_chains"]}
    after = listener("in", said(dataclasses.replace(INTENT, callers=["cron"])))["filter_chains"]
    assert ["mtls|spiffe://cluster.local/ns/shop/sa/cron"] == [it["name"] for it in after]
    assert before[after[0]["name"]] == after[0]


def test_addresses_lead_to_accounts() -> None:
    """Of all pods that take part and have one, but not to oneself; anything else is carried as it is."""
    made = listener("out")
    (chain,) = made["filter_chains"]
    ranges = [it["address_prefix"] for it in chain["filter_chain_match"]["prefix_ranges"]]
    assert ("to|shop/client", ["10.0.0.3", "10.0.0.4"]) == (chain["name"], ranges)
    assert "plain|web" == made["default_filter_chain"]["filters"][0]["typed_config"]["cluster"]


def test_everything_is_sent_from_within_the_pod() -> None:
    """Under its address and with the mark that the redirect leaves alone."""
    for each in envoy.clusters(node())["resources"]:
        binding = each["upstream_bind_config"]
        assert {"address": "10.0.0.2", "port_value": 0, "network_namespace_filepath": "/netns/web"} == (
            binding["source_address"]
        )
        assert [redirect.MARK] == [it["int_value"] for it in binding["socket_options"]]
    assert f"meta mark {redirect.MARK} return" in redirect.ruleset()


def test_its_words_are_the_mesh_s() -> None:
    """Ports of the redirect, and how a server finds a caller's chain."""
    assert mesh_redirect.OURS == (redirect.OUTBOUND, redirect.INBOUND)
    who = identity.SpiffeId(model.DOMAIN, identity.ServiceAccount("shop", "web"))
    assert f"{identity.identity_tag(who):016x}.ipseity" == model.server_name(str(who))


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"uid": "x", "name": "x", "namespace": "shop"}},
        {"status": {"phase": "Succeeded", "podIP": "10.0.0.9"}},
        {"spec": {"hostNetwork": True}},
    ],
)
def test_who_takes_no_part(change: dict[str, Any]) -> None:
    """Pods that did not ask, have ended, or have their node's network."""
    annotations = dict(per_node.PerNode().annotations())
    made = {"metadata": {"uid": "x", "name": "x", "namespace": "shop", "annotations": annotations}, "status": {}}
    assert model.pod({**made, "spec": {}}) is not None
    assert model.pod({"spec": {}, **made, **change}) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"action": "AUDIT", "rules": []},
        {"action": "ALLOW", "rules": [{}]},
        {"action": "ALLOW", "rules": [{"sources": [{"type": "Namespace", "namespace": "x"}]}]},
    ],
)
def test_a_policy_that_it_cannot_say_is_refused(spec: dict[str, Any]) -> None:
    """Half understood it would let somebody in."""
    targets = [{"kind": "Pod", "selector": {}}]
    with pytest.raises(ValueError, match="only"):
        model.policy({"metadata": {"namespace": "shop"}, "spec": {"targetRefs": targets, **spec}})


def test_a_pod_is_held_until_the_proxy_listens_in_it() -> None:
    """If it takes part, and has a network of its own."""
    it = per_node.PerNode()
    plain = {"metadata": {"annotations": dict(it.annotations())}, "spec": {"containers": []}}
    held = it.admitted(plain)
    assert "15001, 15006" in json.dumps(held["spec"]["initContainers"])
    assert plain["spec"] == {"containers": []}
    apart = {**plain, "metadata": {}}
    host = {**plain, "spec": {"hostNetwork": True}}
    assert [apart, host] == [it.admitted(apart), it.admitted(host)]
