"""Whatever is sent: never a crash, never a certificate that the token does not prove.

Requests are real ones, mutated; requests that ask for generated things; and noise. TokenReview answers are the recorded
one, mutated in every place. Leaves out the wire (tests/unit/injector/identity/test_service.py).
"""

import asyncio
import copy
import functools
import ipaddress
from typing import Any

import hypothesis
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import oid
from hypothesis import strategies as st

from injector import errors
from injector.identity import authority, certifier, csr, issuance, ledger, lifecycle
from injector.kube import tokens
from ipseity import kube
from tests.fakes import authorities, mesh_api, recordings

KEYS = (authorities.key(), ec.generate_private_key(ec.SECP384R1()))
OTHER_KEYS = (
    ec.generate_private_key(ec.SECP256K1()),
    ec.generate_private_key(ec.SECP521R1()),
    rsa.generate_private_key(65537, 1024),
    ed25519.Ed25519PrivateKey.generate(),
)
REVIEW = recordings.load("tokenreview-bound-custom-audience")["response"]
PROOF = tokens.judge(REVIEW, audience=mesh_api.AUDIENCE)
REASONS = {*csr.Reason, *tokens.Reason}
many = hypothesis.settings(deadline=None)


class Answering:
    """Stands for the API server: whatever the token, this account and pod."""

    async def prove(self, token: str) -> tokens.Proof:
        tokens.check_form(token)
        return PROOF


class Remembering:
    """Stands for the issuance log."""

    def __init__(self) -> None:
        self.entries: list[issuance.Entry] = []

    async def append(self, entry: issuance.Entry) -> None:
        self.entries.append(entry)


@functools.cache
def held() -> authority.Authority:
    anchor = authorities.anchor()
    made = authority.Authority(authorities.TRUST_DOMAIN)
    found = authority.Found(
        anchor=lifecycle.anchor_secret(anchor, "sys", lifecycle.ANCHOR),
        issuer=lifecycle.issuer_secret(authorities.issuer_of(anchor), anchor.certificate, "sys"),
    )
    made.take(found, ledger.Summary(), lambda _: None, now_s=authorities.NOW_S)
    return made


def check(der: bytes, token: str = "a.b.c", trusted: tuple[bytes, ...] = ()) -> bool:
    """Send a request; hold what comes back against what the token proves. Tells whether there was a certificate."""
    log = Remembering()
    answering = certifier.Certifier(
        held(),
        Answering(),
        log,  # type: ignore[arg-type]  # what it needs of a log
        ledger.Ledger(),
        life_s=86_400,
        clock=lambda: authorities.NOW_S,
    )
    try:
        granted = asyncio.run(answering.certify(der, token, trusted))
    except errors.Refused as refusal:
        assert refusal.reason in REASONS  # noqa: PT017  # not what is expected, but what is allowed
        assert [] == log.entries
        return False
    leaf = x509.load_der_x509_certificate(granted.chain_der[0])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    expected = [x509.UniformResourceIdentifier(authorities.SPIFFE_ID), x509.DNSName(authorities.DNS)]
    assert expected == list(names)
    assert 6 == len(leaf.extensions)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert [] == list(leaf.subject)
    assert x509.load_der_x509_csr(der).public_key() == leaf.public_key()
    assert leaf.not_valid_after_utc.timestamp() <= authorities.NOW_S + 86_400
    [entry] = log.entries
    assert (leaf.serial_number, PROOF.pod.uid) == (int(entry.serial, 16), entry.pod_uid)
    return True


