"""A real Envoy in front of two small servers, configured by ``injector.policy.rbac`` for one decision.

Each of its four listeners is one way to come in: HTTP or bytes, with a client certificate or as plaintext. Leaves out
discovery's own listeners: those are made by more hands.
"""

import contextlib
import datetime as dt
import http.client
import http.server
import json
import pathlib
import socket
import socketserver
import ssl
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import json_format, message

from injector.policy import accesslog, match, rbac
from ipseity import identity

ENVOY: Final = pathlib.Path(sysconfig.get_path("purelib")) / "envoy/_bin/envoy"
GREETING: Final = b"220 the server speaks first\n"
_TYPE: Final = "type.googleapis.com/envoy.extensions"
_READY_S: Final = 20
Json = dict[str, Any]


class Authority:
    """A CA that writes what Envoy and clients need into a directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
        self._certificate = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))
        self.trust = directory / "trust.pem"
        self.trust.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def leaf(self, who: identity.SpiffeId) -> pathlib.Path:
        """Write key and certificate of somebody into one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(who))])
        certificate = self._sign(x509.Name([]), key, names)
        path = self._directory / f"{who.account.namespace}-{who.account.name}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path

    def client(self, who: identity.SpiffeId) -> ssl.SSLContext:
        """Give a TLS client that proves to be somebody, and does not ask whom it talks to."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.trust)
        context.load_cert_chain(self.leaf(who))
        return context

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        builder = x509.CertificateBuilder().issuer_name(self._name).subject_name(subject).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start)
        builder = builder.not_valid_after(start.replace(year=2120)).add_extension(extension, critical=True)
        return builder.sign(self._key, hashes.SHA256())


class _Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"web")

    do_POST = do_GET  # noqa: N815  # as http.server calls it

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its base's name
        """Say nothing: the test's output is the test's."""


class _SpeaksFirst(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(GREETING)
        while said := self.request.recv(4096):
            self.request.sendall(said)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextlib.contextmanager
def _serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Guard:
    """An Envoy that runs. Its log is ``log``; ``stats`` are its counters."""

    def __init__(self, admin: pathlib.Path, ports: dict[str, int], log: pathlib.Path, authority: Authority) -> None:
        self._admin, self._ports, self._authority = admin, ports, authority
        self.log = log

    def connect(self, way: str, who: identity.SpiffeId | None) -> socket.socket:
        """Connect to one of the four listeners: ``http`` or ``tcp``, with an identity or without."""
        raw = socket.create_connection(("127.0.0.1", self._ports[f"{way}-{'tls' if who else 'plain'}"]), timeout=5)
        return self._authority.client(who).wrap_socket(raw) if who else raw

    def request(
        self, who: identity.SpiffeId | None, path: str = "/", method: str = "GET", headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Make one HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = self.connect("http", who)
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        response.read()
        connection.close()
        return response

    def heard(self, who: identity.SpiffeId | None, said: bytes = b"") -> bytes:
        """Say something over TCP, close that side and give all that came back; empty if the connection was refused."""
        heard = b""
        with self.connect("tcp", who) as peer:
            try:
                if said:
                    peer.sendall(said)
                while len(heard) < len(GREETING) + len(said) and (part := peer.recv(4096)):
                    heard += part
            except (ConnectionError, ssl.SSLError):
                return b""
        return heard

    def stats(self) -> dict[str, int]:
        """Give the counters that are not 0."""
        answer = _admin(self._admin, "/stats?usedonly&format=json")
        return {each["name"]: each["value"] for each in json.loads(answer)["stats"] if "value" in each}


def _admin(path: pathlib.Path, query: str) -> bytes:
    connection = http.client.HTTPConnection("admin")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(5)
    with contextlib.closing(connection):
        connection.sock.connect(str(path))
        connection.request("GET", query)
        response = connection.getresponse()
        return response.read()


@contextlib.contextmanager
def running(inbound: match.Inbound, directory: pathlib.Path, *, by_name: bool = False) -> Iterator[Guard]:
    """Run an Envoy. ``by_name``: refuse bytes in the handshake, by the certificate's name."""
    authority = Authority(directory)
    account = identity.ServiceAccount("shop", "guarded")
    authority.leaf(identity.SpiffeId(identity.TrustDomain("cluster.local"), account))
    admin, log, file = directory / "admin.sock", directory / "envoy.log", directory / "bootstrap.json"
    with _serving(_Web) as web, _serving(_SpeaksFirst) as first:
        listeners = [
            _listener(f"{way}-{'tls' if tls else 'plain'}", _filters(inbound, way, tls=tls), tls_context)
            for way in ("http", "tcp")
            for tls in (True, False)
            for tls_context in [_tls(directory, inbound if by_name and way == "tcp" else None) if tls else None]
        ]
        file.write_text(json.dumps(_bootstrap(admin, listeners, {"http": web, "tcp": first})))
        command = [ENVOY, "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
            try:
                yield Guard(admin, _ports(admin, process, log), log, authority)
            finally:
                process.terminate()


def _ports(admin: pathlib.Path, process: subprocess.Popen[bytes], log: pathlib.Path) -> dict[str, int]:
    done = threading.Event()
    for _ in range(_READY_S * 50):
        if process.poll() is not None:
            raise AssertionError(log.read_text())
        with contextlib.suppress(OSError, ValueError):
            if json.loads(_admin(admin, "/server_info"))["state"] == "LIVE":
                found = json.loads(_admin(admin, "/listeners?format=json"))["listener_statuses"]
                return {each["name"]: each["local_address"]["socket_address"]["port_value"] for each in found}
        done.wait(0.02)
    raise AssertionError(log.read_text())


def validate(inbound: match.Inbound, directory: pathlib.Path) -> str:
    """Ask ``envoy --mode validate``; gives what it complains of, empty if nothing."""
    authority = Authority(directory)
    authority.leaf(identity.SpiffeId(identity.TrustDomain("cluster.local"), identity.ServiceAccount("shop", "guarded")))
    listeners = [
        _listener(f"{way}-{tls}", _filters(inbound, way, tls=tls), _tls(directory, inbound) if tls else None)
        for way in ("http", "tcp")
        for tls in (True, False)
    ]
    file = directory / "bootstrap.json"
    file.write_text(json.dumps(_bootstrap(directory / "admin.sock", listeners, {"http": 1, "tcp": 1})))
    command = [ENVOY, "--mode", "validate", "-c", file, "--log-level", "error"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr + done.stdout if done.returncode else ""


def _bootstrap(admin: pathlib.Path, listeners: list[Json], clusters: dict[str, int]) -> Json:
    return {
        "node": {"id": "guard", "cluster": "guard"},
        "admin": {"address": {"pipe": {"path": str(admin)}}},
        "static_resources": {
            "listeners": listeners,
            "clusters": [
                {"name": name, "connect_timeout": "1s", "load_assignment": _endpoint(name, port)}
                for name, port in clusters.items()
            ],
        },
    }


def _endpoint(name: str, port: int) -> Json:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}


def _listener(name: str, filters: list[Json], tls: Json | None) -> Json:
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "access_log": [_json(accesslog.of_listener())],
        "filter_chains": [{"filters": filters, **({"transport_socket": tls} if tls else {})}],
    }


