"""kubectl's JSONPath: templates such as `{range .items[*]}{.metadata.name}{"\\n"}{end}`, and the bare paths in them. Pure.

https://kubernetes.io/docs/reference/kubectl/jsonpath/ says what there is: fields, `..`, `[*]`, indexes, slices, unions,
filters `[?(@.a=="b")]`, `range … end`, quoted text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ..api.fielderrors import go_float, quoted
from .errors import Failure

_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
}


def go_json(value: Any) -> str:
    """As Go's json.Marshal: no blanks, sorted keys, and HTML's characters escaped."""
    return html_safe(json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False))


def html_safe(text: str) -> str:
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def go_text(value: Any) -> str:
    """As Go's %v: what custom-columns, describe and go-template show."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(go_text, value)) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return go_float(value)
    return str(value)


def go_syntax(value: Any) -> str:
    """As Go's %#v."""
    if isinstance(value, dict):
        inner = ", ".join(f"{quoted(key)}:{go_syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(go_syntax, value))}}}"
    if value is None:
        return "interface {}(nil)"
    return quoted(value) if isinstance(value, str) else go_text(value)


def go_type(value: Any) -> str:
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    return {str: "string", int: "int64", float: "float64", bool: "bool"}.get(type(value), "<nil>")


def render(template: str, data: Any, *, as_json: bool = False, missing: bool = True) -> str:
    """`-o jsonpath=…`. `missing` False: a field that is not there is an error. Raises Failure."""
    try:
        groups = Template(template, missing)
    except ValueError as error:
        raise Failure(f"error parsing jsonpath {template}, {error}")
    try:
        return "".join(_printed(values, as_json) for values in groups.find(data))
    except LookupError as error:
        raise Failure(
            f"error executing jsonpath {quoted(template)}: Error executing template: {error.args[0]}. Printing more "
            f"information for debugging the template:\n\ttemplate was:\n\t\t{template}\n"
            f"\tobject given to jsonpath engine was:\n\t\t{go_syntax(data)}\n\n\n"
        )


def _printed(values: list[Any], as_json: bool) -> str:
    if as_json:
        shown = json.dumps(values, indent=4, sort_keys=True, ensure_ascii=False)
        return html_safe(shown) + "\n"
    return " ".join(
        go_json(value) if isinstance(value, (dict, list)) else "null" if value is None else go_text(value)
        for value in values
    )


Node = tuple[str, Any]
_FIELD = re.compile(r"(?:\\.|[^\\ \t\r\n.,\[\]$@{}])*\\?", re.DOTALL)
_SLICE = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?")
_FILTER = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)


