"""Files that are swapped while Envoy reads them. Leaves out Envoy: functional tests."""

import json
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from injector.sidecar import files
from tests.fakes import authority

BUNDLE = authority.make().bundle


def names(directory: pathlib.Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_pair_is_written_before_envoy_is_told_of_it(tmp_path: pathlib.Path) -> None:
    """The key is the owner's alone; the record names the pair."""
    made = files.publish_identity(str(tmp_path), b"key", b"chain", 7)
    assert (b"key", b"chain") == (pathlib.Path(made.key).read_bytes(), pathlib.Path(made.chain).read_bytes())
    assert 0o600 == pathlib.Path(made.key).stat().st_mode & 0o777
    told = json.loads((tmp_path / "sds-workload.json").read_text())["resources"][0]
    assert "workload" == told["name"]
    assert made.key == told["tls_certificate"]["private_key"]["filename"]
    assert made == files.identity(str(tmp_path))


def test_the_pair_before_stays_and_older_ones_go(tmp_path: pathlib.Path) -> None:
    """Envoy may be reading it at this moment; and a key that is not needed is not kept."""
    for generation in (9, 10, 11, 100):
        made = files.publish_identity(str(tmp_path), b"key", b"chain", generation)
    assert 2 == len(list(tmp_path.glob("key-*")))
    assert made == files.identity(str(tmp_path))
    assert f"cert-{11:020d}.pem" in names(tmp_path)


def test_what_cannot_be_published_whole_leaves_nothing(tmp_path: pathlib.Path) -> None:
    """The record cannot be replaced (something else has its name): no key is left behind."""
    (tmp_path / "sds-workload.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.publish_identity(str(tmp_path), b"key", b"chain", 1)
    assert ["sds-workload.json"] == names(tmp_path)


def test_nothing_is_written_through_a_link(tmp_path: pathlib.Path) -> None:
    """Who can write to the volume is the proxy's user alone; still, a key goes nowhere else."""
    outside = tmp_path / "outside"
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / f"key-{1:020d}.pem").symlink_to(outside)
    with pytest.raises(FileExistsError):
        files.publish_identity(str(volume), b"key", b"chain", 1)
    (volume / ".sds-trust.json.new").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic"):
        files.publish_trust(str(volume), b"bundle", 1)
    assert not outside.exists()


def test_a_leftover_of_a_crash_is_written_over(tmp_path: pathlib.Path) -> None:
    """What a process that was killed had not finished does not stop the next one."""
    (tmp_path / ".bootstrap.json.new").write_bytes(b"half a configura" * 100)
    files.replace(str(tmp_path / "bootstrap.json"), b"{}")
    assert b"{}" == (tmp_path / "bootstrap.json").read_bytes()
    assert ["bootstrap.json"] == names(tmp_path)


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"resources": []}', '{"resources": [{"tls_certificate": null}]}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: pathlib.Path, record: str) -> None:
    """Then a new certificate is asked for."""
    assert files.identity(str(tmp_path)) is None
    (tmp_path / "sds-workload.json").write_text(record)
    assert files.identity(str(tmp_path)) is None


def test_a_bundle_of_two_has_two() -> None:
    """As while anchors are rotated; text between them does no harm."""
    other = authority.make("other").bundle
    assert 2 == len(files.certificates(b"# old\n" + BUNDLE + b"\n# new\n" + other))


@hypothesis.given(st.integers(min_value=0, max_value=len(BUNDLE.rstrip()) - 1))
def test_a_bundle_that_is_cut_short_is_refused(length: int) -> None:
    """Wherever it was cut."""
    with pytest.raises(ValueError, match=r"no certificate|no end"):
        files.certificates(BUNDLE[:length])


@hypothesis.given(st.binary(max_size=300))
def test_any_bytes_are_certificates_or_a_value_error(body: bytes) -> None:
    """A ConfigMap holds what somebody wrote into it."""
    pem = b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"
    try:
        assert files.certificates(pem)
    except ValueError:
        return


def test_a_file_that_is_too_long_is_not_read_whole(tmp_path: pathlib.Path) -> None:
    """The limit itself is allowed."""
    path = tmp_path / "bundle"
    path.write_bytes(b"x" * 10)
    assert b"x" * 10 == files.read(str(path), 10)
    with pytest.raises(ValueError, match="longer than 9 bytes"):
        files.read(str(path), 9)
