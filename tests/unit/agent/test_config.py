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


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"IPSEITY_OTLP_ENDPOINT": "collector:4318"}, "no address of an OTLP/HTTP endpoint"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://collector"}, "no address of an OTLP/HTTP endpoint"),
        ({"IPSEITY_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc' is not spoken here"),
        ({"IPSEITY_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/k"}, "one without the other"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, "OTEL_EXPORTER_OTLP_COMPRESSION: 'zstd' is not one of"),
    ],
)
def test_an_export_that_cannot_work_is_refused_by_name(environ: dict[str, str], message: str) -> None:
    """Under the name of the variable that said it, and with a hint."""
    with pytest.raises(settings.SettingError, match=message) as raised:
        load(**environ)
    assert raised.value.hint


def test_a_password_in_a_url_is_not_said() -> None:
    """It is refused, because a URL is in logs and in ``ps``."""
    with pytest.raises(settings.SettingError) as raised:
        load(IPSEITY_OTLP_ENDPOINT="https://me:s3cret@collector:4318")
    assert "s3cret" not in str(raised.value) + raised.value.hint


def test_opentelemetrys_own_variables_are_understood_and_ours_win() -> None:
    """What is set for another program is not refused where nothing is exported."""
    theirs = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://theirs:4318", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca"}
    assert ("http://theirs:4318", "/ca") == (load(**theirs).otlp_endpoint, str(load(**theirs).otlp_ca_file))
    assert load(**theirs, IPSEITY_OTLP_ENDPOINT="").otlp_endpoint == ""
    assert load(OTEL_EXPORTER_OTLP_PROTOCOL="grpc").otlp_endpoint == ""


def test_connections_are_recorded_where_somebody_hears_of_them() -> None:
    """The flow log, or the export, each by its own switch."""
    there = {"IPSEITY_OTLP_ENDPOINT": "http://c:4318"}
    assert not load().makes_records()
    assert load(IPSEITY_FLOW_LOG="/f").makes_records()
    assert not load(IPSEITY_FLOW_LOG="/f", IPSEITY_RECORDS="no").makes_records()
    assert load(**there, IPSEITY_RECORDS="no").makes_records()
    assert not load(**there, IPSEITY_OTLP_FLOWS="edges").makes_records()