class _Parser:
    """Templates as lists of nodes, with client-go's rules and complaints. Raises ValueError."""

    def __init__(self, text: str):
        self.text, self.at = text, 0
        self.nodes: list[Node] = []
        while True:
            start = text.find("{", self.at)
            if plain := text[self.at : start if start >= 0 else len(text)]:
                self.nodes.append(("text", plain))
            if start < 0:
                return
            self.at = start + 1
            self.nodes.append(("list", self._action()))

    def _action(self) -> list[Node]:
        nodes: list[Node] = []
        text = self.text
        while True:
            character = text[self.at : self.at + 1]
            if character == "}":
                self.at += 1
                return nodes
            if text.startswith("[?(", self.at):
                nodes.append(self._filter())
            elif text.startswith("..", self.at):
                if nodes and nodes[-1][0] == "deep":
                    raise ValueError("invalid multiple recursive descent")
                self.at += 2
                nodes.append(("deep", None))
                if re.match(r"\w", text[self.at : self.at + 1]):
                    nodes.append(self._field())
            elif character in ("", "\n", "\r"):
                raise ValueError("unclosed action")
            elif character in " @$":
                self.at += 1
            elif character == "[":
                nodes += self._array()
            elif character in "\"'":
                nodes.append(("text", self._quoted(character)))
            elif character == ".":
                self.at += 1
                nodes.append(self._field())
            elif number := re.compile(r"[+-]?[\d.]*").match(text, self.at)[0]:  # type: ignore[index]
                self.at += len(number)
                nodes.append(("value", _number(number)))
            elif character == "_" or character.isalnum():
                word = re.compile(r"[^ \t\r\n.,\[\]$@{}]*").match(text, self.at)[0]  # type: ignore[index]
                self.at += len(word)
                nodes.append(("value", word == "true") if word in ("true", "false") else ("word", word))
            else:
                raise ValueError(f"unrecognized character in action: U+{ord(character):04X} '{character}'")

    def _field(self) -> Node:
        name = _FIELD.match(self.text, self.at)[0]  # type: ignore[index]
        self.at += len(name)
        return ("any", None) if name == "*" else ("field", name.replace("\\", ""))

    def _quoted(self, quote: str) -> str:
        match = re.compile(rf"{quote}[^\n]*?(?<!\\){quote}").match(self.text, self.at)
        if match is None:
            raise ValueError("unterminated quoted string")
        self.at = match.end()
        return unquoted(match[0])

    def _array(self) -> list[Node]:
        match = re.compile(r"\[([^\]\n]*)\]").match(self.text, self.at)
        if match is None:
            raise ValueError("unterminated array")
        self.at = match.end()
        text = ":" if match[1] == "*" else match[1]
        if "," in text:
            return [("union", [_inner(f"[{part.strip(' ')}]") for part in text.split(",")])]
        if key := re.fullmatch(r"'([^']*)'", text):
            return _inner("." + key[1])
        bounds = _SLICE.fullmatch(text)
        if bounds is None:
            raise ValueError(f"invalid array index {text}")
        try:
            return [
                ("array", [b if b is None or b in ("", ":") else int(b.lstrip(":")) for b in bounds.groups()])
            ]
        except ValueError:
            raise ValueError(f"array index {text} is not a number")

    def _filter(self) -> Node:
        end, quote, closed = self.at + 3, "", False
        while True:
            character = self.text[end : end + 1]
            if character in ("", "\n"):
                raise ValueError("unterminated filter")
            if character == ")" and bool(quote) == closed:
                break
            if not quote and character in "\"'":
                quote = character
            elif character == quote and self.text[end - 1] != "\\":
                closed = True
            end += 1
        if self.text[end + 1 : end + 2] != "]":
            raise ValueError("unclosed array expect ]")
        text = self.text[self.at + 3 : end]
        self.at = end + 2
        if match := _FILTER.fullmatch(text):
            return ("filter", (_inner(match[1]), match[2], _inner(match[3])))
        return ("filter", (_inner(text), "exists", []))


def _inner(text: str) -> list[Node]:
    found: list[Node] = _Parser(f"{{{text}}}").nodes[0][1]
    return found


