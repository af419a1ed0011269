"""The agent's settings. Leaves out how settings are read (``tests/unit/ipseity/test_settings``)."""

import dataclasses
import ipaddress
import os

import pytest

from agent import config
from ipseity import settings


def load(**environ: str) -> config.Config:
    return settings.load(config.Config, {}, environ)


def test_defaults_need_no_environment() -> None:
    """Whatever is not given has a value that works on a node."""
    assert config.Config() == load()
    assert os.uname().nodename.lower() == load().node()


def test_every_private_and_local_range_is_of_the_cluster() -> None:
    """Their addresses are kept exactly."""
    for text in ("10.0.0.1", "172.31.0.1", "192.168.0.1", "100.64.0.1", "127.0.0.1", "fd00::1", "fe80::1", "::1"):
        assert any(ipaddress.ip_address(text) in prefix for prefix in load().cluster_prefixes)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("IPSEITY_MIN_INTERVAL_S", "20", "more than IPSEITY_MAX_INTERVAL_S, 15"),
        ("IPSEITY_API", "tcp://1.2.3.4", "neither a socket nor a local URL"),
        ("IPSEITY_INSTANCE", "a/b", "cannot name a directory"),
        ("IPSEITY_MAX_EDGES", "12", "out of range"),
    ],
)
def test_what_cannot_work_is_refused_by_name(variable: str, value: str, message: str) -> None:
    """The message names variable and value, and there is a hint."""
    with pytest.raises(settings.SettingError, match=message) as raised:
        load(**{variable: value})
    assert variable in str(raised.value)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("external", "kept"),
    [("", True), ("203.0.113.0/24", True), ("0.0.0.0/0", True), ("10.99.0.0/16", False), ("fd00::/16", False)],
)
def test_an_external_prefix_among_private_addresses_is_looked_for(external: str, *, kept: bool) -> None:
    """The kernel's short cut past its prefixes is only for settings that it cannot contradict."""
    assert kept is load(IPSEITY_EXTERNAL_PREFIXES=external).keeps_private()


def test_every_setting_says_what_it_is() -> None:
    """--help and docs/cli.md are made from this."""
    for field in dataclasses.fields(config.Config):
        assert field.metadata["help"].endswith("."), field.name
