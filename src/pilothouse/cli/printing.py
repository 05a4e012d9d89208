"""How objects are shown: tables as kubectl aligns them, yaml, json, name, jsonpath, custom-columns. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import click

from ..api.kinds import Kind
from ..api.object import Object, labels_of

PADDING = 3
Row = list[str]


def align(rows: list[Row]) -> str:
    """Columns three blanks apart, the last one not padded (kubectl's tabwriter)."""
    if not rows:
        return ""
    widths = [max(len(row[i]) if i < len(row) else 0 for row in rows) for i in range(max(map(len, rows)))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width + PADDING) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("".join(cells) + row[-1])
    return "\n".join(lines) + "\n"


def cell_text(value: Any) -> str:
    if value is None:
        return "<none>"
    if value is True or value is False:
        return str(value).lower()
    return str(value)


def table_rows(
    table: Object,
    *,
    wide: bool,
    headers: bool,
    namespaces: bool,
    prefix: str = "",
    show_labels: bool = False,
    label_columns: Iterable[str] = (),
) -> list[Row]:
    """The lines of a `Table`. `prefix` goes before names ("pod/")."""
    columns = [
        (index, column["name"].upper())
        for index, column in enumerate(table.get("columnDefinitions") or ())
        if wide or not column.get("priority")
    ]
    label_columns = list(label_columns)
    rows: list[Row] = []
    if headers:
        head = [name for _, name in columns]
        head += [label.rpartition("/")[2].upper() for label in label_columns]
        if show_labels:
            head.append("LABELS")
        rows.append((["NAMESPACE"] if namespaces else []) + head)
    for row in table.get("rows") or ():
        metadata = (row.get("object") or {}).get("metadata") or {}
        cells = [cell_text(row["cells"][index]) for index, _ in columns]
        if cells:
            cells[0] = prefix + cells[0]
        labels = metadata.get("labels") or {}
        cells += [labels.get(label, "") or "<none>" for label in label_columns]
        if show_labels:
            cells.append(",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>")
        rows.append(([metadata.get("namespace") or ""] if namespaces else []) + cells)
    return rows


def to_yaml(obj: Any) -> str:
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(dumper):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(target: Any, value: str) -> Any:
        style = "|" if "\n" in value and not re.search(r"[ \t]\n|\n[ \t]*$(?!\n)", value) else None
        return target.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return str(
        yaml.dump(
            obj, Dumper=Dumper, sort_keys=True, default_flow_style=False, width=10**9, allow_unicode=True
        )
    )


def to_json(obj: Any) -> str:
    return json.dumps(obj, indent=4, sort_keys=True, ensure_ascii=False) + "\n"


def without_managed_fields(obj: Object) -> Object:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def resource_name(kind: Kind, name: str) -> str:
    """`deployment.apps/web`"""
    return f"{kind.singular}.{kind.group}/{name}" if kind.group else f"{kind.singular}/{name}"


# -- jsonpath ------------------------------------------------------------------------------------------


def jsonpath(template: str, data: Any) -> str:
    """kubectl's jsonpath templates: `{.a.b}`, `[0]`, `[*]`, `[a:b]`, `..x`, filters, `{range}…{end}`, quoted text.

    Raises click.ClickException for what cannot be parsed.
    """
    return _Template(template).render(data)


class _Template:
    def __init__(self, text: str):
        self._parts = self._parse(iter(self._tokens(text)), False)

    def _tokens(self, text: str) -> list[tuple[str, str]]:
        tokens, position = [], 0
        while position < len(text):
            start = text.find("{", position)
            if start < 0:
                tokens.append(("text", text[position:]))
                break
            if start > position:
                tokens.append(("text", text[position:start]))
            end, quote = start + 1, ""
            while end < len(text) and (quote or text[end] != "}"):
                if quote:
                    quote = "" if text[end] == quote and text[end - 1] != "\\" else quote
                elif text[end] in "'\"":
                    quote = text[end]
                end += 1
            if end >= len(text):
                raise click.ClickException(f"error: error parsing jsonpath {text}, unclosed action")
            tokens.append(("action", text[start + 1 : end].strip()))
            position = end + 1
        return tokens

    def _parse(self, tokens: Any, inside: bool) -> list[Any]:
        parts: list[Any] = []
        for kind, text in tokens:
            if kind == "text":
                parts.append(("text", text))
            elif text == "end":
                if not inside:
                    raise click.ClickException("error: error parsing jsonpath, not in range, nothing to end")
                return parts
            elif text.startswith("range"):
                parts.append(("range", _Path(text[5:].strip()), self._parse(tokens, True)))
            elif text[:1] in "'\"":
                parts.append(("text", text[1:-1].encode().decode("unicode_escape")))
            else:
                parts += (
                    [("path", _Path(path)) for path in text.split()]
                    if "[?" not in text
                    else [("path", _Path(text))]
                )
        if inside:
            raise click.ClickException("error: error parsing jsonpath, unterminated range")
        return parts

    def render(self, data: Any) -> str:
        return self._render(self._parts, data, data)

    def _render(self, parts: list[Any], data: Any, root: Any) -> str:
        out = []
        for part in parts:
            if part[0] == "text":
                out.append(part[1])
            elif part[0] == "path":
                out.append(" ".join(_show(value) for value in part[1].find(data, root)))
            else:
                out += [self._render(part[2], item, root) for item in part[1].find(data, root)]
        return "".join(out)


def _show(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return "" if value is None else cell_text(value)


_STEP = re.compile(
    r"""\.\.(?P<deep>[\w-]+|\*)|\.(?P<key>(?:\\.|[^.\[\]\s'"()])+)|\[(?P<quoted>'[^']*'|"[^"]*")\]|
    \[\?\((?P<filter>.*?)\)\]|\[(?P<index>[^\]]*)\]""",
    re.VERBOSE,
)


class _Path:
    def __init__(self, text: str):
        self._text = text
        self._from_root = text.startswith("$")
        body = text.lstrip("$@")
        if body and body[0] not in ".[":
            body = "." + body
        self._steps, position = [], 0
        while position < len(body):
            if body[position:] == ".":
                break
            match = _STEP.match(body, position)
            if not match:
                raise click.ClickException(
                    f"error: error parsing jsonpath {{{text}}}, unrecognized character in action"
                )
            self._steps.append((match.lastgroup, match.group(match.lastgroup or 0)))
            position = match.end()

    def find(self, data: Any, root: Any) -> list[Any]:
        values = [root if self._from_root else data]
        for kind, text in self._steps:
            values = [found for value in values for found in self._step(kind, text, value, root)]
        return values

    def _step(self, kind: str | None, text: str, value: Any, root: Any) -> list[Any]:
        if kind == "deep":
            return [v for node in _walk(value) for v in self._step("key", text, node, root)]
        if kind in ("key", "quoted"):
            key = text[1:-1] if kind == "quoted" else text.replace("\\", "")
            if key == "*":
                return list(value.values()) if isinstance(value, dict) else list(value or ())
            return [value[key]] if isinstance(value, dict) and key in value else []
        if not isinstance(value, list):
            return list(value.values()) if text == "*" and isinstance(value, dict) else []
        if kind == "filter":
            return [item for item in value if _holds(text, item, root)]
        if text == "*":
            return value
        if ":" in text:
            bounds = [int(bound) if bound else None for bound in text.split(":")]
            return value[slice(*bounds)]
        found = []
        for index in text.split(","):
            number = int(index)
            if not -len(value) <= number < len(value):
                raise click.ClickException(
                    f"error: array index out of bounds: index {number}, length {len(value)}"
                )
            found.append(value[number])
        return found


def _walk(value: Any) -> Iterable[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walk(inner)


def _holds(expression: str, item: Any, root: Any) -> bool:
    match = re.match(r"(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$", expression)
    if not match:
        return bool(_Path(expression.strip()).find(item, root))
    left, operator, right = match.groups()
    a = _operand(left.strip(), item, root)
    b = _operand(right.strip(), item, root)
    if operator in ("==", "!="):
        return (a == b) == (operator == "==")
    try:
        return bool({"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[operator])
    except TypeError:
        return False


def _operand(text: str, item: Any, root: Any) -> Any:
    if text[:1] in "'\"":
        return text[1:-1]
    if text[:1] in "@$":
        found = _Path(text).find(root if text[0] == "$" else item, root)
        return found[0] if found else None
    try:
        return json.loads(text)
    except ValueError:
        return text


def custom_columns(spec: str, items: list[Object], headers: bool) -> str:
    """`-o custom-columns=NAME:.metadata.name,…`"""
    columns = []
    for part in spec.split(","):
        name, colon, path = part.partition(":")
        if not colon or not path:
            raise click.ClickException(
                f"error: unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"
            )
        columns.append((name, _Path(path if path[0] in ".[{$" else "." + path)))
    rows = [[name for name, _ in columns]] if headers else []
    for item in items:
        cells = []
        for _, path in columns:
            found = path.find(item, item)
            cells.append(",".join(_go_text(value) for value in found) if found else "<none>")
        rows.append(cells)
    return align(rows)


def _go_text(value: Any) -> str:
    """A value as Go's %v prints it, which is what custom-columns shows."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_go_text(item) for item in value) + "]"
    return cell_text(value)


def label_text(obj: Object) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels_of(obj).items())) or "<none>"
