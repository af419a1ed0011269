"""Keys as Secrets and files have them, and the order of a rotation. Left out: Kubernetes (``test_rotating``)."""

import base64
import itertools

import pytest

from agent import keys, wire

OLD, NEW = b"o" * 16, b"n" * 16


def encoded(**given: bytes) -> dict[str, str]:
    return {name: base64.b64encode(key).decode() for name, key in given.items()}


def test_a_secret_is_read_and_written() -> None:
    """What was written is what is read."""
    known = keys.Keys(current=OLD, next=NEW)
    assert known == keys.from_secret(keys.to_secret(known))
    assert encoded(current=OLD, next=NEW) == keys.to_secret(known)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "no key 'current'"),
        (encoded(next=NEW), "no key 'current'"),
        ({"current": "no base64!"}, "'current' of the Secret is not base64"),
        (encoded(current=b"short"), "'current' of the Secret has 5 bytes, not 16"),
        (encoded(current=OLD, previous=b"x" * 17), "'previous' of the Secret has 17 bytes, not 16"),
    ],
)
def test_a_secret_that_cannot_be_used(data: dict[str, str], says: str) -> None:
    """It is said which key and why, and what to do."""
    with pytest.raises(keys.Unusable, match=says) as caught:
        keys.from_secret(data)
    assert "ipseity handshake init" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (OLD.hex(), keys.Keys(current=OLD)),
        (f"# of 2026\n{OLD.hex()}\n\n{NEW.hex().upper()}\n", keys.Keys(current=OLD, previous=NEW)),
    ],
)
def test_a_file_has_one_key_a_line(text: str, known: keys.Keys) -> None:
    """The first signs, the second is believed too."""
    assert known == keys.from_text(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has 0 keys"),
        (f"{OLD.hex()}\n" * 3, "has 3 keys"),
        (OLD.hex()[:-2], "key 1 in the file has 15 bytes"),
        (f"{OLD.hex()}\n{'g' * 32}", "key 2 in the file is not hexadecimal"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, says: str) -> None:
    """It is said which line and why."""
    with pytest.raises(keys.Unusable, match=says):
        keys.from_text(text)


def test_no_key_is_ever_told() -> None:
    """Neither by what is printed of one, nor by an error about one."""
    secret = b"0123456789uvwxyz"
    shown = repr(keys.Keys(current=secret, previous=secret))
    for bad in (secret.decode() * 2, secret.hex() + "zz", secret.hex() * 3):
        with pytest.raises(keys.Unusable) as caught:
            keys.from_text(bad)
        shown += f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
        with pytest.raises(keys.Unusable) as caught:
            keys.from_secret({"current": bad})
        shown += f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert [] == [text for text in (secret.decode(), secret.hex(), base64.b64encode(secret).decode()) if text in shown]


def test_a_fingerprint_tells_keys_apart() -> None:
    """The same on every node; another for another key."""
    assert keys.fingerprint(OLD) == keys.fingerprint(OLD) != keys.fingerprint(NEW)
    assert {"current": keys.fingerprint(OLD), "previous": keys.fingerprint(NEW)} == keys.Keys(
        current=OLD, previous=NEW
    ).named()


def test_the_kernel_takes_every_state() -> None:
    """At most two: the one that signs first, and the next before the previous."""
    full = keys.Keys(current=OLD, next=NEW, previous=b"p" * 16)
    assert (OLD, NEW) == full.for_kernel()
    for known in (full, keys.Keys(current=OLD), keys.Keys(current=OLD, previous=NEW)):
        assert wire.HANDSHAKE_KEYS == len(wire.handshake_keys(known.for_kernel()))


def states(known: keys.Keys) -> list[keys.Keys]:
    """Give the keys before, between and after the steps of one rotation."""
    found = [known]
    while True:
        step = keys.plan(found[-1], since_step_s=1e9).step
        if step is keys.Step.ANNOUNCE and len(found) > 1:
            return found
        found.append(keys.after(found[-1], step, NEW))


def test_three_steps_make_the_new_key_the_only_one() -> None:
    """Learn to believe it, sign with it, drop the old one."""
    assert [
        keys.Keys(current=OLD),
        keys.Keys(current=OLD, next=NEW),
        keys.Keys(current=NEW, previous=OLD),
        keys.Keys(current=NEW),
    ] == states(keys.Keys(current=OLD))


def test_agents_one_step_apart_always_believe_each_other() -> None:
    """Whoever has heard of a step and whoever has not: each believes what the other signs."""
    for before, after in itertools.pairwise(states(keys.Keys(current=OLD))):
        assert before.current in after.for_kernel()
        assert after.current in before.for_kernel()


def test_a_step_waits_until_all_have_heard_of_the_last_one() -> None:
    """The first waits for nothing: nobody needs to know of it before."""
    begun, switched = keys.Keys(current=OLD, next=NEW), keys.Keys(current=NEW, previous=OLD)
    assert keys.plan(keys.Keys(current=OLD), since_step_s=0).due
    for known in (begun, switched):
        assert (53.0, False) == ((made := keys.plan(known, since_step_s=7, settle_s=60)).wait_s, made.due)
        assert keys.plan(known, since_step_s=60, settle_s=60).due


def test_a_key_that_somebody_left_there_is_dropped_first() -> None:
    """The kernel believes two: with a next one, a previous one is not believed anyway."""
    full = keys.Keys(current=OLD, next=NEW, previous=b"p" * 16)
    assert keys.Step.DROP is keys.plan(full, since_step_s=60).step
    assert keys.Keys(current=OLD, next=NEW) == keys.after(full, keys.Step.DROP, b"")


def test_it_is_said_where_a_rotation_stands() -> None:
    """In fingerprints, with the next step, and how long to wait for it."""
    known = keys.Keys(current=OLD, next=NEW)
    lines = list(keys.describe(known, keys.plan(known, since_step_s=7)))
    assert f"keys: current {keys.fingerprint(OLD)}, next {keys.fingerprint(NEW)}" == lines[0]
    assert ("2 of 3" in lines[1], "wait 53 s" in lines[2]) == (True, True)
