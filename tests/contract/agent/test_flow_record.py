"""The flow record as others read it: real records against docs/flow.schema.json, and the page against the classes.

Left out: what each field means (tests/unit/agent/test_flowjson.py). After a change of agent/flowjson.py write the
schema anew: ``python -m tests.contract.agent.test_flow_record``.
"""

import copy
import dataclasses
import json
import pathlib
import re
from typing import Any

import jsonschema
import msgspec
import pytest

from agent import flowjson, ledger, mismatchjson, model, verdicts
from tests.fakes import flows

DOCS = pathlib.Path(__file__).resolve().parents[3] / "docs"
SCHEMA = DOCS / "flow.schema.json"
PAGE = (DOCS / "flow-record.md").read_text()
UNKNOWN = model.End(kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE, reason=model.Reason.NO_TAG)
FORMER = model.Who(
    model.Kind.POD, "shop", "report-1", "6f0c2b1a-52e0-4a43-8a2c-f1ad01b2a7e3", "report", "Job", "report"
)
SAME = verdicts.Verdict(verdicts.Match.SAME)
REUSED = verdicts.Verdict(verdicts.Match.DIFFERENT, verdicts.Mismatch.IP_REUSED)
JUDGED = model.Views(ledger.who(flows.WEB), None, FORMER, model.NOBODY, verdicts.Verdicts(REUSED, REUSED, SAME))
MESH = model.Mesh(containers=(("c0ffee", "ipseity-proxy"),))
RECORDS = [
    flows.edge(),
    flows.edge(local=dataclasses.replace(flows.CLIENT, mesh=MESH), remote=dataclasses.replace(flows.WEB, mesh=MESH)),
    flows.edge(remote=dataclasses.replace(flows.WEB, views=JUDGED)),
    flows.mirrored(partial=True),
    flows.connection(),
    flows.connection(end_reason="timed_out", protocol=model.Protocol.TCP),
    flows.edge(local=UNKNOWN, remote=flows.OUTSIDE, protocol=model.Protocol.UDP, counters=model.Counters()),
]


def written() -> str:
    return json.dumps(flowjson.schema(), indent=2) + "\n"


def line(flow: model.Flow) -> dict[str, Any]:
    return json.loads(flowjson.encode(flowjson.from_flow(flow, node_name="node-a")))


def test_the_schema_is_that_of_the_classes() -> None:
    """The file in docs/ is what the agent would write today."""
    assert written() == SCHEMA.read_text()


def test_the_schema_is_one() -> None:
    """By the rules of JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("flow", RECORDS)
def test_records_keep_to_the_schema(flow: model.Flow) -> None:
    """Edges and connections, TCP and UDP, named and unknown ends."""
    jsonschema.validate(line(flow), json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("time",), "13:00"),
        (("type",), "packet"),
        (("source", "evidence"), "gossip"),
        (("counters", "opened"), -1),
        (("l4", "TCP", "destination_port"), 70000),
        (("source",), None),
    ],
)
def test_the_schema_refuses_what_is_no_record(path: tuple[str, ...], value: object) -> None:
    """A schema that admits everything would prove nothing."""
    record = copy.deepcopy(line(flows.edge()))
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize(
    "part",
    [
        flowjson.Flow,
        flowjson.Endpoint,
        flowjson.Attribution,
        flowjson.Answer,
        flowjson.Counters,
        flowjson.Addresses,
        flowjson.Ports,
        flowjson.Connection,
    ],
)
def test_every_field_is_on_the_page(part: type[msgspec.Struct]) -> None:
    """docs/flow-record.md names each field as it is written."""
    assert [] == [field.encode_name for field in msgspec.structs.fields(part) if f"`{field.encode_name}`" not in PAGE]


@pytest.mark.parametrize("words", [model.Kind, model.Evidence, model.Reason])
def test_every_word_is_on_the_page(words: type[model.Kind | model.Evidence | model.Reason]) -> None:
    """The closed lists of kinds, evidence and reasons."""
    assert [] == [word.value for word in words if word.value and f"`{word.value}`" not in PAGE]


def test_every_reason_of_a_mismatch_is_explained() -> None:
    """docs/mismatches.md has a row for each of the closed list, in its order."""
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "mismatches.md").read_text(), re.MULTILINE)
    assert [reason.value for reason in verdicts.Mismatch if reason] == rows[: len(verdicts.Mismatch) - 1]


def test_the_example_is_a_record() -> None:
    """What the page shows can be read, and keeps to the schema."""
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    jsonschema.validate(json.loads(example), json.loads(SCHEMA.read_text()))
    assert isinstance(flowjson.decode(example.encode()), flowjson.Flow)


def test_the_example_of_owners_is_an_answer() -> None:
    """As docs/api.md shows it."""
    example, _ = re.findall(r"```json\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)
    assert flowjson.decode_owners(example.encode()).owners[0].name == "report-28x4k"


def test_the_example_of_mismatches_is_an_answer() -> None:
    """As docs/api.md shows it."""
    _, example = re.findall(r"```json\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)
    [line] = mismatchjson.decode(example.encode()).mismatches
    assert ("cron-9d7tz", verdicts.Mismatch.IP_REUSED) == (line.was.name, line.reason)


if __name__ == "__main__":
    SCHEMA.write_text(written())
