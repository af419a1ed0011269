"""What ``config.ipseity.io/*`` may say. Leaves out what is done with it: ``spec`` and ``discovery``."""

import pytest

from injector import annotations, errors

PREFIX = "config.ipseity.io/"


def said(**values: str) -> dict[str, str]:
    """Annotations by their short names."""
    return {PREFIX + key.replace("_", "-"): value for key, value in values.items()}


def test_nothing_said_is_the_default() -> None:
    """Other people's annotations are nobody's business."""
    config = annotations.parse({"example.com/proxy-uid": "x"}, {"ipseity.io/inject": "enabled"})
    assert annotations.ProxyConfig() == config
    assert 3306 in config.opaque_ports


def test_everything_can_be_said() -> None:
    """Each annotation reaches its field."""
    config = annotations.parse(
        said(
            skip_inbound_ports="22, 8000-8002",
            skip_outbound_ports="443",
            opaque_ports="",
            proxy_cpu_request="100m",
            proxy_cpu_limit="0.5",
            proxy_memory_request="20Mi",
            proxy_memory_limit="1Gi",
            proxy_log_level="debug",
            proxy_uid="2203",
            proxy_native_sidecar="disabled",
            proxy_concurrency="2",
            proxy_image="registry.example:5000/ipseity@sha256:00",
            proxy_image_pull_policy="Never",
            inbound_policy="deny",
            outbound_policy="strict",
        ),
        {},
    )
    assert (
        annotations.ProxyConfig(
            skip_inbound_ports=frozenset({22, 8000, 8001, 8002}),
            skip_outbound_ports=frozenset({443}),
            opaque_ports=frozenset(),
            cpu_request="100m",
            cpu_limit="0.5",
            memory_request="20Mi",
            memory_limit="1Gi",
            log_level=annotations.LogLevel.DEBUG,
            uid=2203,
            native=False,
            concurrency=2,
            image="registry.example:5000/ipseity@sha256:00",
            image_pull_policy=annotations.PullPolicy.NEVER,
            inbound=annotations.InboundMode.DENY,
            outbound=annotations.OutboundMode.STRICT,
        )
        == config
    )


def test_the_pod_beats_the_namespace_key_by_key() -> None:
    """What the pod does not say, the namespace says; what the pod says over a bad value is what counts."""
    config = annotations.parse(
        said(proxy_uid="7", inbound_policy="strict"), said(proxy_uid="seven", proxy_log_level="off")
    )
    assert (7, "off", "strict") == (config.uid, config.log_level, config.inbound)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("skip-inbound-ports", "0", "ports and ranges from 1 to 65535"),
        ("skip-inbound-ports", "80,", "ports and ranges"),
        ("skip-outbound-ports", "9-1", "ports and ranges"),
        ("opaque-ports", "65536", "ports and ranges"),
        ("opaque-ports", "\u0663", "ports and ranges"),
        ("opaque-ports", ",".join(["1"] * 65), "at most 64"),
        ("proxy-cpu-request", "0", "a quantity above 0"),
        ("proxy-cpu-limit", "-1", "a quantity above 0"),
        ("proxy-memory-limit", "64MB", "such as 64Mi"),
        ("proxy-log-level", "loud", "trace, debug, info, warning, error, critical, off"),
        ("proxy-uid", "0", "1 to"),
        ("proxy-uid", "root", "1 to"),
        ("proxy-native-sidecar", "true", "enabled, disabled"),
        ("proxy-concurrency", "65", "1 to 64"),
        ("proxy-image", "two words", "an image reference"),
        ("proxy-image-pull-policy", "never", "Always, IfNotPresent, Never"),
        ("inbound-policy", "all", "permissive, strict, deny, audit"),
        ("outbound-policy", "", "permissive, strict"),
    ],
)
def test_a_bad_value_is_refused_by_name(key: str, value: str, allowed: str) -> None:
    """The message has the annotation, the value, where it stands, and what is allowed."""
    with pytest.raises(errors.InvalidAnnotation) as caught:
        annotations.parse({}, {PREFIX + key: value})
    message = str(caught.value)
    assert PREFIX + key in message
    assert repr(value[:80]) in message
    assert "on the namespace" in message
    assert allowed in message


def test_a_typo_is_answered_with_the_nearest_key() -> None:
    """An annotation that nobody reads would be a wish that nobody hears."""
    with pytest.raises(
        errors.InvalidAnnotation, match=r"skip-inbound-port on the pod.*config.ipseity.io/skip-inbound-ports"
    ):
        annotations.parse(said(skip_inbound_port="80"), {})


def test_a_request_above_its_limit_is_refused() -> None:
    """Also where the two stand in different places."""
    with pytest.raises(errors.InvalidAnnotation, match=r"proxy-cpu-request.*'2'.*at most the limit, 1500m"):
        annotations.parse(said(proxy_cpu_request="2"), said(proxy_cpu_limit="1500m"))


def test_a_namespace_speaks_to_running_pods_only_where_that_has_an_effect() -> None:
    """Ports that are skipped are in the pod's nftables since it was made; a mode is not."""
    namespace = said(skip_inbound_ports="80", inbound_policy="strict")
    config = annotations.of_running({}, namespace)
    assert (frozenset(), "strict") == (config.skip_inbound_ports, config.inbound)
    assert said(skip_inbound_ports="80") == annotations.fixed(namespace, {})
    assert {} == annotations.fixed(namespace, said(skip_inbound_ports="81"))


@pytest.mark.parametrize(("text", "spelled"), [("", ""), ("3,1,2,9", "1-3,9"), ("1-65535", "1-65535"), ("7,8", "7-8")])
def test_ports_are_spelled_as_they_are_read(text: str, spelled: str) -> None:
    """The sidecar reads what the webhook writes."""
    assert spelled == annotations.spell_ports(annotations.read_ports(text))
    assert annotations.read_ports(text) == annotations.read_ports(spelled)


@pytest.mark.parametrize(("text", "number"), [("1.", 1), (".5", 0.5), ("100m", 0.1), ("1Ki", 1024), ("2k", 2000)])
def test_quantities(text: str, number: float) -> None:
    """As Kubernetes counts."""
    assert number == float(annotations.quantity(text))
