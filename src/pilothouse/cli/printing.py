"""How objects are shown: yaml, json, name, jsonpath, go-template, custom-columns, and the rows of a server's Table. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path as File
from typing import Any

from ..api.object import Object, labels_of
from .errors import Failure
from .jsonpath import go_text, html_safe, relaxed, render
from .tabs import table

Row = list[str]
PLAIN = ("yaml", "json", "kyaml")
FORMATS = (
    "go-template go-template-file json jsonpath jsonpath-as-json jsonpath-file kyaml name template templatefile yaml"
).split()
GET_FORMATS = sorted([*FORMATS, "custom-columns", "custom-columns-file", "wide"])
ARGUMENT = (
    "jsonpath",
    "jsonpath-as-json",
    "jsonpath-file",
    "go-template",
    "go-template-file",
    "template",
    "templatefile",
    "custom-columns",
    "custom-columns-file",
)


class Printer:
    """`-o FORMAT`: turns objects into text, one after the other."""

    def __init__(
        self,
        output: str,
        template: str = "",
        managed_fields: bool = False,
        formats: list[str] = FORMATS,
        headers: bool = True,
        missing: bool = True,
    ):
        """`missing`: fields that a template names need not be there."""
        name, _, argument = output.partition("=")
        name = name.lower() if name.lower() in PLAIN else name
        argument = argument or (template if name in ARGUMENT else "")
        if name not in formats or (argument and name not in ARGUMENT):
            raise Failure(
                f'unable to match a printer suitable for the output format "{output}", '
                f"allowed formats are: {','.join(formats)}"
            )
        if name in ARGUMENT and not argument:
            if "custom" in name:
                raise Failure("custom-columns format specified but no custom columns given")
            raise Failure("template format specified but no template given")
        if name.endswith("file"):
            try:
                argument = File(argument).read_text()
            except OSError as error:
                what = "template" if "custom" in name else "--template"
                why = (error.strerror or "").lower()
                raise Failure(f"error reading {what} {argument}, open {argument}: {why}")
        self.name, self.argument, self._managed_fields, self._headers = (
            name,
            argument,
            managed_fields,
            headers,
        )
        self._missing = missing
        self._shown, self._headed = 0, False

    def show(self, obj: Object) -> str:
        self._shown += 1
        if self.name in PLAIN and not self._managed_fields:
            obj = without_managed_fields(obj)
        if self.name == "yaml":
            return ("---\n" if self._shown > 1 else "") + to_yaml(obj)
        if self.name == "kyaml":
            return "---\n" + _kyaml(obj, 0) + "\n"
        if self.name == "json":
            return to_json(obj)
        if self.name == "name":
            items = obj["items"] if obj.get("kind", "").endswith("List") and "items" in obj else [obj]
            return "".join(resource_name(item) + "\n" for item in items)
        if self.name.startswith("jsonpath"):
            return render(self.argument, obj, as_json=self.name == "jsonpath-as-json", missing=self._missing)
        if self.name.startswith("custom-columns"):
            return table(self.rows(obj))
        from .gotemplate import execute

        return execute(self.argument, obj, self._missing)

    def rows(self, obj: Object) -> list[Row]:
        """Of custom columns; the headers come once."""
        items = obj["items"] if "items" in obj and obj.get("kind", "").endswith("List") else [obj]
        first, self._headed = not self._headed, True
        if self.name.endswith("file"):
            return _column_rows(_columns_of_file(self.argument), items, first)
        return _column_rows(_columns_of(self.argument), items, self._headers and first)


def printer(options: Any) -> Printer | None:
    """Of a command that says what it did unless -o asks for the object itself."""
    output = options.output
    if not output and options.template:
        output = "go-template"
    return Printer(output, options.template, options.show_managed_fields) if output else None


def resource_name(obj: Object) -> str:
    """`deployment.apps/web`"""
    group = obj.get("apiVersion", "").rpartition("/")[0]
    kind = obj.get("kind", "").lower()
    return f"{kind}.{group}/".replace("./", "/") + (obj["metadata"].get("name") or "<unknown>")


def cell_text(value: Any) -> str:
    if value is None:
        return "<none>"
    text = go_text(value)
    line = re.split("[\f\n\r]", text, maxsplit=1)[0]
    return text if line == text else line + "..."


def table_rows(
    found: Object,
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
        for index, column in enumerate(found.get("columnDefinitions") or ())
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
    for row in found.get("rows") or ():
        metadata = (row.get("object") or {}).get("metadata") or {}
        labels = metadata.get("labels") or {}
        added = [labels.get(label, "") for label in label_columns]
        if show_labels:
            added.append(label_text({"metadata": metadata}))
        # labels go after the cells, of which a few kinds have more than columns: those then stand under LABELS
        first = len(found.get("columnDefinitions") or ())
        everything = [*row["cells"], *added]
        cells = [cell_text(everything[index]) for index, _ in columns]
        if cells:
            cells[0] = prefix + cells[0]
        cells += map(cell_text, everything[first : first + len(added)])
        rows.append(([metadata.get("namespace") or ""] if namespaces else []) + cells)
    return rows


def label_text(obj: Object) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels_of(obj).items())) or "<none>"


def to_yaml(obj: Any) -> str:
    from ..api import yaml_text

    return yaml_text.dump(obj)


def to_json(obj: Any) -> str:
    return html_safe(json.dumps(obj, indent=4, sort_keys=True, ensure_ascii=False)) + "\n"


def _kyaml(value: Any, depth: int) -> str:
    """YAML in flow style, as KEP-5295 has it: keys bare, strings quoted, every brace on its line."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value:
        lines = [f"{inner}{_kyaml_key(key)}: {_kyaml(value[key], depth + 1)},\n" for key in sorted(value)]
        return "{\n" + "".join(lines) + outer + "}"
    if isinstance(value, list) and value:
        if isinstance(value[0], (dict, list)):
            return "[" + ", ".join(_kyaml(item, depth) for item in value) + "]"
        return "[\n" + "".join(f"{inner}{_kyaml(item, depth + 1)},\n" for item in value) + outer + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if "\n" not in value:
        return _kyaml_text(value)
    lines = [_kyaml_text(line)[1:-1] for line in value.splitlines(True)]  # each on its own, folded
    return '"\\\n' + "".join(f"{outer}  {_edge(line)}{line}\\\n" for line in lines) + f'{outer}  "'


