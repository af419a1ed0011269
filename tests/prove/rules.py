"""Prometheus takes the rules, and each alert fires when it should and only then: `promtool check` and `test rules`.

Leaves out whether a server that has stored a lab's run finds series for every query.
"""

from tests.prove import _cases, verdict

ROOM = "tests/contract/deploy/test_rules.py"


def prove() -> verdict.Verdict:
    """Run the cases."""
    return _cases.prove(
        {
            "promtool check rules": f"{ROOM}::test_prometheus_takes_them",
            "promtool test rules": f"{ROOM}::test_they_say_what_they_should",
            "every rule is in a test": f"{ROOM}::test_every_rule_is_tested",
            "every metric is one of ours": f"{ROOM}::test_they_read_what_is_served",
            "every alert says what to do": f"{ROOM}::test_every_alert_says_what_to_do",
            "the chart has them unchanged": f"{ROOM}::test_the_chart_carries_them_as_they_are",
        },
        "checks of the rules",
    )