@st.composite
def mutated(draw: st.DrawFn, base: bytes) -> bytes:
    """Change, cut, double or insert some bytes."""
    data = bytearray(base)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                data[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del data[place : place + draw(st.integers(1, 40))]
            case 2:
                data[place:place] = draw(st.binary(max_size=40))
            case 3:
                data[place:place] = data[place : place + draw(st.integers(1, 60))]
            case _:
                data[place] ^= 1 << draw(st.integers(0, 7))

    return bytes(data)


RICH = authorities.request(
    KEYS[0], uris=(authorities.SPIFFE_ID,), dns=(authorities.DNS,), common_name=authorities.SPIFFE_ID
)


@many
@hypothesis.given(st.one_of(mutated(authorities.request(KEYS[0])), mutated(RICH)))
def test_a_mutated_request_gets_what_is_proven_or_nothing(der: bytes) -> None:
    """Bytes of a good request, changed; what still passes is for the same name."""
    check(der)


@many
@hypothesis.given(st.binary(max_size=600))
def test_noise_is_malformed(der: bytes) -> None:
    """Never an answer."""
    assert not check(der)


uris = st.one_of(
    st.just(authorities.SPIFFE_ID),
    st.text(st.characters(max_codepoint=127), max_size=40).map(lambda text: f"spiffe://cluster.local/{text}"),
    st.sampled_from(["spiffe://cluster.local/ns/rec/sa/app/", "SPIFFE://cluster.local/ns/rec/sa/app", "x:"]),
)
wishes = st.one_of(
    uris.map(x509.UniformResourceIdentifier),
    st.one_of(st.just(authorities.DNS), st.text(st.characters(max_codepoint=127), max_size=30)).map(x509.DNSName),
    st.ip_addresses().map(lambda address: x509.IPAddress(ipaddress.ip_address(address))),
    st.emails().filter(str.isascii).map(x509.RFC822Name),
    st.binary(max_size=20).map(
        lambda value: x509.OtherName(x509.ObjectIdentifier("1.2.3"), bytes([4, len(value)]) + value)
    ),
)
extensions = st.lists(
    st.sampled_from(
        [
            x509.BasicConstraints(ca=True, path_length=3),
            x509.BasicConstraints(ca=False, path_length=None),
            x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.SERVER_AUTH]),
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"x"),
            x509.OCSPNoCheck(),
        ]
    ),
    max_size=2,
    unique_by=type,
)


@many
@hypothesis.given(
    st.sampled_from(KEYS + OTHER_KEYS),
    st.lists(wishes, max_size=4),
    extensions,
    st.sampled_from(["", "system:masters"]),
)
def test_whoever_asks_for_anything_else_gets_nothing(
    private: Any, wished: list[x509.GeneralName], asked: list[x509.ExtensionType], subject: str
) -> None:
    """A certificate exactly where the request asks for nothing, or for exactly what the token proves."""
    values = [x509.SubjectAlternativeName(wished)] if wished else []
    algorithm = None if isinstance(private, ed25519.Ed25519PrivateKey) else authorities.hashes.SHA256()
    der = authorities.request(private, common_name=subject, extensions=(*values, *asked), algorithm=algorithm)
    said = sorted(repr(each) for each in wished)
    uri, dns = x509.UniformResourceIdentifier(authorities.SPIFFE_ID), x509.DNSName(authorities.DNS)
    right = said in ([], [repr(uri)], sorted([repr(uri), repr(dns)]))
    harmless = all(isinstance(each, x509.BasicConstraints) and not each.ca for each in asked)
    assert check(der) == (right and harmless and not subject and private in KEYS)


@many
@hypothesis.given(st.text(max_size=60), st.lists(st.binary(max_size=40), max_size=12).map(tuple))
def test_no_token_and_no_claim_of_trust_is_a_crash(token: str, trusted: tuple[bytes, ...]) -> None:
    """Whatever stands there."""
    check(authorities.request(KEYS[0]), token, trusted)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=12), st.just(["x"])),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def reviews(draw: st.DrawFn) -> Any:
    """Give the recorded answer with one to three places replaced or removed."""
    review = copy.deepcopy(REVIEW)
    for _ in range(draw(st.integers(1, 3))):
        here: Any = review
        while True:
            key = draw(st.sampled_from(sorted(here))) if isinstance(here, dict) and here else None
            if key is None:
                break
            if not isinstance(here[key], dict) or draw(st.integers(0, 3)) == 0:
                if draw(st.booleans()):
                    here[key] = draw(values)
                else:
                    del here[key]
                break
            here = here[key]
    return review


@many
@hypothesis.given(reviews())
def test_a_mutated_answer_proves_what_it_says_or_nothing(review: Any) -> None:
    """Never another pod or account than it names, never without being authenticated for our audience."""
    try:
        proof = tokens.judge(review, audience=mesh_api.AUDIENCE)
    except (errors.Refused, kube.KubernetesError):
        return
    said = review["status"]
    assert said["authenticated"] is True
    assert mesh_api.AUDIENCE in said["audiences"]
    account = proof.account
    assert f"system:serviceaccount:{account.namespace}:{account.name}" == said["user"]["username"]
    extra = said["user"]["extra"]
    assert [proof.pod.name] == extra["authentication.kubernetes.io/pod-name"]
    assert [proof.pod.uid] == extra["authentication.kubernetes.io/pod-uid"]
    assert proof.pod.namespace == account.namespace
