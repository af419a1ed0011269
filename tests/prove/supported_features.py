"""Each feature of the Gateway API that the mesh's status claims has a test here, and holds.

The names are those of the conformance suite, which runs what ``status.supportedFeatures`` of an ``XMesh`` lists.
Traffic goes through real Envoys. Several names may be one test: what they ask for is in it.
"""

import dataclasses

from tests.prove import _cases, verdict

_RULES, _BOUND = "tests/functional/injector/test_routes.py", "tests/functional/injector/test_routes_attached.py"
_ELSEWHERE = f"{_RULES}::test_clients_are_sent_elsewhere"
_MATCHED = f"{_RULES}::test_headers_queries_and_methods_are_matched"
_CHANGED = f"{_RULES}::test_headers_are_changed_on_the_way_and_back"
_REPLACED = f"{_RULES}::test_prefixes_are_replaced_as_the_table_of_the_specification_says"
_REWRITTEN = f"{_RULES}::test_host_and_whole_path_are_rewritten"
_IN_TIME = f"{_RULES}::test_a_time_out_fires_when_it_is_due"
_NAMED = f"{_RULES}::test_rules_may_have_names"
CASES = {
    "GRPCRoute": f"{_BOUND}::test_grpc_calls_are_matched_and_shared",
    "HTTPRoute": f"{_RULES}::test_paths_are_matched",
    "HTTPRoute303RedirectStatusCode": _ELSEWHERE,
    "HTTPRoute307RedirectStatusCode": _ELSEWHERE,
    "HTTPRoute308RedirectStatusCode": _ELSEWHERE,
    "HTTPRouteBackendRequestHeaderModification": _CHANGED,
    "HTTPRouteBackendTimeout": _IN_TIME,
    "HTTPRouteHostRewrite": _REWRITTEN,
    "HTTPRouteMethodMatching": _MATCHED,
    "HTTPRouteNamedRouteRule": _NAMED,
    "HTTPRouteParentRefPort": f"{_BOUND}::test_a_route_may_be_for_one_port",
    "HTTPRoutePathRedirect": _ELSEWHERE,
    "HTTPRoutePathRewrite": _REPLACED,
    "HTTPRoutePortRedirect": _ELSEWHERE,
    "HTTPRouteQueryParamMatching": _MATCHED,
    "HTTPRouteRequestMirror": f"{_RULES}::test_copies_are_sent_and_nobody_waits_for_them",
    "HTTPRouteRequestMultipleMirrors": f"{_RULES}::test_several_copies_are_sent",
    "HTTPRouteRequestPercentageMirror": f"{_RULES}::test_a_share_of_copies_is_sent",
    "HTTPRouteRequestTimeout": _IN_TIME,
    "HTTPRouteResponseHeaderModification": _CHANGED,
    "HTTPRouteSchemeRedirect": _ELSEWHERE,
    "Mesh": f"{_BOUND}::test_without_routes_all_is_as_before",
    "MeshClusterIPMatching": f"{_BOUND}::test_a_service_is_known_by_its_address_and_not_by_its_name",
    "MeshConsumerRoute": f"{_BOUND}::test_a_consumers_route_is_for_its_own_namespace_and_replaces_the_producers",
    "MeshHTTPRouteBackendRequestHeaderModification": _CHANGED,
    "MeshHTTPRouteNamedRouteRule": _NAMED,
    "MeshHTTPRouteQueryParamMatching": _MATCHED,
    "MeshHTTPRouteRedirectPath": _ELSEWHERE,
    "MeshHTTPRouteRedirectPort": _ELSEWHERE,
    "MeshHTTPRouteRewritePath": _REWRITTEN,
    "MeshHTTPRouteSchemeRedirect": _ELSEWHERE,
}
_PUBLISHED = "tests/contract/injector/test_routes.py::test_a_mesh_says_what_it_can_do"


def prove() -> verdict.Verdict:
    """Run each test once, and the one that reads what is published."""
    names: dict[str, list[str]] = {}
    for name, case in CASES.items():
        names.setdefault(case, []).append(name)
    said = {", ".join(each): case for case, each in names.items()}
    found = _cases.prove({"published": _PUBLISHED, **said}, "features")
    return dataclasses.replace(found, figure=f"{found.figure}, {len(CASES)} names")
