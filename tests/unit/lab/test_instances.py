"""How many inotify instances a user may have while labs are up. Leaves out labs: ``tests/functional/lab``."""

import pathlib

import pytest

from comparisons.lab import lab


@pytest.mark.parametrize(("before", "meanwhile"), [("128", "8192"), ("9000", "9000")])
def test_the_limit_is_raised_and_put_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, before: str, meanwhile: str
) -> None:
    """Also by a second lab, which finds it raised. One that is high enough stays."""
    limit, root = tmp_path / "limit", tmp_path / "labs"
    root.mkdir()
    limit.write_text(before)
    monkeypatch.setattr(lab, "INSTANCES", limit)
    lab._raise_instances(root)
    lab._raise_instances(root)
    assert meanwhile == limit.read_text()
    lab._restore_instances(root)
    assert before == limit.read_text()
    assert not list(root.iterdir())


def test_what_somebody_else_has_set_meanwhile_stays(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is theirs."""
    limit, root = tmp_path / "limit", tmp_path / "labs"
    root.mkdir()
    limit.write_text("128")
    monkeypatch.setattr(lab, "INSTANCES", limit)
    lab._raise_instances(root)
    limit.write_text("65536")
    lab._restore_instances(root)
    assert "65536" == limit.read_text()
    assert not list(root.iterdir())


def test_where_it_may_not_be_written_a_lab_comes_up_all_the_same(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for 32 proxies."""

    class ReadOnly:
        def read_text(self) -> str:
            return "128\n"

        def write_text(self, _text: str) -> None:
            raise OSError(30, "Read-only file system")

    monkeypatch.setattr(lab, "INSTANCES", ReadOnly())
    lab._raise_instances(tmp_path)
    lab._restore_instances(tmp_path)
    assert not list(tmp_path.iterdir())