def _tls(directory: pathlib.Path, inbound: match.Inbound | None) -> Json:
    leaf = {"filename": str(directory / "shop-guarded.pem")}
    names = rbac.client_names(inbound) if inbound else None
    matchers = [{"san_type": "URI", "matcher": json_format.MessageToDict(each)} for each in names or ()]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": {
                "tls_certificates": [{"certificate_chain": leaf, "private_key": leaf}],
                "validation_context": {
                    "trusted_ca": {"filename": str(directory / "trust.pem")},
                    "match_typed_subject_alt_names": matchers,
                },
            },
        },
    }


def _filters(inbound: match.Inbound, way: str, *, tls: bool) -> list[Json]:
    logs = [_json(each) for each in accesslog.of_chain(inbound, http=way == "http", identified=tls)]
    if way == "tcp":
        network = rbac.network(inbound)
        proxy = {
            "@type": f"{_TYPE}.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "tcp",
            "cluster": "tcp",
            "access_log": logs,
        }
        return [*_filter(rbac.NETWORK_FILTER, network), {"name": "tcp", "typed_config": proxy}]
    router = {"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound",
        "http_filters": [*_filter(rbac.HTTP_FILTER, rbac.http(inbound)), router],
        "local_reply_config": _json(rbac.local_reply(inbound, identified=tls)),
        "access_log": logs,
        "route_config": {
            "virtual_hosts": [
                {"name": "web", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "http"}}]}
            ]
        },
    }
    return [{"name": "http", "typed_config": manager}]


def _filter(name: str, config: message.Message | None) -> list[Json]:
    if config is None:
        return []
    return [
        {"name": name, "typed_config": {"@type": f"type.googleapis.com/{config.DESCRIPTOR.full_name}", **_json(config)}}
    ]


def _json(config: message.Message) -> Json:
    return json_format.MessageToDict(config, preserving_proto_field_name=True)
