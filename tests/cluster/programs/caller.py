"""Calls what TARGETS (JSON: name -> http://host:port/ or tcp://host:port) names, each some times a second, for ever.

Prints a line of JSON for each call: ``n`` counts a target's calls, so that nobody compares clocks of two machines.
"""

import http.client
import json
import os
import signal
import socket
import threading
import time
import urllib.parse

PACE_S = 0.3
LIMIT_S = 4.0


def http_call(host: str, port: int) -> dict[str, object]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=LIMIT_S)
    try:
        connection.request("GET", "/", headers={"x-forwarded-client-cert": "URI=spiffe://forged"})
        answer = connection.getresponse()
        body = answer.read()
        told: dict[str, object] = {"status": answer.status, "denied": answer.headers.get("x-ipseity-denied", "")}
        return {**told, **json.loads(body)} if answer.status == 200 else told
    finally:
        connection.close()


def tcp_call(host: str, port: int) -> dict[str, object]:
    """One line there and back."""
    with socket.create_connection((host, port), timeout=LIMIT_S) as connection:
        connection.sendall(b"seven\n")
        with connection.makefile("rb") as lines:
            return {"status": 200 if lines.readline() == b"seven\n" else 0}


def follow(name: str, url: str) -> None:
    """Call one target for ever."""
    where = urllib.parse.urlsplit(url)
    call = tcp_call if where.scheme == "tcp" else http_call
    number = 0
    while True:
        began_s = time.monotonic()
        try:
            told = call(str(where.hostname), int(where.port or 0))
        except (OSError, ValueError, http.client.HTTPException) as error:
            told = {"status": 0, "error": f"{type(error).__name__}: {error}"}
        number += 1
        took_s = time.monotonic() - began_s
        print(json.dumps({"to": name, "n": number, "took_s": round(took_s, 3), **told}), flush=True)
        time.sleep(max(0.0, PACE_S - took_s))  # noqa: TID251  # a pace


def main() -> None:
    """Follow all, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for name, url in json.loads(os.environ["TARGETS"]).items():
        threading.Thread(target=follow, args=(name, url), daemon=True).start()
    while True:
        signal.pause()


main()
