"""What rules cost: churn of pods changes elements only, and a node has only what its own pods need.

Whether the rules are right is asked with packets: ``tests/functional/ip_policy``.
"""

import re

from comparisons.ip_policy import compiler, gathering, model, ruleset
from tests.fakes import policed_cluster as cast

OPTIONS = compiler.Options()


def rules(*more: cast.Json, node: str = "node-a", options: compiler.Options = OPTIONS) -> ruleset.Ruleset:
    return compiler.compile_for(node, gathering.state(cast.objects(*more)), options)


def test_a_new_pod_elsewhere_is_two_elements() -> None:
    """One for each family, in the set of the peers that it is among."""
    old, new = rules(cast.ADMIT_WEB), rules(cast.ADMIT_WEB, cast.pod("bank", "more", "2.9"))
    assert ruleset.alike(old, new)
    lines = ruleset.difference(old, new).splitlines()
    assert 2 == len(lines)
    assert all(
        re.fullmatch(r"add element inet ipseity-policy pods_\w+ \{ (10.7.2.9|fd00:2::9) \}", each) for each in lines
    )


def test_a_new_pod_here_is_elements_only() -> None:
    """Its link, its addresses, and where its policies are; no rule is written anew."""
    another = cast.pod("shop", "db2", "1.9")
    another["metadata"]["labels"] = {"app": "db"}
    lines = ruleset.difference(rules(cast.ADMIT_WEB), rules(cast.ADMIT_WEB, another)).splitlines()
    assert lines
    assert [] == [each for each in lines if not each.startswith("add element ")]


def test_the_rules_do_not_grow_with_pods() -> None:
    """A hundred more, half of them on the node: as many rules as before."""
    crowd = [cast.pod("shop", f"web{n}", f"{1 + n % 2}.{20 + n}") for n in range(101)]

    def count(found: ruleset.Ruleset) -> int:
        return sum(len(chain.rules) for table in found for chain in table.chains.values())

    assert count(rules(cast.ADMIT_WEB)) == count(rules(cast.ADMIT_WEB, *crowd))


def test_a_policy_for_pods_of_other_nodes_is_no_rule_here() -> None:
    """Nothing of it, so a change of it costs this node nothing."""
    assert "" == ruleset.difference(rules(node="node-b"), rules(cast.ADMIT_WEB, node="node-b"))


def test_a_policy_that_goes_leaves_nothing() -> None:
    """What it needed is deleted, elements that name a chain before the chain."""
    old, new = rules(cast.ADMIT_WEB), rules()
    lines = ruleset.difference(old, new).splitlines()
    gone = [each for each in lines if each.startswith("delete chain")]
    assert 2 == len(gone)
    last_element = max(index for index, each in enumerate(lines) if each.startswith("delete element"))
    assert last_element < lines.index(gone[0])
    assert {name for table in new for name in table.sets} == {
        name for table in old for name in table.sets if not name.startswith("pods_")
    }


def test_a_changed_label_moves_a_pod_to_other_policies() -> None:
    """One element less and one more in the map, in this order, in one transaction."""
    more = cast.policy("web", {"podSelector": {"matchLabels": {"app": "web"}}})
    changed = cast.pod("shop", "db", "1.3")
    changed["metadata"]["labels"] = {"app": "web"}
    text = ruleset.difference(rules(cast.ADMIT_WEB, more), rules(cast.ADMIT_WEB, more, changed))
    less = text.index("delete element inet ipseity-policy ingress4 { 10.7.1.3 }")
    assert less < text.index("add element inet ipseity-policy ingress4 { 10.7.1.3 : goto isolated_ingress_")


def test_ports_that_overlap_are_one() -> None:
    """Nftables refuses a set whose intervals overlap."""
    ports = [{"port": 80, "endPort": 90}, {"port": 85}, {"port": 91}, {"port": 7}]
    found = rules(cast.policy("p", {"podSelector": {}, "ingress": [{"ports": ports}]}))
    assert "tcp dport { 7, 80-91 } accept" in ruleset.whole(found)


def test_long_names_stay_apart() -> None:
    """Nftables has no room for 253 letters, and two that begin alike are two chains."""
    specs = [cast.policy("p" * 250 + str(n), {"podSelector": {}}) for n in range(2)]
    (table, _) = rules(*specs)
    chains = [name for name in table.chains if name.startswith("ingress_shop_p")]
    assert 2 == len(chains)
    assert all(len(name) < 128 for name in chains)


def test_options_are_rules() -> None:
    """Without strictness nothing is said of strays; without the gate nothing is gated."""
    lax = ruleset.whole(rules(cast.ADMIT_WEB, options=compiler.Options(strict=False, gate=False)))
    assert "counter name stray drop" not in lax
    assert "counter name gated drop" not in lax
    tight = ruleset.whole(rules(cast.ADMIT_WEB))
    assert 4 == tight.count("counter name stray drop")
    assert 2 == tight.count("counter name gated drop")


def test_other_options_are_no_difference() -> None:
    """They change rules in place; the frame of both is alike."""
    one, two = rules(options=compiler.Options(gate=True)), rules(options=compiler.Options(gate=False))
    assert ruleset.alike(one, two)
    assert "flush chain bridge ipseity-policy from_pod" in ruleset.difference(one, two)


def test_a_node_that_nobody_knows_has_a_gate_all_the_same() -> None:
    """No pods, no addresses: everything waits."""
    (_, bridge) = compiler.compile_for("node-z", model.State(), OPTIONS)
    assert {} == bridge.sets["own4"].elements
    assert "counter name gated drop" in bridge.chains["from_pod"].rules[-1]
