"""kubectl's JSONPath: templates such as `{range .items[*]}{.metadata.name}{"\\n"}{end}`, and the bare paths in them. Pure.

https://kubernetes.io/docs/reference/kubectl/jsonpath/ says what there is: fields, `..`, `[*]`, indexes, slices, unions,
filters `[?(@.a=="b")]`, `range … end`, quoted text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

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
        return _float(value)
    return str(value)


def _float(value: float) -> str:
    if value == int(value) and abs(value) < 1e21:
        return str(int(value)) if abs(value) < 1e6 else re.sub(r"e\+?(-?)(\d)$", r"e+\g<1>0\2", f"{value:g}")
    return repr(value)


def render(template: str, data: Any, *, as_json: bool = False) -> str:
    """`-o jsonpath=…`. Raises Failure."""
    parts = Template(template)
    try:
        return parts.render(data, as_json)
    except IndexError as error:
        raise Failure(
            f'error executing jsonpath "{template}": Error executing template: {error}. Printing more information for '
            f"debugging the template:\n\ttemplate was:\n\t\t{template}"
        )


class Template:
    def __init__(self, text: str):
        self._text = text
        self._parts = self._parse(iter(list(self._tokens(text))), False)

    def _fail(self, why: str) -> Failure:
        return Failure(f"error parsing jsonpath {self._text}, {why}")

    def _tokens(self, text: str) -> Iterator[tuple[str, str]]:
        position = 0
        while (start := text.find("{", position)) >= 0:
            if start > position:
                yield "text", text[position:start]
            end, quote = start + 1, ""
            while end < len(text) and (quote or text[end] != "}"):
                if quote:
                    if text[end] == "\\":
                        end += 1
                    elif text[end] == quote:
                        quote = ""
                elif text[end] in "'\"":
                    quote = text[end]
                end += 1
            if end >= len(text):
                raise self._fail("unterminated quoted string" if quote else "unclosed action")
            yield "action", text[start + 1 : end].strip()
            position = end + 1
        if position < len(text):
            yield "text", text[position:]

    def _parse(self, tokens: Iterator[tuple[str, str]], inside: bool) -> list[tuple[str, Any, Any]]:
        parts: list[tuple[str, Any, Any]] = []
        for kind, text in tokens:
            if kind == "text":
                parts.append(("text", text, None))
            elif text == "end":
                if not inside:
                    raise self._fail("not in range, nothing to end")
                return parts
            elif re.match(r"range\b", text):
                parts.append(("range", Path(text[5:], self._text), self._parse(tokens, True)))
            elif text[:1] in ("'", '"'):
                parts.append(("text", unquoted(text), None))
            else:
                parts.append(("path", Path(text, self._text), None))
        if inside:
            raise self._fail("unterminated range")
        return parts

    def render(self, data: Any, as_json: bool = False) -> str:
        return self._render(self._parts, data, data, as_json)

    def _render(self, parts: list[tuple[str, Any, Any]], data: Any, root: Any, as_json: bool) -> str:
        out = []
        for kind, what, inner in parts:
            if kind == "text":
                out.append(what)
            elif kind == "range":
                out += [self._render(inner, item, root, as_json) for item in what.find(data, root)]
            elif as_json:
                out.append(html_safe(json.dumps(what.find(data, root), indent=4, sort_keys=True)) + "\n")
            else:
                out.append(" ".join(map(_shown, what.find(data, root))))
        return "".join(out)


def _shown(value: Any) -> str:
    return go_json(value) if isinstance(value, (dict, list)) else "" if value is None else go_text(value)


def unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text[1:-1])


_STEP = re.compile(
    r"""\s+ | \.\.(?P<deep>[^.\[\]\s'"(){}]+) | \.(?P<key>(?:\\.|[^.\[\]\s'"(){}])+) | \[\?\((?P<filter>.*?)\)\] |
    \[(?P<index>(?:'(?:\\.|[^'])*'|"(?:\\.|[^"])*"|[^\]])*)\] | \.(?=\[) | \.$""",
    re.VERBOSE,
)


class Path:
    """One path, `.spec.containers[*].image`; `$` is the root, `@` the current item."""

    def __init__(self, text: str, whole: str = ""):
        body = text.strip()
        self._from_root = body.startswith("$")
        body = body[1:] if body[:1] in ("$", "@") else body
        if body and body[0] not in ".[":
            body = "." + body
        self._steps: list[tuple[str, str]] = []
        position = 0
        while position < len(body):
            match = _STEP.match(body, position)
            if match is None:
                raise Failure(
                    f"error parsing jsonpath {whole or text}, unrecognized character in action: "
                    f"U+{ord(body[position]):04X} '{body[position]}'"
                )
            if match.lastgroup:
                self._steps.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()

    def find(self, data: Any, root: Any = None) -> list[Any]:
        """All values there; [] when there is none. Raises IndexError."""
        root = data if root is None else root
        values = [root if self._from_root else data]
        for kind, text in self._steps:
            values = [found for value in values for found in self._step(kind, text, value, root)]
        return values

    def _step(self, kind: str, text: str, value: Any, root: Any) -> Iterable[Any]:
        if kind == "deep":
            return [found for node in _walk(value) for found in self._step("key", text, node, root)]
        if kind == "key":
            return _key(text.replace("\\", ""), value)
        if kind == "filter":
            return [item for item in _members(value) if _holds(text, item, root)]
        if text == "*":
            return _members(value)
        if text[:1] in ("'", '"'):
            names = re.findall(r"""'((?:\\.|[^'])*)'|"((?:\\.|[^"])*)\"""", text)
            return [found for a, b in names for found in _key((a or b).replace("\\", ""), value)]
        return _indexed(text, value)


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value[key] for key in sorted(value)]
    return value if isinstance(value, list) else []


def _key(key: str, value: Any) -> list[Any]:
    if key == "*":
        return _members(value)
    return [value[key]] if isinstance(value, dict) and key in value else []


def _indexed(text: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        return []
    try:
        if ":" in text:
            bounds = [int(bound) if bound.strip() else None for bound in text.split(":")]
            return value[slice(*bounds)]
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        raise Failure(f"error parsing jsonpath [{text}], invalid array index {text}")
    for number in numbers:
        if not -len(value) <= number < len(value):
            raise IndexError(f"array index out of bounds: index {number}, length {len(value)}")
    return [value[number] for number in numbers]


def _walk(value: Any) -> Iterator[Any]:
    yield value
    for inner in _members(value):
        yield from _walk(inner)


def _holds(expression: str, item: Any, root: Any) -> bool:
    match = re.match(r"(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$", expression)
    if match is None:
        return bool(Path(expression).find(item, root))
    left, right = (_operand(match[side].strip(), item, root) for side in (1, 3))
    if left is _NOTHING or right is _NOTHING:
        return False
    try:
        order = {"==": left == right, "!=": left != right}
        if match[2] in order:
            return bool(order[match[2]])
        return bool(
            {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[match[2]]
        )
    except TypeError:
        return False


_NOTHING = object()


def _operand(text: str, item: Any, root: Any) -> Any:
    if text[:1] in ("'", '"'):
        return unquoted(text)
    if text[:1] in ("@", "$", "."):
        found = Path(text).find(item, root)
        return found[0] if found else _NOTHING
    try:
        return json.loads(text)
    except ValueError:
        return text


def relaxed(text: str) -> Path:
    """What --sort-by and custom-columns take: `name`, `.name`, `{name}` or `{.name}`."""
    match = re.fullmatch(r"\{\.?([^{}]+)\}|\.?([^{}]+)", text)
    if match is None:
        raise Failure(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'"
        )
    return Path("." + (match[1] or match[2]))
