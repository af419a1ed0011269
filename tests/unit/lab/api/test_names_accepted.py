"""Which names a definition has among others of its group. Conditions over HTTP: the contract tests have them."""

from typing import Any

from comparisons.lab.api import names_accepted

Value = dict[str, Any]


def definition(plural: str, kind: str, *short: str, group: str = "g.test", **status: Any) -> Value:
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    names |= {"shortNames": list(short)} if short else {}
    version = {"name": "v1", "served": True, "storage": True}
    return {"spec": {"group": group, "names": names, "versions": [version]}, "status": status}


def accepted(made: Value) -> Value:
    return {**made, "status": {"acceptedNames": made["spec"]["names"]}}


def reasons(found: Value) -> dict[str, str]:
    return {each["type"]: each["reason"] for each in found["conditions"]}


def test_free_names_are_accepted() -> None:
    """And the status is stable."""
    made = definition("gates", "Gate", "gt")
    found = names_accepted.status_of(made, [], "now")
    assert {"NamesAccepted": "NoConflicts", "Established": "InitialNamesAccepted"} == reasons(found)
    assert made["spec"]["names"] == found["acceptedNames"]
    assert found == names_accepted.status_of({**made, "status": found}, [], "later")


def test_taken_names_are_not() -> None:
    """Each part by itself; another group does not matter."""
    other = accepted(definition("doors", "Door", "gt", "gate"))
    found = names_accepted.status_of(definition("gates", "Gate", "gt"), [other], "now")
    assert {"NamesAccepted": "ShortNamesConflict", "Established": "NotAccepted"} == reasons(found)
    assert "shortNames" not in found["acceptedNames"]
    assert "gates" == found["acceptedNames"]["plural"]
    elsewhere = accepted(definition("doors", "Door", "gt", group="h.test"))
    assert (
        "NoConflicts"
        == reasons(names_accepted.status_of(definition("a", "A", "gt"), [elsewhere], "now"))["NamesAccepted"]
    )


def test_what_is_established_stays_so() -> None:
    """A name that cannot be had is refused; the old ones are served on."""
    made = definition("gates", "Gate")
    first = names_accepted.status_of(made, [], "now")
    other = accepted(definition("doors", "Door", "dr"))
    wants = {**definition("gates", "Gate", "dr"), "status": first}
    found = names_accepted.status_of(wants, [other], "later")
    assert {"NamesAccepted": "ShortNamesConflict", "Established": "InitialNamesAccepted"} == reasons(found)
    assert first["acceptedNames"] == found["acceptedNames"]


def test_every_version_that_was_stored_is_remembered() -> None:
    """Until somebody takes it off the list."""
    made = definition("gates", "Gate")
    made["status"] = {"storedVersions": ["v1alpha1"]}
    assert ["v1alpha1", "v1"] == names_accepted.status_of(made, [], "now")["storedVersions"]
