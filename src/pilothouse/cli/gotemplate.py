"""`-o go-template=…`: Go's text/template over plain values, as much of it as kubectl's own output templates use.

There is: text with `{{- -}}`, fields, variables, pipelines, `if`, `range`, `with`, `else`, `break`, `continue`, `define`, `template`,
`block`, comments, and the built-in functions with kubectl's `exists` and `base64decode`. https://pkg.go.dev/text/template
"""

from __future__ import annotations

import base64
import functools
import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

import click

from ..api.fielderrors import quoted
from .errors import Failure
from .jsonpath import _ESCAPES, go_json, go_text, go_type

NO_VALUE = object()
WORDS = ("true", "false", "nil", "and", "or")
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<char>'(?:\\.|[^'\\])')|(?P<number>[-+]?\d+(?:\.\d+)?)
    |(?P<variable>\$\w*)(?P<path>(?:\.\w+)*)|(?P<field>(?:\.[\w]+)+|\.)|(?P<word>\w+)|(?P<mark>:=|[=|(),]))""",
    re.VERBOSE,
)


class TemplateError(Exception):
    pass


@dataclass
class Node:
    kind: str
    pipe: list[Any] = field(default_factory=list)
    body: list[Node] = field(default_factory=list)
    other: list[Node] = field(default_factory=list)
    text: str = ""
    names: list[str] = field(default_factory=list)
    declares: bool = False


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def execute(text: str, data: Any, missing: bool = True) -> str:
    """`missing` False: a key that is not there is an error. Raises Failure."""
    try:
        templates: dict[str, list[Node]] = {}
        nodes = _Parser(_lex(text), templates).block(())[0]
    except TemplateError as error:
        raise Failure(f"error parsing template {text}, template: output:1: {error}")
    run = _Run(templates, missing)
    try:
        run.nodes(nodes, data, [{"$": data}])
    except (TemplateError, _Break, _Continue) as error:
        why = f'template: output:1: executing "output": {error or "break outside range"}'
        click.echo(
            f"{''.join(run.out)}Error executing template: {why}. Printing more information for debugging the template:\n"
            f"\ttemplate was:\n\t\t{text}\n\traw data was:\n\t\t{go_json(data)}\n"
            f"\tobject given to template engine was:\n\t\t{go_text(data)}\n"
        )
        raise Failure(f"error executing template {quoted(text)}: {why}")
    return "".join(run.out)


def _lex(text: str) -> list[tuple[str, str]]:
    """(text | action, content), with the trimming of `{{-` and `-}}` done."""
    pieces: list[tuple[str, str]] = []
    position, trim = 0, False
    for match in re.finditer(
        r"\{\{(-\s)?\s*(/\*.*?\*/|(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^\"`])*?)\s*(\s-)?\}\}", text, re.DOTALL
    ):
        before = text[position : match.start()]
        before = before.lstrip() if trim else before
        pieces.append(("text", before.rstrip() if match[1] else before))
        if not match[2].startswith("/*"):
            pieces.append(("action", match[2]))
        position, trim = match.end(), bool(match[3])
    rest = text[position:]
    if "{{" in rest:
        raise TemplateError("unclosed action")
    pieces.append(("text", rest.lstrip() if trim else rest))
    return [piece for piece in pieces if piece[1]]


class _Parser:
    def __init__(self, pieces: list[tuple[str, str]], templates: dict[str, list[Node]]):
        self._pieces, self._templates = pieces, templates

    def block(self, ends: tuple[str, ...]) -> tuple[list[Node], str]:
        """Nodes up to one of `ends`, and which it was (with what stands behind it)."""
        nodes: list[Node] = []
        while self._pieces:
            kind, content = self._pieces.pop(0)
            if kind == "text":
                nodes.append(Node("text", text=content))
                continue
            word = re.match(r"\w*", content)[0]  # type: ignore[index]
            rest = content[len(word) :].strip()
            if word in ends:
                return nodes, content
            if word in ("if", "range", "with"):
                nodes.append(self._control(word, rest))
            elif word in ("define", "block"):
                name, _, pipe = rest.partition(" ")
                self._templates[name.strip('"`')] = self.block(("end",))[0]
                if word == "block":
                    nodes.append(Node("template", self._pipe(pipe)[2], text=name.strip('"`')))
            elif word == "template":
                name, _, pipe = rest.partition(" ")
                nodes.append(
                    Node("template", self._pipe(pipe)[2] if pipe.strip() else [], text=name.strip('"`'))
                )
            elif word in ("break", "continue") and not rest:
                nodes.append(Node(word))
            elif word in ("end", "else"):
                raise TemplateError(f"unexpected {{{{{word}}}}}")
            else:
                names, declares, pipe_ = self._pipe(content)
                nodes.append(Node("action", pipe_, names=names, declares=declares))
        if ends:
            raise TemplateError("unexpected EOF")
        return nodes, ""

    def _control(self, word: str, rest: str) -> Node:
        if not rest:
            raise TemplateError(f"missing value for {word}")
        names, declares, pipe = self._pipe(rest)
        body, end = self.block(("else", "end"))
        other: list[Node] = []
        if end.startswith("else"):
            chained = re.match(r"else\s+(if|with)\b(.*)", end, re.DOTALL)
            other = [self._control(chained[1], chained[2].strip())] if chained else self.block(("end",))[0]
        return Node(word, pipe, body, other, names=names, declares=declares)

    def _pipe(self, text: str) -> tuple[list[str], bool, list[Any]]:
        """(variables that are set, whether they are new, the pipeline's commands)."""
        tokens = _tokens(text)
        names: list[str] = []
        declares = False
        for index, (kind, value) in enumerate(tokens):
            if kind == "mark" and value in (":=", "="):
                names = [t[1][0] for t in tokens[:index] if t[0] == "variable"]
                declares, tokens = value == ":=", tokens[index + 1 :]
                break
        pipe = _commands(tokens)
        if tokens:
            raise TemplateError(f"unexpected {tokens[0][1]} in command")
        if not pipe:
            raise TemplateError("missing value for command")
        return names, declares, pipe


def _tokens(text: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise TemplateError(f"unexpected {text[position:].strip()[:1]!r} in operand")
        kind = match.lastgroup or ""
        if match["variable"] is not None:
            found.append(("variable", (match["variable"], match["path"] or "")))
        else:
            after_paren = found and found[-1] == ("mark", ")") and not text[match.start() :][:1].isspace()
            found.append(("chain" if kind == "field" and after_paren else kind, match[kind]))
        position = match.end()
    return found


def _commands(tokens: list[tuple[str, Any]]) -> list[Any]:
    """Consumes `a b | c` up to a closing parenthesis."""
    commands: list[list[Any]] = [[]]
    while tokens:
        kind, value = tokens[0]
        if kind == "mark" and value == ")":
            break
        tokens.pop(0)
        if kind == "mark" and value == "|":
            commands.append([])
        elif kind == "mark" and value == "(":
            inner = _commands(tokens)
            if not tokens or tokens.pop(0) != ("mark", ")"):
                raise TemplateError("unclosed left paren")
            chain = tokens.pop(0)[1] if tokens and tokens[0][0] == "chain" else ""
            commands[-1].append(("pipe", (inner, chain)))
        elif kind != "mark":
            if kind == "word" and value not in WORDS and value not in FUNCTIONS:
                raise TemplateError(f'function "{value}" not defined')
            commands[-1].append((kind, value))
    return [command for command in commands if command]


class _Run:
    def __init__(self, templates: dict[str, list[Node]], missing: bool):
        self._templates, self._missing = templates, missing
        self.out: list[str] = []

    def nodes(self, nodes: list[Node], dot: Any, scopes: list[dict[str, Any]]) -> None:
        for node in nodes:
            self._node(node, dot, scopes)

    def _node(self, node: Node, dot: Any, scopes: list[dict[str, Any]]) -> None:
        if node.kind == "text":
            self.out.append(node.text)
        elif node.kind == "break":
            raise _Break
        elif node.kind == "continue":
            raise _Continue
        elif node.kind == "template":
            if node.text not in self._templates:
                raise TemplateError(f'template "{node.text}" not defined')
            value = self._pipe(node.pipe, dot, scopes) if node.pipe else None
            self.nodes(self._templates[node.text], value, [{"$": value}])
        elif node.kind == "action":
            value = self._pipe(node.pipe, dot, scopes)
            if node.names:
                self._assign(node, [value], scopes)
            else:
                self.out.append(shown(value))
        elif node.kind == "range":
            self._range(node, dot, scopes)
        else:
            value = self._pipe(node.pipe, dot, scopes)
            inner = [*scopes, {}]
            if node.names:
                self._assign(node, [value], inner)
            chosen = node.body if truth(value) else node.other
            self.nodes(chosen, value if node.kind == "with" and truth(value) else dot, inner)

    def _range(self, node: Node, dot: Any, scopes: list[dict[str, Any]]) -> None:
        value = self._pipe(node.pipe, dot, scopes)
        if isinstance(value, dict):
            pairs: list[tuple[Any, Any]] = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, (list, str)):
            pairs = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs = [(index, index) for index in range(value)]
        elif value is None or value is NO_VALUE:
            pairs = []
        else:
            raise TemplateError(f"range can't iterate over {go_text(value)}")
        for key, item in pairs:
            inner = [*scopes, {}]
            if node.names:
                self._assign(node, [key, item] if len(node.names) == 2 else [item], inner)
            try:
                self.nodes(node.body, item, inner)
            except _Continue:
                continue
            except _Break:
                break
        if not pairs:
            self.nodes(node.other, dot, [*scopes, {}])

    def _assign(self, node: Node, values: list[Any], scopes: list[dict[str, Any]]) -> None:
        for name, value in zip(node.names, values):
            if node.declares:
                scopes[-1][name] = value
                continue
            scope = next((each for each in reversed(scopes) if name in each), None)
            if scope is None:
                raise TemplateError(f'undefined variable "{name}"')
            scope[name] = value

    def _pipe(self, commands: list[Any], dot: Any, scopes: list[dict[str, Any]]) -> Any:
        value: Any = NO_VALUE
        for index, command in enumerate(commands):
            value = self._command(command, dot, scopes, [value] if index else [])
        return value

    def _command(self, command: list[Any], dot: Any, scopes: list[dict[str, Any]], last: list[Any]) -> Any:
        kind, name = command[0]
        if kind == "word" and name not in WORDS[:3]:
            if name in ("and", "or"):  # these look at no more operands than they need
                value: Any = NO_VALUE
                for operand in command[1:]:
                    value = self._operand(operand, dot, scopes)
                    if truth(value) == (name == "or"):
                        return value
                return last[0] if last else value
            function = FUNCTIONS[name]
            arguments = [self._operand(each, dot, scopes) for each in command[1:]] + last
            try:
                return function(*arguments)
            except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError) as error:
                raise TemplateError(f"error calling {name}: {error}")
        if len(command) > 1 or last:
            raise TemplateError("can't give argument to non-function")
        return self._operand(command[0], dot, scopes)

    def _operand(self, token: Any, dot: Any, scopes: list[dict[str, Any]]) -> Any:
        kind, value = token
        if kind == "string":
            return (
                value[1:-1]
                if value[0] == "`"
                else re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), value[1:-1])
            )
        if kind == "char":
            return ord(re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), value[1:-1]))
        if kind == "number":
            return float(value) if "." in value else int(value)
        if kind == "field":
            return self._walk(dot, value)
        if kind == "variable":
            name, path = value
            for scope in reversed(scopes):
                if name in scope:
                    return self._walk(scope[name], path)
            raise TemplateError(f'undefined variable "{name}"')
        if kind == "pipe":
            return self._walk(self._pipe(value[0], dot, scopes), value[1])
        if value in ("true", "false"):
            return value == "true"
        if value == "nil":
            return None
        return self._command([token], dot, scopes, [])

    def _walk(self, value: Any, path: str) -> Any:
        for key in path.split(".")[1:] if path not in ("", ".") else ():
            if value is None or value is NO_VALUE:
                return NO_VALUE
            if not isinstance(value, dict):
                raise TemplateError(f"at <{path}>: can't evaluate field {key} in type interface {{}}")
            if key not in value and not self._missing:
                raise TemplateError(f'at <{path}>: map has no entry for key "{key}"')
            value = value.get(key, NO_VALUE)
        return value


