"""Names for the tags of a handshake. Left out: what a name means for a flow (``test_attribution``)."""

import ipaddress

from agent import attribution, model, ownership, tags
from ipseity import identity

CLUSTER = identity.TrustDomain("cluster.local")
SHOP = identity.ServiceAccount("shop", "web")
ADDRESS = ipaddress.ip_address("10.7.1.9")


def pod(number: int, account: str = "web", **said: object) -> model.Pod:
    return model.Pod(
        uid=model.PodUid(f"{number:08x}-0000-4000-8000-000000000000"),
        namespace="shop",
        name=f"web-{number}",
        service_account=account,
        **said,  # type: ignore[arg-type]  # what a test wants to say
    )


def event(of: model.Pod, at: int, *, gone: bool = False) -> model.ObjectEvent:
    return model.ObjectEvent(change=model.Change.GONE if gone else model.Change.SEEN, object=of, boot_ns=at)


def told(known: tags.Tags, owners: ownership.Ownership, account: identity.ServiceAccount, uid: str) -> model.End:
    return attribution.told_end(owners, known, tag=known.tag(account), pod_tag=identity.pod_tag(uid), address=ADDRESS)


def both(*events: model.ObjectEvent, whole: bool = True) -> tuple[tags.Tags, ownership.Ownership]:
    known, owners = tags.Tags(CLUSTER, whole=whole), ownership.Ownership(history_s=600)
    for each in events:
        known.apply(each)
        owners.apply_object(each)
    return known, owners


def test_a_pod_that_is_known_is_named_itself() -> None:
    """By both of its tags; its account is learned from it."""
    known, owners = both(event(pod(7), 100))
    end = told(known, owners, SHOP, pod(7).uid)
    assert ("web-7", pod(7).uid, model.Evidence.HANDSHAKE, str(ADDRESS)) == (
        end.name, end.pod_uid, end.evidence, end.address
    )  # fmt: skip


def test_a_pod_of_another_node_is_its_account_where_only_this_node_s_are_watched() -> None:
    """Nothing better will come, so nothing is waited for."""
    known, owners = both(whole=False)
    known.learn(SHOP)
    end = told(known, owners, SHOP, pod(7).uid)
    assert (model.Kind.POD, "ServiceAccount", "web", "web", "", model.Reason.NAMED) == (
        end.kind, end.workload_kind, end.workload, end.service_account, end.pod_uid, end.reason
    )  # fmt: skip


def test_a_pod_that_is_only_late_is_waited_for() -> None:
    """Where all pods are watched."""
    known, owners = both()
    known.learn(SHOP)
    assert model.Reason.POD_NOT_IN_API is told(known, owners, SHOP, pod(7).uid).reason


def test_a_tag_that_nobody_has_is_shown_as_it_is() -> None:
    """Never by the address instead: the evidence is the handshake's."""
    known, owners = both(event(pod(7), 100))
    end = told(known, owners, identity.ServiceAccount("shop", "stranger"), pod(7).uid)
    tag = known.tag(identity.ServiceAccount("shop", "stranger"))
    assert (model.Kind.UNKNOWN, f"{tag:016x}", model.Reason.UNKNOWN_TAG) == (end.kind, end.name, end.reason)


def test_a_pod_s_tag_does_not_outweigh_the_identity() -> None:
    """Two pods may share a short tag: one with another account is not meant."""
    known, owners = both(event(pod(7, account="other"), 100))
    known.learn(SHOP)
    end = told(known, owners, SHOP, pod(7).uid)
    assert ("", "web") == (end.pod_uid, end.service_account)


def test_two_pods_with_one_tag_are_their_account() -> None:
    """None of them is guessed."""
    known, owners = both(event(pod(7), 100), event(pod(8), 100))
    known._pods[identity.pod_tag(pod(7).uid)] = (pod(7).uid, pod(8).uid)  # as if the 32 bits were the same
    end = told(known, owners, SHOP, pod(7).uid)
    assert ("", "web", model.Reason.NAMED) == (end.pod_uid, end.service_account, end.reason)


def test_a_gone_pod_is_known_for_the_history_s_length() -> None:
    """And one that came back meanwhile for as long as it is there."""
    known, _ = both(
        event(pod(7), 100), event(pod(8), 100), event(pod(7), 200, gone=True), event(pod(8), 200, gone=True)
    )
    known.apply(event(pod(8), 300))
    known.expire(200)
    assert (pod(7).uid,) == known.pods(identity.pod_tag(pod(7).uid))
    known.expire(201)
    assert () == known.pods(identity.pod_tag(pod(7).uid))
    assert (pod(8).uid,) == known.pods(identity.pod_tag(pod(8).uid))


def test_a_deleted_account_keeps_its_name_among_the_last_that_went() -> None:
    """Its pods may talk on; memory is bounded all the same."""
    known = tags.Tags(CLUSTER)
    accounts = [identity.ServiceAccount("ci", f"run-{number}") for number in range(tags._GONE_ACCOUNTS + 3)]
    for each in accounts:
        known.learn(each)
        known.lose(each)
    assert [None, None, None, accounts[3]] == [known.account(known.tag(each)) for each in accounts[:4]]
    known.learn(accounts[3])
    for each in [identity.ServiceAccount("ci", "one-more")]:
        known.learn(each)
        known.lose(each)
    assert accounts[3] == known.account(known.tag(accounts[3]))


def test_news_grow_the_version_and_repetitions_do_not() -> None:
    """What was worked out stays good until something new is known."""
    known, _ = both(event(pod(7), 100))
    before = known.version
    known.apply(event(pod(7), 200))
    known.learn(SHOP)
    assert before == known.version
    known.learn(identity.ServiceAccount("shop", "db"))
    assert before < known.version


def test_what_a_former_agent_knew_is_known() -> None:
    """Pods that are gone too, for the rest of their time."""
    _, owners = both(event(pod(7), 100), event(pod(8), 100), event(pod(8), 200, gone=True))
    known = tags.Tags(CLUSTER)
    known.load(owners.objects.values())
    assert SHOP == known.account(known.tag(SHOP))
    known.expire(201)
    assert ((pod(7).uid,), ()) == tuple(known.pods(identity.pod_tag(pod(number).uid)) for number in (7, 8))
