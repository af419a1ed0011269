"""What is spoken on a port, from what people say. Leaves out what Envoy makes of the bytes."""

import pytest

from injector import annotations
from injector.cluster import model, protocols
from ipseity import identity

_DEFAULT = annotations.DEFAULT_OPAQUE_PORTS
HTTP, HTTP2, OPAQUE, DETECT = model.Protocol.HTTP, model.Protocol.HTTP2, model.Protocol.OPAQUE, model.Protocol.DETECT


@pytest.mark.parametrize(
    ("expected", "app_protocol", "name", "ports"),
    [
        (HTTP, "http", "", (80,)),
        (HTTP2, "kubernetes.io/h2c", "tcp", (80,)),
        (HTTP, "kubernetes.io/ws", "", (80,)),
        (OPAQUE, "https", "http", (80,)),
        (DETECT, "example.com/own", "", (80,)),
        (HTTP, "example.com/own", "http-admin", (80,)),
        (HTTP2, "", "grpc", (80,)),
        (HTTP, "", "grpc-web", (80,)),
        (OPAQUE, "", "tcp-metrics", (80,)),
        (OPAQUE, "", "mysql", (13_306,)),
        (OPAQUE, "", "", (3306,)),
        (OPAQUE, "", "", (80, 5432)),
        (HTTP, "", "http", (3306,)),
        (DETECT, "", "httpbin", (80,)),
        (DETECT, "", "", (80,)),
    ],
)
def test_what_is_said_first_counts(
    expected: model.Protocol, app_protocol: str, name: str, ports: tuple[int, ...]
) -> None:
    """``appProtocol`` before the port's name before the list of ports before detection."""
    assert expected == protocols.choose(app_protocol=app_protocol, name=name, ports=ports, opaque=_DEFAULT)


def test_a_port_that_somebody_marked_opaque_is_opaque_whatever_it_is_called() -> None:
    """Beyond the default list, the annotation was written for this very port."""
    marked = frozenset({8080})
    assert OPAQUE == protocols.choose(app_protocol="http", name="http", ports=(80, 8080), opaque=marked)


def test_a_list_that_replaces_the_default_takes_ports_out() -> None:
    """``opaque-ports: "25"`` makes 3306 a port that nobody has said anything about."""
    assert DETECT == protocols.choose(app_protocol="", name="", ports=(3306,), opaque=frozenset({25}))


def pod(**said: object) -> model.Pod:
    """Give a pod with a few declared ports."""
    given = {"opaque_ports": _DEFAULT, **said}
    return model.Pod(
        ref=identity.PodRef("shop", "web", "uid"),
        account=identity.ServiceAccount("shop", "web"),
        labels={},
        addresses=("10.0.0.1",),
        ports=(model.PodPort(name="http", port=8080), model.PodPort(name="main", port=9000)),
        **given,  # type: ignore[arg-type]  # of whatever the test says
    )


def fronting(target: int | str, protocol: model.Protocol, name: str = "a") -> model.Service:
    """Give a Service that leads to a port of the pod."""
    port = model.ServicePort(name="", port=80, target=target, protocol=protocol)
    return model.Service(namespace="shop", name=name, addresses=(), ports=(port,), endpoints={})


def test_a_server_hears_what_services_say_then_its_own_names_then_its_probes() -> None:
    """Client and server come to one answer, and a port that is probed by HTTP speaks HTTP."""
    assert HTTP == protocols.of_pod(pod(), 8080, ())
    assert OPAQUE == protocols.of_pod(pod(), 8080, [fronting("http", OPAQUE)])
    assert DETECT == protocols.of_pod(pod(), 9000, ())
    assert HTTP2 == protocols.of_pod(pod(), 9000, [fronting(9000, HTTP2)])
    assert HTTP == protocols.of_pod(pod(probes=(model.HttpProbe(port=9000, path="/"),)), 9000, ())
    assert OPAQUE == protocols.of_pod(pod(opaque_ports=frozenset({8080})), 8080, ())
    assert OPAQUE == protocols.of_pod(pod(), 3306, ())


def test_where_services_contradict_one_another_http_is_believed() -> None:
    """Read as bytes, it would carry a caller's name of the caller's own making; HTTP in two versions is HTTP."""
    both = [fronting(9000, HTTP), fronting(9000, HTTP2, "b")]
    assert HTTP == protocols.of_pod(pod(), 9000, both)
    assert HTTP == protocols.of_pod(pod(), 9000, [*both, fronting(9000, OPAQUE, "c")])
    assert HTTP == protocols.of_pod(pod(), 9000, [fronting(9000, OPAQUE), fronting(9000, HTTP2, "b")])
