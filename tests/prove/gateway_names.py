"""Each name of the Gateway API's conformance suite for meshes has a test here, written from the specification.

The upstream suite itself needs a cluster of its own and is not run. Several names may be one test: what they ask for
is in it. Traffic goes through real Envoys.
"""

from tests.prove import _cases, verdict

_RULES, _BOUND = "tests/functional/injector/test_routes.py", "tests/functional/injector/test_routes_attached.py"
CASES = {
    "MeshBasic": f"{_BOUND}::test_without_routes_all_is_as_before",
    "MeshHTTPRouteMatching": f"{_RULES}::test_paths_are_matched",
    "MeshHTTPRouteQueryParamMatching": f"{_RULES}::test_headers_queries_and_methods_are_matched",
    "MeshHTTPRouteWeight": f"{_RULES}::test_a_share_goes_where_its_weight_says",
    "MeshTrafficSplit": f"{_RULES}::test_nothing_goes_where_the_weight_is_0",
    "MeshHTTPRouteRequestHeaderModifier": f"{_RULES}::test_headers_are_changed_on_the_way_and_back",
    "MeshHTTPRouteRedirect*": f"{_RULES}::test_clients_are_sent_elsewhere",
    "MeshHTTPRouteRewritePath": f"{_RULES}::test_prefixes_are_replaced_as_the_table_of_the_specification_says",
    "MeshHTTPRouteSimpleSameNamespace": f"{_BOUND}::test_a_producers_route_changes_nothing_it_does_not_say",
    "MeshFrontend": f"{_BOUND}::test_a_pods_own_address_has_no_routes",
    "MeshFrontendHostname": f"{_BOUND}::test_a_service_is_known_by_its_address_and_not_by_its_name",
    "MeshPorts": f"{_BOUND}::test_a_route_may_be_for_one_port",
    "MeshConsumerRoute": f"{_BOUND}::test_a_consumers_route_is_for_its_own_namespace_and_replaces_the_producers",
    "MeshGRPCRouteWeight": f"{_BOUND}::test_grpc_has_weights_and_changes_headers",
    "MeshGRPCRouteRequestHeaderModifier": f"{_BOUND}::test_grpc_has_weights_and_changes_headers",
}


def prove() -> verdict.Verdict:
    """Run the test of every name."""
    return _cases.prove(CASES, "names")
