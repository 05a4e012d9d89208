"""What Kubernetes forbids of expressions beyond types: constants that cannot be parsed, lists and maps of mixed types (cel-go's ASTValidators)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..re2 import PatternError
from ..re2 import compile as compile_pattern
from . import library, values
from .errors import CelError, InstantiationError, Issue
from .syntax import Call, Const, Expr, ListOf, MapOf, parts
from .types import Type

_MIXED_IN = ("format",)  # its arguments are a list of whatever they are


def problems(tree: Expr, type_of: Callable[[Expr], Type]) -> Iterator[Issue]:
    nodes = list(_walk(tree, False))
    for function, parse in _PARSERS.items():
        for node, _ in nodes:
            if isinstance(node, Call) and node.function == function and node.args:
                argument = node.args[0]
                if isinstance(argument, Const) and _fails(parse, argument.value):
                    yield Issue(argument.at, f"invalid {function} argument")
    for node, exempt in nodes:
        if isinstance(node, ListOf) and not exempt:
            items = [(item, index in node.optional) for index, item in enumerate(node.items)]
            yield from _mixed(items, type_of, True)
    for node, exempt in nodes:
        if isinstance(node, MapOf) and not exempt:
            yield from _mixed([(key, False) for key, _, _ in node.entries], type_of, False)
            yield from _mixed([(value, optional) for _, value, optional in node.entries], type_of, False)

    for node, _ in nodes:
        if isinstance(node, Call) and node.function == "format" and len(node.args) == 1:
            template, args = node.target, node.args[0]
            if isinstance(template, Const) and isinstance(template.value, str) and isinstance(args, ListOf):
                if (wrong := _format_problem(node, template.value, args.items, type_of)) is not None:
                    yield wrong


def check_patterns(text: str, tree: Expr) -> None:
    """Constant patterns of `find` and `findAll` are compiled with the program. Raises InstantiationError."""
    for node, _ in _walk(tree, False):
        if isinstance(node, Call) and node.function in ("find", "findAll") and node.args:
            pattern = node.args[0]
            if isinstance(pattern, Const) and isinstance(pattern.value, str):
                try:
                    compile_pattern(pattern.value)
                except PatternError as error:
                    raise InstantiationError(text, str(error)) from None


def _walk(expr: Expr, exempt: bool) -> Iterator[tuple[Expr, bool]]:
    inside = exempt or (isinstance(expr, Call) and expr.function in _MIXED_IN)
    for part in parts(expr):
        yield from _walk(part, inside)
    yield expr, exempt


def _mixed(items: list[tuple[Expr, bool]], type_of: Callable[[Expr], Type], once: bool) -> Iterator[Issue]:
    first: Type | None = None
    for item, optional in items:
        given = type_of(item)
        if optional and given.params:
            given = given.params[0]
        if first is None:
            first = given
        elif given != first:
            yield Issue(item.at, f"expected type '{first}' but found '{given}'")
            if once:
                return


def _duration(value: object) -> object:
    return values.Duration.parse(value) if isinstance(value, str) else values.Duration(int(str(value)))


def _timestamp(value: object) -> object:
    return (
        values.Timestamp.parse(value)
        if isinstance(value, str)
        else values.Timestamp(int(str(value)) * values.NANO)
    )


_PARSERS: dict[str, Callable[..., object]] = {
    "duration": _duration,
    "timestamp": _timestamp,
    "matches": compile_pattern,
}


def _fails(parse: Callable[..., object], value: object) -> bool:
    try:
        parse(value)
    except (ValueError, CelError):
        return True
    return False


_INTEGERS = ("int", "uint")
_CLAUSES = {
    "s": (
        "list",
        "map",
        *_INTEGERS,
        "double",
        "bool",
        "string",
        "timestamp",
        "bytes",
        "duration",
        "type",
        "null",
    ),
    "d": _INTEGERS,
    "f": ("double", "string"),
    "e": ("double", "string"),
    "b": (*_INTEGERS, "bool"),
    "x": (*_INTEGERS, "string", "bytes"),
    "o": _INTEGERS,
}
_PRECISION = re.compile(r"(?:\.(\d*))?")


def _format_problem(
    call: Call, template: str, args: list[Expr], type_of: Callable[[Expr], Type]
) -> Issue | None:
    """Of `'%d'.format([x])`, where all of it is known."""
    at, count = 0, 0
    while (at := template.find("%", at)) >= 0:
        if template.startswith("%%", at):
            at += 2
            continue
        precision = _PRECISION.match(template, at + 1)
        assert precision is not None
        at = precision.end()
        if at >= len(template) and precision[1] is None:
            return Issue(call.at, "unexpected end of string")
        if count >= len(args):
            return Issue(call.at, f"index {count} out of range")
        why = ""
        if at >= len(template):
            why = "error while parsing precision: could not find end of precision specifier"
        elif precision[1] == "":
            why = 'error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax'
        elif template[at] not in "sdfebxXo":
            why = f'unrecognized formatting clause "{template[at]}"'
        if why:
            return Issue(call.at, f"could not parse formatting clause: {why}")
        verb = template[at].lower()
        wrong = _unfit(args[count], verb, type_of)
        if wrong is not None:
            what = f"{library.ONLY[verb]}, was given {library.spelled(type_of(wrong).name)}"
            return Issue(wrong.at, f"error during formatting: {what}")
        at, count = at + 1, count + 1
    if len(args) > count:
        what = f"too many arguments supplied to string.format (expected {count}, got {len(args)})"
        return Issue(call.at, what)
    return None


def _unfit(arg: Expr, verb: str, type_of: Callable[[Expr], Type]) -> Expr | None:
    """What of an argument a clause has no use for."""
    name = type_of(arg).name
    if name != "dyn" and name not in _CLAUSES[verb]:
        return arg
    inside = parts(arg) if verb == "s" and isinstance(arg, (ListOf, MapOf)) else []
    return next((wrong for part in inside if (wrong := _unfit(part, verb, type_of)) is not None), None)
