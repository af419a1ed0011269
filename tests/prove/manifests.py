"""What is shipped is what Kubernetes 1.31 to 1.37 describe, to the letter, with the rights that are used and no more.

Rendered by Helm's own engine for values that together say everything that can be said, and validated strictly. Both
programs run against an API server that allows what their roles say and nothing else. Leaves out what only a server
checks, and whether each right of the control plane is used.
"""

from tests.prove import _cases, verdict

ROOM = "tests/contract/deploy"


def prove() -> verdict.Verdict:
    """Run the cases."""
    return _cases.prove(
        {
            "rendered as committed": "tests/golden/deploy/test_manifests.py",
            "strict, seven releases": f"{ROOM}/test_schemas.py",
            "values and their schema": f"{ROOM}/test_values.py",
            "the mesh's own manifest": f"{ROOM}/test_parts.py",
            "rights of the agent": f"{ROOM}/test_rights.py",
            "rights of the control plane": "tests/contract/injector/test_roles.py",
            "installed, upgraded, removed": f"{ROOM}/test_installing.py",
        },
        "checks of the manifests",
    )
