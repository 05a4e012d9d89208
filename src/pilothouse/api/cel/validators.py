"""What Kubernetes forbids of expressions beyond types: constants that cannot be parsed, lists and maps of mixed types (cel-go's ASTValidators)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..re2 import PatternError
from ..re2 import compile as compile_pattern
from . import values
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
                if isinstance(argument, Const) and (why := _failure(parse, argument.value)) is not None:
                    yield Issue(argument.at, f"invalid {function} argument{why}")
    for node, exempt in nodes:
        if isinstance(node, ListOf) and not exempt:
            items = [(item, index in node.optional) for index, item in enumerate(node.items)]
            yield from _mixed(items, type_of, True)
    for node, exempt in nodes:
        if isinstance(node, MapOf) and not exempt:
            yield from _mixed([(key, False) for key, _, _ in node.entries], type_of, False)
            yield from _mixed([(value, optional) for _, value, optional in node.entries], type_of, False)


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


def _failure(parse: Callable[..., object], value: object) -> str | None:
    try:
        parse(value)
    except PatternError as error:
        return f": {error}"
    except (ValueError, CelError):
        return ""
    return None
