"""The mesh's rows of ``ipseity check``, on facts of clusters that are not at hand.

Leaves out the reading (test_survey.py) and what is judged elsewhere (identity.findings, webhook.decide).
"""

import datetime as dt
from typing import Any

import pytest

from injector import names
from injector.cluster import model
from injector.discovery import proxies
from injector.identity import findings as identities
from injector.policy import book
from injector.seeing import inspection
from injector.webhook import certificate, configuration
from injector.webhook import pod as pods
from ipseity import findings
from tests.fakes import clusters
from tests.fakes import policies as given_policies

OK, WARN, FAIL = findings.Status.OK, findings.Status.WARN, findings.Status.FAIL
NOW = dt.datetime(2026, 11, 27, 9, tzinfo=dt.UTC)
NOW_S = NOW.timestamp()
PAIR = certificate.make(["ipseity-control.ipseity-system.svc"], NOW)
GOOD = inspection.Trial(injected=True)


def statuses(found: list[findings.Finding]) -> list[findings.Status]:
    return [each.status for each in found]


def well(found: list[findings.Finding]) -> bool:
    """One row, that all is well."""
    return [OK] == statuses(found) and not found[0].hint


def says(found: list[findings.Finding], status: findings.Status, words: str) -> bool:
    """One row with these words, and what to do about it."""
    (row,) = found
    return (status, True, True) == (row.status, words in row.text, bool(row.hint))


def test_identity_is_one_row_if_all_is_well() -> None:
    """Else one for each thing that is not, the worst first."""
    good = identities.Finding(level=identities.Level.GOOD, what="issuer expires in 300 days")
    soon = identities.Finding(level=identities.Level.SOON, what="issuer expires in 6 days", remedy="rotate")
    bad = identities.Finding(level=identities.Level.BAD, what="there is no issuer", remedy="start it")
    assert well(inspection.identity([good, good]))
    assert [(FAIL, "start it"), (WARN, "rotate")] == [
        (each.status, each.hint) for each in inspection.identity([good, soon, bad])
    ]


def configured(bundle: bytes = PAIR.authority_pem) -> dict[str, Any]:
    return configuration.render(configuration.Endpoint(), bundle)


def test_a_webhook_that_answers() -> None:
    """With the time that its certificate has left; also where this account may not try, or not read the Secret."""
    found = inspection.webhook(configured(), PAIR, GOOD, now=NOW)
    assert well(found)
    assert "answers; the API server trusts it, its certificate ends in 90 days" == found[0].text
    assert "not tried" in inspection.webhook(configured(), PAIR, inspection.Trial(allowed=False), now=NOW)[0].text
    assert well(inspection.webhook(configured(), None, GOOD, now=NOW))


def test_a_webhook_that_is_not_configured() -> None:
    """Nothing is injected, and the control plane's log says why it did not write it."""
    found = inspection.webhook(None, PAIR, inspection.Trial(), now=NOW)
    assert says(found, FAIL, "there is no MutatingWebhookConfiguration")
    less = configured()
    less["webhooks"] = less["webhooks"][1:]
    assert says(inspection.webhook(less, PAIR, GOOD, now=NOW), FAIL, "lacks pods.inject.ipseity.io")


