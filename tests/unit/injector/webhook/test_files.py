"""A certificate in files that somebody else renews. Leaves out cert-manager."""

import asyncio
import datetime as dt
import pathlib

import pytest

from injector import errors
from injector.webhook import certificate, files, tls

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def write(folder: pathlib.Path, pair: certificate.Pair) -> None:
    (folder / "tls.crt").write_bytes(pair.certificate_pem)
    (folder / "tls.key").write_bytes(pair.key_pem)


async def test_a_renewed_pair_is_served_and_half_of_one_is_not(tmp_path: pathlib.Path) -> None:
    """What was served before goes on until both files fit together."""
    first, second = certificate.make(("a.svc",), NOW), certificate.make(("a.svc",), NOW + dt.timedelta(days=1))
    write(tmp_path, first)
    credentials = tls.Credentials()
    followed = files.Files(credentials, tmp_path / "tls.crt", tmp_path / "tls.key")
    assert followed.expires is None
    assert followed.load()
    assert not followed.load()
    assert NOW + certificate.LIFE == followed.expires
    task = asyncio.create_task(followed.run(look_s=0.001))
    (tmp_path / "tls.key").write_bytes(second.key_pem)
    async with asyncio.timeout(10):
        while not followed.failed:  # noqa: ASYNC110  # the file system tells nobody
            await asyncio.sleep(0.001)
        assert NOW + certificate.LIFE == followed.expires
        write(tmp_path, second)
        while NOW + certificate.LIFE == followed.expires:  # noqa: ASYNC110  # see above
            await asyncio.sleep(0.001)
    task.cancel()


def test_files_that_are_not_there_are_said(tmp_path: pathlib.Path) -> None:
    """With their names, before anything is served."""
    with pytest.raises(errors.CannotRun, match=r"tls\.crt"):
        files.Files(tls.Credentials(), tmp_path / "tls.crt", tmp_path / "tls.key").load()
