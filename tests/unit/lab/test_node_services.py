"""Services and their pods as rules. Leaves out whether the kernel takes them: the functional tests have that."""

from typing import Any

from comparisons.lab import services

SERVICE: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00::9"], "ports": [{"name": "http", "port": 80}]},
}


def endpoint_slice(*addresses: str, family: str = "IPv4", **conditions: bool) -> dict[str, Any]:
    """Make an EndpointSlice of the Service."""
    return {
        "metadata": {"name": "web-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": family,
        "ports": [{"name": "http", "port": 8080}, {"name": "other", "port": 9}],
        "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
    }


def test_frontends_by_family_and_port_name() -> None:
    """Each address of a Service has the ready pods of its own family, on the port of that name."""
    found = services.frontends(
        [SERVICE], [endpoint_slice("10.7.0.3", "10.7.0.2", ready=True), endpoint_slice("fd01::2", family="IPv6")]
    )
    four = services.Frontend(
        ip="10.96.0.9",
        protocol="tcp",
        port=80,
        backends=(services.Backend(ip="10.7.0.2", port=8080), services.Backend(ip="10.7.0.3", port=8080)),
    )
    six = services.Frontend(
        ip="fd00::9", protocol="tcp", port=80, backends=(services.Backend(ip="fd01::2", port=8080),)
    )
    assert [four, six] == found


def test_pods_that_end_serve_only_where_nobody_else_does() -> None:
    """As kube-proxy: serving and terminating is better than refused."""
    ending = endpoint_slice("10.7.0.4", ready=False, serving=True)
    lone = services.frontends([SERVICE], [ending])
    assert [it.ip for it in lone[0].backends] == ["10.7.0.4"]
    both = services.frontends([SERVICE], [ending, endpoint_slice("10.7.0.2", ready=True)])
    assert [it.ip for it in both[0].backends] == ["10.7.0.2"]


def test_headless_and_external_services_have_no_rules() -> None:
    """There is no address to translate."""
    headless = {**SERVICE, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
    external = {**SERVICE, "spec": {"type": "ExternalName", "ports": [{"port": 80}]}}
    assert services.frontends([headless, external], []) == []


def test_ruleset() -> None:
    """One transaction: the table as it shall be, whatever it was."""
    rules = services.ruleset(services.frontends([SERVICE], [endpoint_slice("10.7.0.2", "10.7.0.3")]))
    assert rules.splitlines()[:3] == [
        "add table inet ipseity-lab",
        "delete table inet ipseity-lab",
        "table inet ipseity-lab {",
    ]
    choices = "{ 0 : 10.7.0.2 . 8080, 1 : 10.7.0.3 . 8080 }"
    assert f"    ip daddr 10.96.0.9 tcp dport 80 dnat ip to numgen random mod 2 map {choices}" in rules.splitlines()
    assert "  set addresses6 { type ipv6_addr; elements = { fd00::9 }; }" in rules.splitlines()
    assert (
        "  set hairpin4 { type ipv4_addr . ipv4_addr; elements = { 10.7.0.2 . 10.7.0.2, 10.7.0.3 . 10.7.0.3 }; }"
        in rules.splitlines()
    )
    assert "  set hairpin6 { type ipv6_addr . ipv6_addr;  }" in rules.splitlines()


def test_order_of_arrival_does_not_matter() -> None:
    """The same objects are the same rules, so that nothing is replaced by itself."""
    other = {**SERVICE, "metadata": {"name": "a", "namespace": "shop"}}
    assert services.merged({"1": SERVICE, "2": other}) == services.merged({"2": other, "1": SERVICE})
