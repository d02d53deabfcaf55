"""Files and functions stay small enough to be held in the head."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.style.files import CODE, ROOT, name_of, python_files

#: Past about 400 lines a file has a second reason to exist; a few more are no reason to split it.
FILE_LINES_MAX = 450
#: A function fits on a screen.
FUNCTION_LINES_MAX = 70
#: Tables of cases make a test file long without making it hard.
TEST_FILE_LINES_MAX = 700

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    yield from (
        node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, Function)
    )


@pytest.mark.parametrize("path", python_files(*CODE), ids=name_of)
def test_no_file_is_long(path: Path) -> None:
    lines = path.read_text().count("\n")
    is_test = path.is_relative_to(ROOT / "tests")
    assert lines <= (TEST_FILE_LINES_MAX if is_test else FILE_LINES_MAX)


@pytest.mark.parametrize("path", python_files(*CODE), ids=name_of)
def test_no_function_is_long(path: Path) -> None:
    lengths = {
        function.name: function.end_lineno - function.lineno + 1
        for function in functions(path)
        if function.end_lineno is not None
    }
    too_long = {name: n for name, n in lengths.items() if n > FUNCTION_LINES_MAX}
    assert not too_long


@pytest.mark.parametrize("path", python_files("etcdpy"), ids=name_of)
def test_every_module_says_why_it_exists(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_bytes()))


@pytest.mark.parametrize("path", python_files("etcdpy"), ids=name_of)
def test_a_module_has_no_state(path: Path) -> None:
    """A container at the top of a module is a constant, and is named as one."""
    state = [
        ast.unparse(node.targets[0])
        for node in ast.parse(path.read_bytes()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Dict | ast.List | ast.Set)
        and not ast.unparse(node.targets[0]).strip("_").isupper()
        and ast.unparse(node.targets[0]) != "__all__"
    ]
    assert not state


@pytest.mark.parametrize("path", python_files("etcdpy"), ids=name_of)
def test_nothing_swallows_every_error(path: Path) -> None:
    """`except Exception` belongs to the three edges (request, connection, task), which log it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except at line {node.lineno}"
            names = ast.unparse(node.type)
            if "BaseException" in names or names == "Exception":
                body = "\n".join(ast.unparse(statement) for statement in node.body)
                is_told = "raise" in body or "log" in body or (node.name or "?") in body
                assert is_told, f"silent at line {node.lineno}"
