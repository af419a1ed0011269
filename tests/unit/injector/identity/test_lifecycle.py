"""What the control plane makes and renews by itself. Leaves out writing it (test_custody)."""

import dataclasses

import pytest

from injector import errors
from injector.identity import anchors, authority, lifecycle
from tests.fakes import authorities

NOW_S = authorities.NOW_S
ANCHOR = authorities.anchor()
ANCHOR_SECRET = lifecycle.anchor_secret(ANCHOR, "sys", lifecycle.ANCHOR)
ISSUER_SECRET = lifecycle.issuer_secret(authorities.issuer_of(ANCHOR), ANCHOR.certificate, "sys")
HALF_S = anchors.ISSUER_LIFE_S / 2


def test_nothing_there_means_making_both() -> None:
    """The anchor first, then the issuer below it, then nothing."""
    assert lifecycle.Task.MAKE_ANCHOR is lifecycle.plan(authority.Found(), now_s=NOW_S)
    found = authority.Found(anchor=ANCHOR_SECRET)
    assert lifecycle.Task.MAKE_ISSUER is lifecycle.plan(found, now_s=NOW_S)
    signer = lifecycle.signer(found)
    assert signer is not None
    assert ANCHOR.certificate == signer.certificate
    whole = authority.Found(anchor=ANCHOR_SECRET, issuer=ISSUER_SECRET)
    assert lifecycle.Task.NOTHING is lifecycle.plan(whole, now_s=NOW_S)


def test_an_issuer_of_ours_is_renewed_at_half_its_life() -> None:
    """Half a year is left if that does not work."""
    found = authority.Found(anchor=ANCHOR_SECRET, issuer=ISSUER_SECRET)
    assert lifecycle.Task.NOTHING is lifecycle.plan(found, now_s=NOW_S + HALF_S - 60)
    assert lifecycle.Task.RENEW_ISSUER is lifecycle.plan(found, now_s=NOW_S + HALF_S + 60)


def test_what_somebody_brought_is_not_touched() -> None:
    """Also not when it ends: metrics say so."""
    brought = dataclasses.replace(ISSUER_SECRET, ours=False)
    found = authority.Found(anchor=ANCHOR_SECRET, issuer=brought)
    assert lifecycle.Task.NOTHING is lifecycle.plan(found, now_s=NOW_S + 2 * HALF_S)


def test_an_issuer_whose_anchor_has_no_key_is_not_renewed() -> None:
    """Nobody here can sign it; an anchor that signed another one does not help."""
    for anchor in (
        dataclasses.replace(ANCHOR_SECRET, key_pem=b""),
        lifecycle.anchor_secret(authorities.anchor(), "sys", lifecycle.ANCHOR),
        None,
    ):
        found = authority.Found(anchor=anchor, issuer=ISSUER_SECRET)
        assert lifecycle.Task.NOTHING is lifecycle.plan(found, now_s=NOW_S + HALF_S + 60)


def test_during_a_rotation_the_issuer_is_renewed_by_who_signed_it() -> None:
    """Else a renewal would be a step that nobody planned."""
    upcoming = authorities.anchor()
    below = lifecycle.issuer_secret(authorities.issuer_of(upcoming), upcoming.certificate, "sys")
    secret = lifecycle.anchor_secret(upcoming, "sys", lifecycle.UPCOMING)
    for issuer, signer in ((below, upcoming), (ISSUER_SECRET, ANCHOR)):
        found = authority.Found(anchor=ANCHOR_SECRET, upcoming=secret, issuer=issuer)
        made = lifecycle.signer(found)
        assert made is not None
        assert signer.certificate == made.certificate
    missing = lifecycle.signer(authority.Found(anchor=ANCHOR_SECRET, upcoming=secret))
    assert missing is not None
    assert ANCHOR.certificate == missing.certificate


def test_an_anchor_without_key_and_no_issuer_is_for_a_person() -> None:
    """Half a pair was brought."""
    found = authority.Found(anchor=dataclasses.replace(ANCHOR_SECRET, key_pem=b""))
    with pytest.raises(errors.CannotRun, match="without its key") as caught:
        lifecycle.plan(found, now_s=NOW_S)
    assert lifecycle.ISSUER in str(caught.value)


@pytest.mark.parametrize("key", [b"x", authorities.anchor().key_pem])
def test_a_key_that_is_none_or_another_one_is_said(key: bytes) -> None:
    """Before anything is signed with it."""
    with pytest.raises(errors.CannotRun, match=r"tls\.key"):
        lifecycle.read_authority(dataclasses.replace(ANCHOR_SECRET, key_pem=key))
