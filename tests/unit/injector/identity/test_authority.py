"""When an issuer and an anchor are taken, held and let go. Leaves out what makes an issuer sound (test_issuers)."""

import dataclasses

from injector.identity import anchors, authority, issuance, ledger, lifecycle
from injector.kube import secrets
from tests.fakes import authorities

NOW_S = authorities.NOW_S
NOBODY = ledger.Summary()


def anchor_secret(made: anchors.Authority, name: str = lifecycle.ANCHOR) -> secrets.TlsSecret:
    return lifecycle.anchor_secret(made, "sys", name)


def issuer_secret(made: anchors.Authority, above: anchors.Authority) -> secrets.TlsSecret:
    return lifecycle.issuer_secret(made, above.certificate, "sys")


class Scene:
    """An authority with one anchor and one issuer, and pods that hold leaves."""

    def __init__(self) -> None:
        self.old, self.new = authorities.anchor(), authorities.anchor()
        self.pods = ledger.Ledger()
        self.spread: dict[str, float] = {}
        self.held = authority.Authority(authorities.TRUST_DOMAIN, settle_s=180)
        self.found = authority.Found(
            anchor=anchor_secret(self.old), issuer=issuer_secret(authorities.issuer_of(self.old), self.old)
        )

    def take(self, now_s: float = NOW_S, **change: secrets.TlsSecret | None) -> list[str]:
        self.found = dataclasses.replace(self.found, **change)
        told = self.held.take(self.found, [self.pods.summary(now_s)], self.spread.get, now_s=now_s)
        return [each.reason for each in told]

    def give(self, pod: str, above: anchors.Authority, *trusted: anchors.Authority, silent: bool = False) -> None:
        names = None if silent else tuple(anchors.fingerprint(each.certificate) for each in trusted)
        self.pods.record(entry(pod, anchors.fingerprint(above.certificate), names))

    def bundle(self) -> list[anchors.Authority]:
        known = {each.certificate: each for each in (self.old, self.new)}
        return [known[each] for each in self.held.bundle]


def entry(pod: str, anchor: str, trusted: tuple[str, ...] | None, until_s: float = NOW_S + 86_400) -> issuance.Entry:
    return issuance.Entry(
        time_s=int(NOW_S),
        serial="1" * 32,
        spiffe_id=authorities.SPIFFE_ID,
        namespace="rec",
        pod=pod,
        pod_uid=pod,
        not_before_s=int(NOW_S),
        not_after_s=int(until_s),
        issuer="i",
        anchor=anchor,
        trusted=trusted,
    )


def test_the_first_issuer_is_taken_at_once() -> None:
    """Nobody can be harmed by it; looking again says nothing new."""
    scene = Scene()
    assert ["AnchorsUpdated", "IssuerUpdated"] == scene.take()
    assert [scene.old] == scene.bundle()
    assert [] == scene.take()


def test_an_issuer_below_the_same_anchor_is_swapped_at_once() -> None:
    """Every pod can verify its leaves already."""
    scene = Scene()
    scene.take()
    assert ["IssuerUpdated"] == scene.take(issuer=issuer_secret(authorities.issuer_of(scene.old), scene.old))


def test_a_bad_issuer_is_refused_once_and_the_old_one_stays() -> None:
    """Said when it begins, counted each time it is looked at; the way back is a good one."""
    scene = Scene()
    scene.take()
    before, good = scene.held.issuer, scene.found.issuer
    assert good is not None
    bad = dataclasses.replace(good, key_pem=scene.new.key_pem)
    assert ["IssuerRefused"] == scene.take(issuer=bad)
    assert [] == scene.take()
    assert before is scene.held.issuer
    assert {"key_mismatch": 2} == scene.held.refused
    assert [] == scene.take(issuer=good)
    assert ["IssuerRefused"] == scene.take(issuer=bad)