@pytest.mark.parametrize(
    ("bundle", "status", "words"),
    [
        (b"", FAIL, "caBundle is missing"),
        (b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", FAIL, "caBundle is missing, unread"),
        (certificate.make(["other"], NOW).authority_pem, FAIL, "does not contain who signed"),
        (certificate.make(["old"], NOW - dt.timedelta(days=200)).authority_pem, FAIL, "has expired"),
    ],
)
def test_a_bundle_that_does_not_fit(bundle: bytes, status: findings.Status, words: str) -> None:
    """Each way in which the API server would not believe the webhook."""
    assert says(inspection.webhook(configured(bundle), PAIR, GOOD, now=NOW), status, words)


def test_a_certificate_that_nobody_renews() -> None:
    """Said while there is time."""
    soon = NOW + certificate.LIFE - dt.timedelta(days=20)
    assert says(inspection.webhook(configured(), PAIR, GOOD, now=soon), WARN, "ends in 20 days and was not renewed")


def test_a_pod_that_would_be_let_in_bare_or_refused() -> None:
    """Whatever the objects look like, the trial shows what happens."""
    assert says(inspection.webhook(configured(), PAIR, inspection.Trial(), now=NOW), FAIL, "does not ask the webhook")
    refused = inspection.Trial(error="failed calling webhook: EOF")
    assert says(inspection.webhook(configured(), PAIR, refused, now=NOW), FAIL, "is refused: failed calling webhook")


@pytest.mark.parametrize(
    ("off_s", "status", "words"),
    [(-21, FAIL, "this machine is 20 s behind"), (-7, WARN, "6 s behind"), (30, FAIL, "29 s ahead of the API server")],
)
def test_a_clock_that_is_off(off_s: float, status: findings.Status, words: str) -> None:
    """As far as it is sure."""
    assert says(inspection.clocks(NOW_S, NOW_S + off_s, 1, {}, asked_s=NOW_S), status, words)


def test_clocks_that_agree() -> None:
    """As far as can be seen; a control plane that published a while ago is not behind."""
    assert well(inspection.clocks(NOW_S, NOW_S + 5, 1, {"control plane a": NOW_S - 300}, asked_s=NOW_S))
    ahead = inspection.clocks(NOW_S, NOW_S, 1, {"control plane a": NOW_S + 9}, asked_s=NOW_S)
    assert says(ahead, WARN, "control plane a is 8 s ahead")


def report(*named: proxies.Trouble, **said: Any) -> proxies.Report:
    troubled = sum(each.state != "absent" for each in named)
    given: dict[str, Any] = {
        "time_s": int(NOW_S),
        "version": "1",
        "connected": 3,
        "synced": 3 - troubled,
        "troubled": troubled,
        "absent": len(named) - troubled,
        **said,
    }
    return proxies.Report(named=named, **given)


def test_proxies_that_have_the_latest() -> None:
    """Of all control planes."""
    found = inspection.proxies_of({"a": report(), "b": report()}, now_s=NOW_S)
    assert well(found)
    assert "6 connected" in found[0].text


def test_a_control_plane_that_is_silent() -> None:
    """What it said then is nothing to go by."""
    assert says(inspection.proxies_of({}, now_s=NOW_S), FAIL, "no control plane says how its proxies are")
    assert says(inspection.proxies_of({"a": report()}, now_s=NOW_S + 61), FAIL, "any more")


@pytest.mark.parametrize(
    ("trouble", "status", "words"),
    [
        (proxies.Trouble(pod="shop/a", state="refusing", for_s=9, reason="LDS: no"), FAIL, "last good one: LDS: no"),
        (proxies.Trouble(pod="shop/a", state="behind", for_s=9), WARN, "has not accepted a change for 9 s"),
        (proxies.Trouble(pod="shop/a", state="unknown", for_s=9), WARN, "no pod of that name"),
        (proxies.Trouble(pod="shop/a", state="absent"), WARN, "shop/a is ready and not connected"),
    ],
)
def test_a_proxy_that_is_not_as_it_should_be(trouble: proxies.Trouble, status: findings.Status, words: str) -> None:
    """Each with whose log to read."""
    found = inspection.proxies_of({"a": report(trouble)}, now_s=NOW_S)
    assert says(found, status, words)
    assert "kubectl logs -n " in found[0].hint


def test_a_proxy_that_is_connected_elsewhere() -> None:
    """Of two control planes, each misses the other's proxies."""
    absent = [proxies.Trouble(pod=f"shop/{name}", state="absent") for name in "abc"]
    found = inspection.proxies_of({"a": report(absent[0], absent[2]), "b": report(*absent[1:])}, now_s=NOW_S)
    assert says(found, WARN, "shop/c is ready and not connected")


def test_a_proxy_that_is_connected_nowhere_is_found_among_many() -> None:
    """Each control plane names fifty of the other's; the tags of all tell who is missing from both."""

    def lacking(*numbers: int) -> proxies.Report:
        pods = [clusters.pod(number, ready=True) for number in numbers]
        return proxies.report([], clusters.state(pods), now_s=NOW_S, version="1")

    first, second = range(400), (*range(400, 800), 99)
    found = inspection.proxies_of({"a": lacking(*first), "b": lacking(*second)}, now_s=NOW_S)
    assert (1, True) == (len(found), says(found, WARN, "1 pod is ready and not connected"))
    assert well(inspection.proxies_of({"a": lacking(*first), "b": lacking(*range(400, 800))}, now_s=NOW_S))


def test_troubles_are_bounded() -> None:
    """A few by name, the rest as a number."""
    many = [proxies.Trouble(pod=f"shop/{n}", state="behind", for_s=9) for n in range(9)]
    found = inspection.proxies_of({"a": report(*many, troubled=400)}, now_s=NOW_S)
    assert (6, "and 395 more") == (len(found), found[-1].text)


def candidate(name: str, said: dict[str, str] | None = None, **parts: Any) -> inspection.Candidate:
    containers = parts.pop("containers", ["app"])
    annotations = parts.pop("annotations", {names.INJECT: "enabled"})
    body = {
        "metadata": {"annotations": annotations},
        "spec": {"containers": [{"name": n} for n in containers], **parts},
    }
    return inspection.Candidate(namespace="shop", name=name, pod=pods.convert(body), said=said or {})


def injected(name: str, version: str) -> inspection.Candidate:
    annotations = {names.INJECT: "enabled", names.INJECTED: version}
    return candidate(name, annotations=annotations, containers=["app", names.PROXY, names.REDIRECT])


def test_pods_that_are_as_they_were_asked_to_be() -> None:
    """Injected, or not asked for."""
    found = inspection.injection([injected("a", "1"), candidate("b", annotations={})], "1")
    assert well(found)
    assert found[0].text.startswith("1 pods injected")


@pytest.mark.parametrize(
    ("pod", "words", "hint"),
    [
        (candidate("a"), "created before it was annotated", "kubectl delete pod -n shop a"),
        (candidate("a", {names.INJECT: "enabled"}, annotations={}), "created before", "kubectl rollout restart"),
        (candidate("a", hostNetwork=True), "uses the host's network", "kubectl describe pod -n shop a"),
        (candidate("a", annotations={names.INJECT: "yes"}), "neither enabled nor disabled", "remove the annotation"),
        (
            candidate("a", annotations={names.INJECT: "enabled", "config.ipseity.io/proxy-uid": "{0}"}),
            "would be refused now",
            "remove the annotation",
        ),
    ],
)
def test_a_pod_that_was_asked_for_and_has_no_sidecar(pod: inspection.Candidate, words: str, hint: str) -> None:
    """With the reason that the webhook would give, and what to type."""
    found = inspection.injection([injected("x", "1"), pod], "1")
    assert says(found, WARN, words)
    assert found[0].text.startswith("shop/a is annotated but not injected")
    assert hint in found[0].hint


def test_pods_of_one_reason_are_one_row() -> None:
    """The first few by name."""
    found = inspection.injection([candidate(name) for name in "abcde"], "")
    assert says(found, WARN, "shop/a, shop/b, shop/c and 2 more are annotated but not injected")
    assert "shop/a and shop/b are" in inspection.injection([candidate("a"), candidate("b")], "")[0].text


def test_a_sidecar_of_another_version() -> None:
    """Said where the control plane says its own."""
    assert says(
        inspection.injection([injected("a", "1")], "2"), WARN, "shop/a is not of the control plane's version, 2"
    )
    assert well(inspection.injection([injected("a", "1")], ""))


def test_ports_of_which_nobody_says_what_they_speak_are_named() -> None:
    """Of meshed pods only; a pod's own word for its port counts, since its proxy hears it."""
    web, bare = clusters.pod(1), clusters.pod(2, "bare", meshed=False)
    detected = model.Protocol.DETECT
    said = [
        clusters.service("web", [web], protocol=detected),  # to 8080, which the pod calls http
        clusters.service("bytes", [web], protocol=model.Protocol.OPAQUE, target=7001),
        clusters.service("legacy", [bare], protocol=detected, target=7000),
    ]
    (good,) = inspection.protocols(clusters.state([web, bare], said))
    assert (findings.Status.OK, True) == (good.status, "of 2 of 2 meshed ports" in good.text)
    unsaid = clusters.service("odd", [web], protocol=detected, target=7000)
    (bad,) = inspection.protocols(clusters.state([web, bare], [*said, unsaid]))
    assert (findings.Status.WARN, True) == (bad.status, bad.text.startswith("shop/odd:80 is said"))
    assert "x-forwarded-client-cert" in bad.text
    assert bad.hint.endswith("kubectl edit service -n shop odd")


def test_policies_that_are_not_valid() -> None:
    """What is wrong, and what holds instead."""
    known = book.Book(given_policies.TRUST_DOMAIN)
    known.apply(given_policies.item("good"))
    assert well(inspection.policies(known.entries.values()))
    broken = given_policies.item("bad", action="MAYBE")
    known.apply(broken)
    found = inspection.policies(known.entries.values())
    assert says(found, WARN, "it does nothing")
    assert "kubectl edit authorizationpolicies.ipseity.io -n " in found[0].hint
    for number in range(9):
        known.apply({**broken, "metadata": {**broken["metadata"], "name": f"bad-{number}"}})
    found = inspection.policies(known.entries.values())
    assert (6, "and 5 more") == (len(found), found[-1].text)


def test_the_verdict() -> None:
    """One sentence, what is wrong by name."""
    rows = [
        findings.Finding(name=name, status=status, text="") for name, status in (("a", OK), ("b", WARN), ("c", FAIL))
    ]
    assert "the mesh is not well: c" == inspection.verdict(rows)
    assert "the mesh works, and needs a look: b" == inspection.verdict(rows[:2])
    assert "the mesh is well" == inspection.verdict(rows[:1])


def test_annotations_that_cannot_be_read_are_named() -> None:
    """With the Service to mend; where all can be, there is nothing to say."""
    assert [] == inspection.annotations(["pod shop/web-1: whatever"])
    (found,) = inspection.annotations(
        ["Service shop/web: annotation x: value 'y' is not allowed", "Service shop/db: z"]
    )
    assert (findings.Status.WARN, "mend it: kubectl edit service -n shop web") == (found.status, found.hint)
    assert "Service shop/web: annotation x: value 'y' is not allowed, and 1 more" == found.text