def truth(value: Any) -> bool:
    return value is not NO_VALUE and bool(value)


def shown(value: Any) -> str:
    return "<no value>" if value is NO_VALUE or value is None else go_text(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, NO_VALUE)
        elif isinstance(value, (list, str)):
            if not 0 <= key < len(value):
                raise IndexError(f"index out of range: {key}")
            value = value[key]
        else:
            raise TypeError(
                "index of untyped nil"
                if value in (None, NO_VALUE)
                else "can't index item of type interface {}"
            )
    return value


def _exists(value: Any, *keys: Any) -> bool:
    try:
        found = _index(value, *keys)
    except (IndexError, TypeError):
        return False
    return found is not NO_VALUE and found is not None


def _printf(format_: str, *values: Any) -> str:
    rest = list(values)

    def one(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        if not rest:
            return f"%!{match[2]}(MISSING)"
        value = rest.pop(0)
        if match[2] in "vs":
            return f"%{match[1]}s" % shown(value)
        if match[2] == "q":
            return f"%{match[1]}s" % quoted(value)
        if match[2] == "t":
            return str(value).lower()
        if match[2] == "T":
            return go_type(value)
        return str(f"%{match[1]}{match[2]}" % value)

    return re.sub(r"%([-+# 0]*\d*(?:\.\d+)?)([vsqdftTxXeg%])", one, format_)


def _print(*values: Any) -> str:
    """Blanks only between operands of which neither is text."""
    out = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out += " "
        out += shown(value)
    return out


def _compare(name: str, a: Any, *others: Any) -> bool:
    if not others:
        raise TypeError("missing argument for comparison")
    b = others[0]
    basic = (str, int, float, bool)
    if type(a) in basic and type(b) in basic and type(a) is not type(b):
        types = " and ".join(go_type(each).replace("int64", "int") for each in (a, b))
        raise TypeError(f"incompatible types for comparison: {types}")
    if name == "eq":
        return any(a == each for each in others)
    if name == "ne":
        return bool(a != b)
    return bool({"lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[name])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "not": lambda value: not truth(value),
    "len": lambda value: len(value.encode()) if isinstance(value, str) else len(value),
    "index": _index,
    "slice": lambda value, *bounds: value[slice(*(bounds[:2] or (0, None)))],
    "print": _print,
    "println": lambda *values: " ".join(map(shown, values)) + "\n",
    "printf": _printf,
    "html": lambda *values: (
        html.escape(_print(*values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    ),
    "js": lambda *values: (
        _print(*values).replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"').replace("\n", "\\n")
    ),
    "urlquery": lambda *values: quote_plus(_print(*values)),
    "exists": _exists,
    "base64decode": lambda text: base64.b64decode(text).decode(errors="replace"),
    **{name: functools.partial(_compare, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
}
