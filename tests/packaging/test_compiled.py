"""The list of what is compiled names files that exist; a wheel without it has plain Python."""

import ast

import pytest

from tests.style.files import ROOT


def patterns() -> list[str]:
    tree = ast.parse((ROOT / "setup.py").read_text())
    (values,) = (
        statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "_PATTERNS"
    )
    return list(ast.literal_eval(values))


@pytest.mark.parametrize("pattern", patterns())
def test_what_is_to_be_compiled_is_there(pattern: str) -> None:
    assert list((ROOT / "etcdpy").glob(f"{pattern}.py"))


def test_nothing_is_named_twice() -> None:
    assert len(patterns()) == len(set(patterns()))
