"""Whether a chain is the one that was asked for. Leaves out getting it."""

import dataclasses
import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from injector.sidecar import answer
from tests.fakes import authority

US = "spiffe://cluster.local/ns/default/sa/web"
KEY = ec.generate_private_key(ec.SECP256R1())
AUTHORITY, OTHER = authority.make(), authority.make("other")


def asked() -> answer.Asked:
    """Ask now: a chain that is made meanwhile begins later."""
    return answer.Asked(key=KEY.public_key(), spiffe_id=US, anchors=[AUTHORITY.anchor], now=authority.now())


def later(hours: float) -> answer.Asked:
    return dataclasses.replace(asked(), now=asked().now + dt.timedelta(hours=hours))


def test_what_was_asked_for_is_taken() -> None:
    """Also with an anchor too many, and where the issuer is an anchor itself."""
    chain = AUTHORITY.leaf(KEY.public_key(), US)
    answer.check(chain, asked())
    answer.check(chain, dataclasses.replace(asked(), anchors=[OTHER.anchor, AUTHORITY.anchor]))
    answer.check(chain[:1], dataclasses.replace(asked(), anchors=[AUTHORITY.issuer]))
    answer.check(chain, dataclasses.replace(asked(), anchors=[AUTHORITY.issuer]))


def test_another_key_or_name_is_not() -> None:
    """The message says whose it is."""
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(answer.Unusable, match="for another key"):
        answer.check(AUTHORITY.leaf(stranger, US), asked())
    with pytest.raises(answer.Unusable, match=r"for spiffe://\S+/sa/admin, and this pod is spiffe://\S+/sa/web"):
        answer.check(AUTHORITY.leaf(KEY.public_key(), US.replace("web", "admin")), asked())
    nameless = dataclasses.replace(asked(), key=AUTHORITY.issuer_key.public_key())
    with pytest.raises(answer.Unusable, match="for nobody"):
        answer.check([AUTHORITY.issuer], nameless)


def test_a_clock_that_is_wrong_is_named() -> None:
    """In both directions, with how far."""
    chain = AUTHORITY.leaf(KEY.public_key(), US, life_s=3600)
    with pytest.raises(answer.Unusable, match=r"ended 3\d\d\d s ago by this node's clock"):
        answer.check(chain, later(2))
    with pytest.raises(answer.Unusable, match=r"begins in \d+ s by this node's clock"):
        answer.check(chain, later(-1))


def test_a_chain_that_leads_elsewhere_is_not_taken() -> None:
    """To another anchor, through somebody who did not sign, through somebody who may not, or to nothing."""
    chain = AUTHORITY.leaf(KEY.public_key(), US)
    with pytest.raises(answer.Unusable, match="none of the 1 valid anchors"):
        answer.check(chain, dataclasses.replace(asked(), anchors=[OTHER.anchor]))
    with pytest.raises(answer.Unusable, match="did not issue"):
        answer.check([chain[0], OTHER.issuer], asked())
    with pytest.raises(answer.Unusable, match="none of the 1 valid anchors"):
        answer.check(chain[:1], asked())
    with pytest.raises(answer.Unusable, match="a chain of 0"):
        answer.check([], asked())
    with pytest.raises(answer.Unusable, match="a chain of 9"):
        answer.check(chain + [AUTHORITY.issuer] * 7, asked())


def test_a_leaf_does_not_sign() -> None:
    """The key of another workload's certificate is no authority."""
    other_key = ec.generate_private_key(ec.SECP256R1())
    other_leaf = AUTHORITY.leaf(other_key.public_key(), US.replace("web", "admin"))
    false = dataclasses.replace(AUTHORITY, issuer=other_leaf[0], issuer_key=other_key)
    with pytest.raises(answer.Unusable, match="did not issue"):
        answer.check([*false.leaf(KEY.public_key(), US)[:1], *other_leaf], asked())


def test_an_anchor_that_has_ended_is_none() -> None:
    """Nobody could verify us by it."""
    long = AUTHORITY.leaf(KEY.public_key(), US, life_s=90_000)
    with pytest.raises(answer.Unusable, match=r"ended \d+ s ago"):
        answer.check(long, later(24.5))
    with pytest.raises(answer.Unusable, match="none of the 0 valid anchors"):
        answer.check(long[:1], later(24.5))
