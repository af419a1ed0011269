"""Who a proxy is, by its certificate. Leaves out the chain: gRPC's server verifies it."""

import pytest

from injector import errors
from injector.discovery import caller
from tests.fakes import authority
from tests.fakes import clusters as given

AUTHORITY = authority.make()
WEB = "spiffe://cluster.local/ns/shop/sa/web"


def leaf(spiffe_id: str, dns: str = "") -> bytes:
    """Make a certificate."""
    return AUTHORITY.identity(spiffe_id, dns=dns)[1]


@pytest.mark.parametrize("pod", ["web-1", "web.with.dots"])
def test_a_pod_is_named_by_its_certificate(pod: str) -> None:
    """Identity by the URI, pod by the DNS name."""
    found = caller.of(leaf(WEB, f"{pod}.shop.pod.cluster.local"), given.TRUST_DOMAIN)
    assert (given.who("web"), "shop", pod) == (found.spiffe_id, found.namespace, found.pod)


@pytest.mark.parametrize(
    ("reason", "spiffe_id", "dns"),
    [
        ("no_pod", WEB, ""),
        ("no_pod", WEB, "web-1.other.pod.cluster.local"),
        ("no_pod", WEB, ".shop.pod.cluster.local"),
        ("no_pod", WEB, "ipseity-control.ipseity-system.svc"),
        ("foreign", "spiffe://elsewhere/ns/shop/sa/web", "web-1.shop.pod.elsewhere"),
        ("no_identity", "spiffe://cluster.local/web", "web-1.shop.pod.cluster.local"),
    ],
)
def test_any_other_certificate_is_refused(reason: str, spiffe_id: str, dns: str) -> None:
    """Each with a reason that can be counted."""
    with pytest.raises(errors.Refused) as refused:
        caller.of(leaf(spiffe_id, dns), given.TRUST_DOMAIN)
    assert reason == refused.value.reason


def test_what_is_no_certificate_is_refused() -> None:
    """A connection without a client certificate, should a server ever let one in."""
    with pytest.raises(errors.Refused):
        caller.of(b"", given.TRUST_DOMAIN)
