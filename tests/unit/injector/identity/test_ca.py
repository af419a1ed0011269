"""What a leaf says, and that real verifiers accept it. Leaves out who may have one (test_certifier)."""

import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid, verification

from injector import errors
from injector.identity import anchors, ca, issuers
from ipseity import identity
from tests.fakes import authorities

NOW_S = authorities.NOW_S
WHO = identity.SpiffeId.parse(authorities.SPIFFE_ID)


def leaf_of(issuer: issuers.Issuer, *, life_s: float = 3600.0, now_s: float = NOW_S) -> ca.Leaf:
    key = authorities.key().public_key()
    return ca.issue(issuer, key, WHO, (authorities.DNS,), now_s=now_s, serial=authorities.serial(), life_s=life_s)


def test_a_leaf_is_an_x509_svid() -> None:
    """SPIFFE's rules: one URI name, critical since the subject is empty, no authority, digitalSignature alone."""
    certificate = leaf_of(authorities.issuer()).certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [authorities.SPIFFE_ID] == names.value.get_values_for_type(x509.UniformResourceIdentifier)
    assert [authorities.DNS] == names.value.get_values_for_type(x509.DNSName)
    assert 2 == len(list(names.value))
    assert names.critical
    assert 0 == len(list(certificate.subject))
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (True, False) == (basic.critical, basic.value.ca)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (True, False, False) == (usage.value.digital_signature, usage.value.key_cert_sign, usage.value.crl_sign)
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {oid.ExtendedKeyUsageOID.SERVER_AUTH, oid.ExtendedKeyUsageOID.CLIENT_AUTH} == set(purposes)


def test_it_begins_a_skew_ago_and_lives_as_long_as_asked() -> None:
    """Clocks are up to 20 s apart."""
    leaf = leaf_of(authorities.issuer(now_s=NOW_S - 86_400), life_s=3600)
    assert (int(NOW_S) - 20, int(NOW_S) + 3600) == (leaf.not_before_s, leaf.not_after_s)
    assert leaf.not_after_s == leaf.certificate.not_valid_after_utc.timestamp()
    assert leaf.not_before_s == leaf.certificate.not_valid_before_utc.timestamp()


def test_it_never_outlives_its_issuer() -> None:
    """Nor its anchor, below which the issuer was cut already."""
    issuer = authorities.issuer(life_s=500)
    assert issuer.not_after_s == leaf_of(issuer, life_s=3600).not_after_s


def test_an_issuer_that_is_about_to_end_signs_nothing() -> None:
    """A leaf of a few seconds would be over before it was used."""
    issuer = authorities.issuer(life_s=500)
    with pytest.raises(errors.Refused, match="ends at") as caught:
        leaf_of(issuer, now_s=NOW_S + 495)
    assert ca.Reason.ISSUER_ENDS == caught.value.reason


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_openssl_and_rustls_rules_accept_the_chain(curve: ec.EllipticCurve, tmp_path: Path) -> None:
    """Two verifiers that nobody here wrote: OpenSSL's strict mode, and the web's rules in `cryptography`."""
    above = authorities.anchor()
    made = authorities.issuer_of(above)
    issuer = authorities.checked(made, above)
    key = ec.generate_private_key(curve).public_key()
    leaf = ca.issue(issuer, key, WHO, (authorities.DNS,), now_s=NOW_S, serial=authorities.serial())
    (tmp_path / "anchor.pem").write_bytes(anchors.to_pem([above.certificate]))
    (tmp_path / "issuer.pem").write_bytes(anchors.to_pem(issuer.presented))
    (tmp_path / "leaf.pem").write_bytes(anchors.to_pem([leaf.certificate]))
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW_S)), "-purpose", "sslclient"]
    command += ["-CAfile", "anchor.pem", "-untrusted", "issuer.pem", "leaf.pem"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "leaf.pem: OK" == done.stdout.strip(), done.stderr
    store = verification.Store([above.certificate])
    verifier = verification.PolicyBuilder().store(store).time(anchors.moment(NOW_S)).build_client_verifier()
    assert verifier.verify(leaf.certificate, list(issuer.presented)).subjects


def test_serials_are_as_random_as_they_were_given() -> None:
    """128 bits, in the certificate as in the log."""
    leaf = leaf_of(authorities.issuer())
    assert leaf.serial == leaf.certificate.serial_number


def test_the_pod_can_be_read_back_from_its_name() -> None:
    """Pod names may have dots, namespaces may not."""
    name = ca.pod_name(identity.PodRef("rec", "web-0.canary", "uid"), authorities.TRUST_DOMAIN)
    pod, namespace = name.removesuffix(".pod.cluster.local").rsplit(".", 1)
    assert ("web-0.canary", "rec") == (pod, namespace)


def test_openssl_through_python_loads_what_is_presented(tmp_path: Path) -> None:
    """Leaf and issuer in one file, as a server has them."""
    above, private = authorities.anchor(), authorities.key()
    issuer = authorities.checked(authorities.issuer_of(above), above)
    leaf = ca.issue(issuer, private.public_key(), WHO, (), now_s=NOW_S, serial=authorities.serial())
    (tmp_path / "chain.pem").write_bytes(anchors.to_pem([leaf.certificate, *issuer.presented]))
    (tmp_path / "key.pem").write_bytes(anchors.Authority(certificate=leaf.certificate, key=private).key_pem)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
