"""Names of who somebody is. Leaves out who may bear them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipseity import identity

LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)


@given(LABELS, LABELS, LABELS)
def test_a_spiffe_id_reads_back_as_itself(trust_domain: str, namespace: str, name: str) -> None:
    """One spelling, one identity."""
    made = identity.SpiffeId(identity.TrustDomain(trust_domain), identity.ServiceAccount(namespace, name))
    assert f"spiffe://{trust_domain}/ns/{namespace}/sa/{name}" == str(made)
    assert made == identity.SpiffeId.parse(str(made))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/shop/sa/",
        "spiffe://cluster.local/ns/shop/sa/web/",
        "spiffe://cluster.local/ns/shop/sa/web?x=1",
        "spiffe://cluster.local/ns/Shop/sa/web",
        "spiffe://cluster.local:8443/ns/shop/sa/web",
        "spiffe://CLUSTER.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/shop/sa/w%65b",
        "spiffe://cluster.local/ns/a.b/sa/web",
        "spiffe://cluster.local/ns/shop/sa/web\n",
        "https://cluster.local/ns/shop/sa/web",
        "spiffe://" + "a" * 256 + "/ns/shop/sa/web",
        "spiffe://cluster.local/ns/" + "a" * 64 + "/sa/web",
        "spiffe://cluster.local/ns/shop/sa/" + "a" * 254,
        "spiffe://cluster.local/sa/web/ns/shop",
    ],
)
def test_a_second_spelling_is_no_identity(text: str) -> None:
    """Two spellings of one name would be two keys of one policy."""
    with pytest.raises(identity.InvalidIdentity):
        identity.SpiffeId.parse(text)


def test_a_service_account_s_name_may_have_dots() -> None:
    """It is a subdomain, unlike a namespace."""
    assert "shop/web.v2" == str(identity.ServiceAccount("shop", "web.v2"))


def test_the_tag_is_the_hash_that_the_handshake_carries() -> None:
    """Pinned: agents of two versions must agree. echo -n spiffe://... | sha256sum | head -c 16."""
    web = identity.SpiffeId.parse("spiffe://cluster.local/ns/shop/sa/web")
    assert 0x05CD5197D1786283 == identity.identity_tag(web)


def test_a_pod_s_tag_is_the_hash_that_the_handshake_carries() -> None:
    """Pinned likewise. echo -n UID | sha256sum | head -c 8."""
    assert 0xE1F3E403 == identity.pod_tag("2b4a1c0e-7d0f-4f0e-9a51-6c1f8f3a9b17")


def test_a_pod_is_more_than_its_name() -> None:
    """The next bearer of the name is another pod."""
    assert identity.PodRef("shop", "db-0", "u1") != identity.PodRef("shop", "db-0", "u2")
    assert "shop/db-0" == str(identity.PodRef("shop", "db-0", "u1"))