def test_an_unreadable_anchor_leaves_the_bundle_as_it_is() -> None:
    """Whatever somebody wrote into the Secret."""
    scene = Scene()
    scene.take()
    broken = dataclasses.replace(anchor_secret(scene.old), certificate_pem=b"oops")
    assert ["AnchorsRefused"] == scene.take(anchor=broken)
    assert [] == scene.take()
    assert [scene.old] == scene.bundle()


def test_an_issuer_that_vanished_stays_in_use() -> None:
    """A deleted Secret is no reason to stop."""
    scene = Scene()
    scene.take()
    assert [] == scene.take(issuer=None)
    assert scene.held.issuer is not None


def test_an_issuer_brought_alone_brings_its_anchor() -> None:
    """In ca.crt, as cert-manager writes it."""
    scene = Scene()
    assert ["AnchorsUpdated", "IssuerUpdated"] == scene.take(anchor=None)
    assert [scene.old] == scene.bundle()


def test_anchor_and_issuer_replaced_in_place_hurt_nobody() -> None:
    """As cert-manager renews a self-signed authority: the new issuer waits, the old anchor stays while it is needed."""
    scene = Scene()
    scene.take()
    scene.give("a", scene.old, scene.old)
    scene.give("b", scene.old, scene.old)
    old_issuer = scene.held.issuer
    issuer = issuer_secret(authorities.issuer_of(scene.new), scene.new)
    assert ["AnchorsUpdated", "IssuerHeld"] == scene.take(anchor=anchor_secret(scene.new), issuer=issuer)
    assert [scene.old, scene.new] == scene.bundle()
    assert old_issuer is scene.held.issuer

    scene.spread[anchors.fingerprint(scene.new.certificate)] = NOW_S
    scene.give("a", scene.old, scene.old, scene.new)
    assert [] == scene.take(), "pod b has not said that it trusts the new one"
    scene.give("b", scene.old, scene.old, scene.new)
    assert ["IssuerUpdated"] == scene.take()
    assert [scene.old, scene.new] == scene.bundle()

    scene.give("a", scene.new, scene.old, scene.new)
    scene.take()
    assert [scene.old, scene.new] == scene.bundle(), "pod b still shows a leaf below the old one"
    scene.give("b", scene.new, scene.old, scene.new)
    scene.take()
    assert [scene.new] == scene.bundle()


def test_what_other_replicas_have_signed_counts_as_well() -> None:
    """An anchor stays in the bundle for a leaf that another one signed; a new one waits for that one's pods too."""
    scene = Scene()
    scene.take()
    name = anchors.fingerprint(scene.old.certificate)
    theirs = ledger.Summary(pods=3, by_anchor={name: ledger.Use(pods=3, last_not_after_s=int(NOW_S) + 900)})
    scene.found = authority.Found(
        anchor=anchor_secret(scene.new), issuer=issuer_secret(authorities.issuer_of(scene.new), scene.new)
    )
    scene.spread[anchors.fingerprint(scene.new.certificate)] = NOW_S - 9000

    def take(*others: ledger.Summary) -> list[str]:
        told = scene.held.take(scene.found, [NOBODY, *others], scene.spread.get, now_s=NOW_S)
        return [each.reason for each in told]

    assert ["AnchorsUpdated", "IssuerHeld"] == take(theirs)
    trusting = dataclasses.replace(theirs, trusting={anchors.fingerprint(scene.new.certificate): 3})
    assert ["IssuerUpdated"] == take(trusting)
    assert [scene.old, scene.new] == scene.bundle()
    take()
    assert [scene.new] == scene.bundle()


def test_silent_pods_are_given_time() -> None:
    """Those that do not say what they trust have the bundle a while after it is everywhere."""
    scene = Scene()
    scene.take()
    scene.give("a", scene.old, silent=True)
    change = {
        "upcoming": anchor_secret(scene.new, lifecycle.UPCOMING),
        "issuer": issuer_secret(authorities.issuer_of(scene.new), scene.new),
    }
    assert ["AnchorsUpdated", "IssuerHeld"] == scene.take(**change)
    scene.spread[anchors.fingerprint(scene.new.certificate)] = NOW_S + 10
    assert [] == scene.take(NOW_S + 10 + 179)
    assert ["IssuerUpdated"] == scene.take(NOW_S + 10 + 180)


