"""Files and functions stay small enough to be read. Leaves out what is generated (lock file) or recorded (vectors)."""

import ast

from tests.repo import tree

FILE_LINES = 400
FUNCTION_LINES = 60


def test_no_file_is_longer_than_a_person_reads() -> None:
    """A file of more than 400 lines is several files."""
    sources = tree.texts("*.py", "*.c", "*.h", "*.sh")
    assert {} == {path: n for path, text in sources if (n := len(text.splitlines())) > FILE_LINES}


def test_no_function_is_longer_than_a_screen() -> None:
    """A function of more than 60 lines is several functions."""
    assert [] == [
        f"{path}:{node.lineno} {node.name}"
        for path, text in tree.texts("*.py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]
