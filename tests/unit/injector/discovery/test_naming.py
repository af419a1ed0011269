"""Names that other parts read back. Leaves out Envoy's own parts of a metric's name."""

import pytest

from injector.discovery import naming
from ipseity import identity


@pytest.mark.parametrize("account", [("shop", "web"), ("shop", "web.v2.blue"), ("a-b", "x")])
def test_accounts_are_read_back_and_have_no_dot_on_the_way(account: tuple[str, str]) -> None:
    """Envoy ends a name at the first dot."""
    who = identity.ServiceAccount(*account)
    for name in (naming.direct(who), naming.match(who)):
        assert "." not in name
        assert str(who) == naming.read_account(name)
    prefix = naming.inbound("8080", str(who))
    assert "." not in prefix
    assert naming.Peer("8080", str(who)) == naming.read_inbound(prefix)


def test_services_are_read_back() -> None:
    """And what is none is none."""
    assert naming.Service(80, "shop/web") == naming.read_service(naming.service(80, "shop/web"))
    for other in ("passthrough", "outbound|x|y", "outbound"):
        assert None is naming.read_service(other)
    assert None is naming.read_inbound("status")
    assert None is naming.read_account("plaintext")
