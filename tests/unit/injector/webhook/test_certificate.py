"""The webhook's certificate: when it is renewed, and that nobody ever meets one that is not trusted.

Leaves out Secrets and API servers: test_rotation.
"""

import dataclasses
import datetime as dt

from cryptography import x509
from cryptography.x509 import verification

from injector.webhook import certificate

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
HOSTS = ("ipseity-control.ipseity-system.svc", "127.0.0.1")
DAY = dt.timedelta(days=1)


def verify(pair: certificate.Pair, trusted_pem: bytes, now: dt.datetime, host: str = HOSTS[0]) -> bool:
    """Verify as a TLS client does."""
    builder = verification.PolicyBuilder().store(verification.Store(x509.load_pem_x509_certificates(trusted_pem)))
    try:
        leaf = x509.load_pem_x509_certificate(pair.certificate_pem)
        builder.time(now).build_server_verifier(x509.DNSName(host)).verify(leaf, [])
    except verification.VerificationError:
        return False
    return True


def state(**parts: object) -> certificate.State:
    empty = certificate.State(serving=None, next=None, trusted_pem=b"", trusted_since=None)
    return dataclasses.replace(empty, **parts)  # type: ignore[arg-type]  # a test's short form


def test_a_pair_is_one_that_clients_accept() -> None:
    """For its names, within its life, by its own authority."""
    pair, other = certificate.make(HOSTS, NOW), certificate.make(HOSTS, NOW)
    assert certificate.readable(pair)
    assert verify(pair, pair.authority_pem, NOW)
    assert verify(pair, other.authority_pem + pair.authority_pem, NOW - certificate.SKEW)
    assert not verify(pair, pair.authority_pem, NOW, "elsewhere.svc")
    assert not verify(pair, other.authority_pem, NOW)
    assert not verify(pair, pair.authority_pem, NOW + certificate.LIFE + DAY)
    assert NOW + certificate.LIFE == certificate.expiry(pair)


def test_a_pair_that_cannot_be_used_is_made_anew() -> None:
    """A Secret that was emptied, or whose key belongs to another certificate."""
    pair, other = certificate.make(HOSTS, NOW), certificate.make(HOSTS, NOW)
    for broken in (
        dataclasses.replace(pair, key_pem=b""),
        dataclasses.replace(pair, certificate_pem=b"x"),
        dataclasses.replace(pair, authority_pem=b""),
        dataclasses.replace(pair, key_pem=other.key_pem),
    ):
        assert not certificate.readable(broken)
        assert certificate.Step.MAKE is certificate.plan(state(serving=broken), HOSTS, NOW)
        following = state(serving=pair, next=broken, trusted_pem=pair.authority_pem)
        assert certificate.Step.MAKE_NEXT is certificate.plan(following, HOSTS, NOW)


def test_other_names_need_another_pair() -> None:
    """A Service that was renamed."""
    pair = certificate.make(HOSTS, NOW)
    assert not certificate.is_due(pair, tuple(reversed(HOSTS)), NOW)
    assert certificate.is_due(pair, ("new.svc",), NOW)
    assert certificate.is_due(pair, HOSTS, NOW + certificate.LIFE * 0.67)


def test_what_others_put_into_the_bundle_is_taken_out() -> None:
    """Whoever may sign for the webhook may read and change every pod that opts in."""
    pair, stranger = certificate.make(HOSTS, NOW), certificate.make(HOSTS, NOW)
    trusted = pair.authority_pem + stranger.authority_pem
    assert certificate.Step.TRUST is certificate.plan(state(serving=pair, trusted_pem=trusted), HOSTS, NOW)


def test_an_expired_pair_is_left_at_once() -> None:
    """Nothing can be worse than what is served."""
    now = NOW + certificate.LIFE + DAY
    serving, following = certificate.make(HOSTS, NOW), certificate.make(HOSTS, now)
    late = state(serving=serving, next=following)
    late = dataclasses.replace(late, trusted_pem=certificate.bundle(late, now), trusted_since=now)
    assert certificate.Step.SWITCH is certificate.plan(late, HOSTS, now)


def test_a_year_without_a_moment_in_which_the_served_pair_is_not_trusted() -> None:
    """Looked at every few minutes; whoever read the bundle some minutes ago verifies as well."""
    now, current, switches = NOW, state(), 0
    read_before: bytes | None = None
    while now < NOW + 365 * DAY:
        while (step := certificate.plan(current, HOSTS, now)) is not certificate.Step.WAIT:
            match step:
                case certificate.Step.MAKE:
                    current = dataclasses.replace(current, serving=certificate.make(HOSTS, now))
                case certificate.Step.MAKE_NEXT:
                    current = dataclasses.replace(current, next=certificate.make(HOSTS, now))
                case certificate.Step.TRUST:
                    trusted = certificate.bundle(current, now)
                    current = dataclasses.replace(current, trusted_pem=trusted, trusted_since=now)
                case certificate.Step.SWITCH:
                    current = dataclasses.replace(current, serving=certificate.switched(current), next=None)
                    switches += 1
        assert current.serving is not None
        for trusted in filter(None, (current.trusted_pem, read_before)):
            assert verify(current.serving, trusted, now)
        busy = current.next is not None or len(x509.load_pem_x509_certificates(current.trusted_pem)) > 1
        read_before = current.trusted_pem
        now += certificate.SETTLE / 2 if busy else DAY
    assert 6 == switches
    assert 1 == len(x509.load_pem_x509_certificates(current.trusted_pem))
