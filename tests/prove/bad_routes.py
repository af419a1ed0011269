"""A route that is wrong says so and harms nobody: the right condition, 500 for its own share, all else as before.

Unknown backends, wrong kinds, bad durations, other namespaces without a grant. Conditions are read from the API,
traffic goes through real Envoys. The cases are tests: exactly those are run.
"""

from tests.prove import _cases, verdict

_TRAFFIC = "tests/functional/injector/test_routes_attached.py"
_API = "tests/contract/injector/test_routes.py"
CASES = {
    "conditions in the API": f"{_API}::test_every_route_hears_how_it_stands",
    "others' conditions stay": f"{_API}::test_what_another_controller_says_stays",
    "bad durations, kinds of matches": f"{_API}::test_the_definitions_refuse_what_nobody_can_mean",
    "a broken rule is 500": f"{_TRAFFIC}::test_a_rule_without_a_backend_that_may_be_sent_to_is_500",
    "a rule that cannot be acted on": f"{_TRAFFIC}::test_a_rule_that_cannot_be_acted_on_is_500_and_the_others_hold",
    "only its share": f"{_TRAFFIC}::test_a_backend_that_is_not_there_fails_its_share_only",
    "other namespaces with a grant": f"{_TRAFFIC}::test_a_grant_lets_a_route_send_to_another_namespace",
    "no endpoints is 503": f"{_TRAFFIC}::test_a_backend_without_endpoints_is_503",
    "two kinds want one port": f"{_TRAFFIC}::test_a_grpc_route_has_the_port_that_an_http_route_wants_too",
    "every field, refused with its place": "tests/unit/injector/routes/test_reading.py",
    "reasons, sentence by sentence": "tests/unit/injector/routes/test_attach.py",
}


def prove() -> verdict.Verdict:
    """Run every case."""
    return _cases.prove(CASES, "bad routes")