def _number(text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    raise ValueError(f"cannot parse number {text}")


def unquoted(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        if match[1][0] in "uUx" and len(match[1]) > 1:
            return chr(int(match[1][1:], 16))
        return _ESCAPES.get(match[1], match[0])

    return re.sub(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)", plain, text[1:-1])


class Template:
    """A parsed template. Raises ValueError."""

    def __init__(self, text: str, missing: bool = True):
        self._nodes, self._missing = _Parser(text).nodes, missing
        self._begins = self._inside = self._ends = 0
        self._end = -1

    def find(self, data: Any, start: int = 0) -> list[list[Any]]:
        """What each part of the template finds in the data. Raises LookupError."""
        found: list[list[Any]] = []
        at = start
        while at < len(self._nodes):
            values = self._walk([data], self._nodes[at])
            if 0 < self._ends <= self._inside:
                self._ends -= 1
                self._end = at
                break
            if self._begins:
                self._begins -= 1
                self._inside += 1
                for value in values:
                    found += self.find(value, at + 1)
                if not values:
                    self.find(None, at + 1)  # only to get to the end of the range
                self._inside -= 1
                at = max(at, self._end)
            else:
                found.append(values)
            at += 1
        return found

    def _all(self, values: list[Any], nodes: list[Node]) -> list[Any]:
        for node in nodes:
            values = self._walk(values, node)
        return values

    def _walk(self, values: list[Any], node: Node) -> list[Any]:
        kind, what = node
        if kind == "list":
            return self._all(values, what)
        if kind == "text":
            return [what]
        if kind == "value":
            return [what] * len(values)
        if kind == "field":
            found = [value[what] for value in values if isinstance(value, dict) and what in value]
            if values and not found and not self._missing:
                raise LookupError(f"{what} is not found")
            return found
        if kind == "any":
            return [member for value in values for member in _members(value)]
        if kind == "deep":
            return [node for value in values for node in _nodes(value)]
        if kind == "union":
            return [value for nodes in what for value in self._all(values, nodes)]
        if kind == "array":
            return [item for value in values if value is not None for item in _items(value, what)]
        if kind == "filter":
            return [item for value in values for item in self._filtered(value, *what)]
        if what == "range":
            self._begins += 1
            return values
        if what != "end":
            raise LookupError(f"unrecognized identifier {what}")
        if not self._inside:
            raise LookupError("not in range, nothing to end")
        self._ends += 1
        return []

    def _filtered(self, value: Any, left: list[Node], operator: str, right: list[Node]) -> Iterator[Any]:
        if not isinstance(value, list):
            raise LookupError(f"{go_text(value)} is not array or slice and cannot be filtered")
        for item in value:
            if operator == "exists":
                try:
                    if self._all([item], left):
                        yield item
                except _Outside:
                    yield item  # client-go looks at what it had before it failed
                except LookupError:
                    pass
                continue
            if not (lefts := _one(self._all([item], left))) or not (rights := _one(self._all([item], right))):
                continue
            if _compared(lefts[0], operator, rights[0]):
                yield item


class _Outside(LookupError):
    """An index, or what stands for a list, does not fit."""


def _one(values: list[Any]) -> list[Any]:
    if len(values) > 1:
        raise LookupError("can only compare one element at a time")
    return values


def _compared(left: Any, operator: str, right: Any) -> bool:
    kinds = [type(side) for side in (left, right)]
    if not all(kind in (str, int, float, bool) for kind in kinds):
        raise LookupError("invalid type for comparison")
    if kinds[0] is not kinds[1]:
        raise LookupError("incompatible types for comparison")
    if operator not in ("==", "!=", "<", "<=", ">", ">="):
        raise LookupError(f"unrecognized filter operator {operator}")
    if operator in ("==", "!="):
        return bool((left == right) == (operator == "=="))
    if kinds[0] is bool:
        raise LookupError("invalid type for comparison")
    return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[operator])


def _items(value: Any, bounds: list[Any]) -> list[Any]:
    """`[2]`, `[-1]`, `[1:3]`, `[::2]`: bounds are a number, None where there is no colon, else text."""
    if not isinstance(value, list):
        raise _Outside(f"{go_type(value)} is not array or slice")
    first, last, step = bounds
    size = len(value)
    derived = last is None
    begin = first if isinstance(first, int) else 0
    end = begin + 1 if derived else last if isinstance(last, int) else size
    begin += size if begin < 0 else 0
    end += size if end < 0 or (end == 0 and derived) else 0
    if begin == end:
        return []
    for index, outside in ((begin, not 0 <= begin < size), (end - 1, not 0 <= end <= size)):
        if outside:
            raise _Outside(f"array index out of bounds: index {index}, length {size}")
    if begin > end:
        raise _Outside(f"starting index {begin} is greater than ending index {end}")
    if isinstance(step, int) and step <= 0:
        raise _Outside("step must be > 0")
    return value[begin : end : step if isinstance(step, int) else 1]


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value[key] for key in sorted(value)]
    if isinstance(value, str):
        return list(value.encode())
    return value if isinstance(value, list) else []


def _nodes(value: Any) -> Iterator[Any]:
    """`..`: everything that has something in it."""
    if members := _members(value):
        yield value
        if not isinstance(value, str):
            for member in members:
                yield from _nodes(member)


def relaxed(text: str) -> Template:
    """What --sort-by and custom-columns take: `name`, `.name`, `{name}` or `{.name}`. Raises Failure."""
    match = re.fullmatch(r"\{\.?([^{}]+)\}|\.?([^{}]+)", text)
    if text and match is None:
        raise Failure(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'"
        )
    try:
        return Template(f"{{.{match[1] or match[2]}}}" if match else "")
    except ValueError as error:
        raise Failure(str(error))