def test_an_issuer_that_is_about_to_end_is_not_waited_for() -> None:
    """Then nobody could renew at all, which is worse."""
    scene = Scene()
    ending = authorities.issuer_of(scene.old, life_s=3000)
    scene.take(issuer=issuer_secret(ending, scene.old))
    scene.give("a", scene.old, scene.old)
    issuer = issuer_secret(authorities.issuer_of(scene.new), scene.new)
    change = {"upcoming": anchor_secret(scene.new, lifecycle.UPCOMING), "issuer": issuer}
    assert ["AnchorsUpdated", "IssuerUpdated"] == scene.take(**change)


def test_a_pod_that_is_gone_is_not_waited_for() -> None:
    """Its leaf may be good for a day; nobody shows it."""
    scene = Scene()
    scene.give("a", scene.old, scene.old)
    assert 1 == scene.pods.summary(NOW_S).pods
    scene.pods.gone("a")
    scene.pods.gone("never-seen")
    assert 0 == scene.pods.summary(NOW_S).pods


def test_the_ledger_counts_the_newest_leaf_of_each_pod() -> None:
    """What it holds, what it trusts, what ends first, who is late."""
    pods = ledger.Ledger()
    pods.recall([entry("a", "x", None), entry("a", "y", ("x", "y", "y")), entry("b", "y", ("y",), NOW_S + 100)])
    summary = pods.summary(NOW_S + 86)
    assert (2, 0, 1, int(NOW_S) + 100) == (summary.pods, summary.silent, summary.overdue, summary.first_not_after_s)
    assert {"y": ledger.Use(pods=2, last_not_after_s=int(NOW_S) + 86_400)} == summary.by_anchor
    assert (1, 0, 2) == (summary.untold("x"), summary.untold("y"), summary.untold("z"))
    pods.expire(NOW_S + 100)
    assert 1 == len(pods)
    assert NOBODY == ledger.Ledger().summary(NOW_S)


def test_of_two_leaves_of_a_pod_the_newer_counts_whoever_tells_first() -> None:
    """Other replicas tell late; a pod that was deleted is not brought back by what they tell."""
    pods = ledger.Ledger()
    heard: list[ledger.Leaf] = []
    stop = pods.listen(heard.append)
    pods.record(entry("a", "new", ("new",)))
    older = ledger.Leaf(pod_uid="a", anchor="old", not_before_s=7, not_after_s=int(NOW_S) + 7, trusted=None)
    pods.hear(older)
    assert {"new": 1} == dict(pods.summary(NOW_S).trusting)
    pods.gone("b")
    pods.hear(dataclasses.replace(older, pod_uid="b"))
    assert 1 == len(pods) == len(heard)
    stop()
    pods.record(entry("c", "new", None))
    assert (2, 1) == (len(pods), len(heard))


def test_a_ledger_that_is_full_becomes_careful_not_blind() -> None:
    """Beyond its bound the longest leaf of each kind stands for all of them, and can no longer be taken back."""
    pods = ledger.Ledger(max_pods=3)
    for number in range(23):
        pods.record(entry(f"pod-{number}", "old", ("old",), NOW_S + number + 1))
    assert 4 == len(pods)
    assert int(NOW_S) + 23 == pods.summary(NOW_S).by_anchor["old"].last_not_after_s
    pods.record(entry("pod-22", "new", ("old", "new")))
    assert 1 == pods.summary(NOW_S + 5).by_anchor["old"].pods
    assert {} == {name: use for name, use in pods.summary(NOW_S + 23).by_anchor.items() if name == "old"}