def _edge(line: str) -> str:
    """What stands before a folded line: blanks of its own must not be taken for the fold's."""
    return "\\" if line.startswith((" ", "\t")) else " "


def _kyaml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\\t", "\t")


def _resolves(text: str) -> bool:
    from ..api import yaml_text

    return yaml_text.RESOLVES.fullmatch(text) is not None


def _kyaml_key(key: str) -> str:
    return (
        json.dumps(key)
        if key in "tTfF" or _resolves(key) or not re.fullmatch(r"[A-Za-z_]([\w./-]*\w)?", key)
        else key
    )


def without_managed_fields(obj: Object) -> Object:
    if isinstance(obj.get("items"), list):
        return {**obj, "items": [without_managed_fields(item) for item in obj["items"]]}
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _columns_of(spec: str) -> list[tuple[str, str]]:
    """`NAME:.metadata.name,…`"""
    columns = []
    for part in spec.split(","):
        name, colon, path = part.partition(":")
        if not colon:
            raise Failure(f"unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
        columns.append((name, path))
    return columns


def _columns_of_file(text: str) -> list[tuple[str, str]]:
    """Two lines: the headers, and the paths below them."""
    lines = [line.split() for line in text.splitlines()]
    for index, what in enumerate(("header", "spec")):
        if len(lines) <= index:
            raise Failure(
                f"invalid template, missing {what} line. Expected format is one line of space separated headers, one "
                "line of space separated column specs."
            )
    if len(lines[0]) != len(lines[1]):
        raise Failure(
            f"number of headers ({len(lines[0])}) and field specifications ({len(lines[1])}) don't match"
        )
    return list(zip(lines[0], lines[1], strict=True))


def _column_rows(columns: list[tuple[str, str]], items: list[Object], headers: bool) -> list[Row]:
    paths = [relaxed(path) for _, path in columns]
    rows = [[name for name, _ in columns]] if headers else []
    for item in items:
        try:
            found = [path.find(item) for path in paths]
        except LookupError as error:
            raise Failure(error.args[0])
        rows.append([_column(groups) for groups in found])
    return rows


def _column(groups: list[list[Any]]) -> str:
    absent = ["<none>"] if not groups or not groups[0] else []
    return ",".join([*absent, *(go_text(value) for values in groups for value in values)])
