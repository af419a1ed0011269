"""Gets URLS (JSON list) once, prints {url: [status, body]}: of a body only lines that have a word of KEEP (JSON)."""

import http.client
import json
import os
import urllib.parse

LIMIT_S = 10.0


def get(url: str, keep: list[str]) -> list[object]:
    """Get one."""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=LIMIT_S)
    try:
        connection.request("GET", where.path)
        answer = connection.getresponse()
        lines = answer.read().decode(errors="replace").splitlines()
        return [answer.status, "\n".join(line for line in lines if any(word in line for word in keep))]
    except (OSError, http.client.HTTPException) as error:
        return [0, f"{type(error).__name__}: {error}"]
    finally:
        connection.close()


print(json.dumps({url: get(url, json.loads(os.environ["KEEP"])) for url in json.loads(os.environ["URLS"])}))
