"""docs/architecture.md is kept true: each file and each name that it points to is there. README.md's example runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "pilothouse"
TEXT = (ROOT / "docs" / "architecture.md").read_text()
PATH = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/)?([a-z_]+\.py)`(?: `([A-Za-z_][\w.]*)`)?")


def names_in(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    names.add(f"{node.name}.{inner.name}")
    return names


def test_every_file_and_function_of_the_walks_exists():
    wrong, known = [], set()
    for folder, file, name in PATH.findall(TEXT):
        found = list(SOURCE.glob(f"{folder}{file}")) if folder else list(SOURCE.rglob(file))
        found = found or list(ROOT.glob(f"{folder}{file}"))
        if not found:
            wrong.append(f"{folder}{file}")
        elif name and not any(name in names_in(path) for path in found):
            wrong.append(f"{folder}{file} {name}")
        for path in found:
            known |= names_in(path)
    for name in re.findall(r"`([A-Z]\w+\._?[a-z]\w+)`", TEXT):
        if name not in known:
            wrong.append(name)
    assert not wrong, f"docs/architecture.md names what is not there: {wrong}"


def test_the_readmes_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "24 * 3600" in example
    exec(example.replace("24 * 3600", "600"), {})
    assert re.fullmatch(r"[1-9]\d* changes of Jobs; [0-9a-f]{64}\n", capsys.readouterr().out)


def test_every_test_that_stands_for_conformance_exists():
    text = (ROOT / "docs" / "conformance.md").read_text()
    files = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    known = set().union(*(names_in(path) for path in files.values()))
    assert [name for name in re.findall(r"`(test_\w+\.py)`", text) if name not in files] == []
    assert [name for name in re.findall(r"`(test_\w+)`", text) if name not in known] == []
