"""From a checked tree to a Python function: one closure for each node, called with the variables.

Errors are values in CEL only for `&&`, `||` and the quantifiers, which may disregard them: here they are exceptions that those catch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import library
from .checker import Checked
from .errors import CelError
from .syntax import ACCUMULATOR, Call, Const, Expr, Ident, ListOf, Loop, MapOf, Select, Struct
from .types import Type
from .values import NONE, Optional, TypeValue, contains

Run = Callable[[dict[str, Any]], Any]
BUDGET = "@budget"
PER_CALL_MAX = 1_000_000
TOO_COSTLY = "operation cancelled: actual cost limit exceeded"


_SPELLED = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}


class Budget:
    """What one evaluation may cost; `spent` tells what it did cost, roughly: a node is one, a loop its body for each item."""

    __slots__ = ("limit", "spent")

    def __init__(self, limit: int = PER_CALL_MAX):
        self.limit, self.spent = limit, 0

    def spend(self, cost: int) -> None:
        self.spent += cost
        if self.spent > self.limit:
            raise CelError(TOO_COSTLY)


def build(tree: Expr, checked: Checked) -> Run:
    run, size = _Builder(checked).root(tree)

    def evaluate(env: dict[str, Any]) -> Any:
        env[BUDGET].spend(size)
        try:
            return run(env)
        except RecursionError:
            raise CelError("recursion limit exceeded") from None

    return evaluate


class StructValue(dict[str, Any]):
    """What `Object.spec{…}` makes: a map that knows its type."""

    type_name = ""


class _Builder:
    def __init__(self, checked: Checked):
        self.checked = checked
        self.size = 0

    def root(self, tree: Expr) -> tuple[Run, int]:
        run = self.build(tree)
        return run, self.size

    def build(self, expr: Expr) -> Run:
        self.size += 1
        made: Run = getattr(self, f"build_{type(expr).__name__}")(expr)
        return made

    def build_Const(self, expr: Const) -> Run:
        value = expr.value
        return lambda env: value

    def build_Ident(self, expr: Ident) -> Run:
        return self.named(expr, expr.name)

    def named(self, expr: Expr, name: str) -> Run:
        meaning = self.checked.idents.get(id(expr), name)
        if isinstance(meaning, Type):
            value = TypeValue(_SPELLED.get(meaning.name, meaning.name))
            return lambda env: value
        variable = meaning

        def lookup(env: dict[str, Any]) -> Any:
            try:
                value = env[variable]
            except KeyError:
                raise CelError(f"no such attribute(s): {variable}") from None
            return value() if type(value) is Lazy else value

        return lookup

    def build_Select(self, expr: Select) -> Run:
        if id(expr) in self.checked.idents:
            return self.named(expr, "")
        operand = self.build(expr.operand)
        key = self.checked.keys.get(id(expr), expr.name)
        if expr.test:
            return lambda env: _has(operand(env), key)

        def select(env: dict[str, Any]) -> Any:
            value = operand(env)
            if type(value) is dict:
                try:
                    return value[key]
                except KeyError:
                    raise CelError(f"no such key: {key}") from None
            return _select(value, key)

        return select

    def build_ListOf(self, expr: ListOf) -> Run:
        items = [(self.build(item), index in expr.optional) for index, item in enumerate(expr.items)]
        if not expr.optional:
            plain = [run for run, _ in items]
            return lambda env: [run(env) for run in plain]

        def make(env: dict[str, Any]) -> list[Any]:
            found = []
            for run, optional in items:
                value = run(env)
                if not optional:
                    found.append(value)
                elif value.present:
                    found.append(value.value)
            return found

        return make

    def build_MapOf(self, expr: MapOf) -> Run:
        entries = [(self.build(key), self.build(value), optional) for key, value, optional in expr.entries]

        def make(env: dict[str, Any]) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for key_run, value_run, optional in entries:
                key, value = key_run(env), value_run(env)
                if optional:
                    if not value.present:
                        continue
                    value = value.value
                if key in found:
                    raise CelError(f"Failed with repeated key: {library.text_of(key)}")
                found[key] = value
            return found

        return make

    def build_Struct(self, expr: Struct) -> Run:
        entries = [(name, self.build(value), optional) for name, value, optional, _ in expr.entries]
        type_name = expr.name

        def make(env: dict[str, Any]) -> StructValue:
            made = StructValue()
            made.type_name = type_name
            for name, run, optional in entries:
                value = run(env)
                if optional:
                    if not value.present:
                        continue
                    value = value.value
                made[name] = value
            return made

        return make

    def build_Call(self, expr: Call) -> Run:
        function = self.checked.functions.get(id(expr), expr.function)
        operands = list(expr.args)
        if expr.target is not None and id(expr) not in self.checked.functions:
            operands.insert(0, expr.target)
        runs = [self.build(operand) for operand in operands]
        special = _SPECIAL.get(function)
        if special is not None:
            return special(*runs)
        implementation = library.FUNCTIONS[function]
        if function == "sum":
            implementation = library.total_of(self.checked.of(expr).name)

        def call(env: dict[str, Any]) -> Any:
            args = [run(env) for run in runs]
            try:
                return implementation(*args)
            except (
                AttributeError,
                TypeError,
                KeyError,
            ):  # what the checker could not see: a value of another type
                raise CelError("no such overload") from None

        return call

    def build_Loop(self, expr: Loop) -> Run:
        over, start = self.build(expr.range), self.build(expr.start)
        before = self.size
        condition, step = self.build(expr.condition), self.build(expr.step)
        each = max(
            1, (self.size - before) * 2 // 5
        )  # about what cel-go counts: constants and macros' own parts cost nothing there
        result = self.build(expr.result)
        one, two = expr.variable, expr.second
        quantifier = _quantifier(expr)
        checks = not (isinstance(expr.condition, Const) and expr.condition.value is True)

        def loop(env: dict[str, Any]) -> Any:
            items = over(env)
            budget = env[BUDGET]
            saved = {name: env[name] for name in (one, two, ACCUMULATOR) if name in env}
            env[ACCUMULATOR] = start(env)
            failed: CelError | None = None
            for key, value in _pairs(items, bool(two)):
                budget.spend(each)
                if checks and failed is None and not condition(env):
                    break
                env[one] = key
                if two:
                    env[two] = value
                try:
                    found = step(env)
                except CelError as error:
                    if quantifier is None or str(error) == TOO_COSTLY:
                        raise
                    failed = error  # another item may still decide
                    continue
                env[ACCUMULATOR] = found
                if found is quantifier:
                    failed = None
                    break
            if failed is not None:
                raise failed
            answer = result(env)
            for name in (one, two, ACCUMULATOR):
                if name in saved:
                    env[name] = saved[name]
                else:
                    env.pop(name, None)
            return answer

        return loop


def _quantifier(expr: Loop) -> bool | None:
    """The value that decides an `all` (False) or an `exists` (True), whatever else went wrong."""
    if (
        isinstance(expr.step, Call)
        and expr.step.function in ("_&&_", "_||_")
        and isinstance(expr.start, Const)
    ):
        return expr.step.function == "_||_"
    return None


def _pairs(items: Any, two: bool) -> Any:
    if isinstance(items, list):
        return enumerate(items) if two else zip(items, items)
    if isinstance(items, dict):
        return items.items()
    raise CelError("no such overload")


class LazyMap(dict[str, Any]):
    """A map with `Lazy` values: a policy's variables."""


class Lazy:
    """A variable that is computed when it is first asked for; an error stays one."""

    __slots__ = ("_compute", "_error", "_known", "_value")

    def __init__(self, compute: Callable[[], Any]):
        self._compute, self._known, self._value = compute, False, None
        self._error: CelError | None = None

    def __call__(self) -> Any:
        if not self._known:
            self._known = True
            try:
                self._value = self._compute()
            except CelError as error:
                self._error = error
        if self._error is not None:
            raise self._error
        return self._value


def _select(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        if key in value:
            found = value[key]
            return found() if type(found) is Lazy else found
        raise CelError(f"no such key: {key}")
    if type(value) is Optional:
        return _optional_select(value, key)
    if (own := getattr(value, "cel_field", None)) is not None:
        return own(key)
    raise CelError("no such overload")


def _has(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return key in value
    if type(value) is Optional:
        return value.present and _has(value.value, key)
    raise CelError("no such overload")


def _optional_select(value: Any, key: Any) -> Optional:
    if type(value) is Optional:
        if not value.present:
            return NONE
        value = value.value
    if isinstance(value, dict):
        return Optional(True, _select(value, key)) if key in value else NONE
    raise CelError("no such overload")


def _optional_index(value: Any, index: Any) -> Optional:
    if type(value) is Optional:
        if not value.present:
            return NONE
        value = value.value
    if isinstance(value, dict):
        return Optional(True, value[index]) if library.hashable(index) and index in value else NONE
    if isinstance(value, list) and type(index) is int:
        return Optional(True, value[index]) if 0 <= index < len(value) else NONE
    raise CelError("no such overload")


def _index(value: Any, index: Any) -> Any:
    if isinstance(value, list):
        if type(index) is float and index.is_integer():
            index = int(index)
        if not isinstance(index, int) or type(index) is bool:
            raise CelError("no such overload")
        if not 0 <= index < len(value):
            raise CelError(f"index out of bounds: {index}")
        return value[index]
    if isinstance(value, dict):
        if library.hashable(index) and index in value:
            return value[index]
        raise CelError(f"no such key: {library.text_of(index)}")
    if type(value) is Optional:
        return _optional_index(value, index)
    raise CelError("no such overload")


def _boolean(value: Any) -> bool:
    if value is True or value is False:
        return value
    raise CelError("no such overload")


def _logic(decides: bool) -> Callable[[Run, Run], Run]:
    """&& (False decides) and || (True decides): an error counts only if the other side does not decide."""

    def make(left: Run, right: Run) -> Run:
        def run(env: dict[str, Any]) -> bool:
            try:
                if _boolean(left(env)) is decides:
                    return decides
            except CelError as error:
                if str(error) == TOO_COSTLY:
                    raise
                if _boolean(right(env)) is decides:
                    return decides
                raise
            return _boolean(right(env))

        return run

    return make


def _conditional(condition: Run, then: Run, otherwise: Run) -> Run:
    return lambda env: then(env) if _boolean(condition(env)) else otherwise(env)


def _in(left: Run, right: Run) -> Run:
    def run(env: dict[str, Any]) -> bool:
        item, items = left(env), right(env)
        if isinstance(items, dict):
            return library.hashable(item) and item in items
        if isinstance(items, list):
            return contains(items, item)
        raise CelError("no such overload")

    return run


def _or(left: Run, right: Run) -> Run:
    def run(env: dict[str, Any]) -> Any:
        value = left(env)
        if type(value) is not Optional:
            raise CelError("no such overload")
        return value if value.present else right(env)

    return run


def _or_value(left: Run, right: Run) -> Run:
    def run(env: dict[str, Any]) -> Any:
        value = left(env)
        if type(value) is not Optional:
            raise CelError("no such overload")
        return value.value if value.present else right(env)

    return run


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Run, Run], Run]:
    return lambda left, right: lambda env: function(left(env), right(env))


_SPECIAL: dict[str, Callable[..., Run]] = {
    "_&&_": _logic(False),
    "_||_": _logic(True),
    "_?_:_": _conditional,
    "@in": _in,
    "or": _or,
    "orValue": _or_value,
    "_[_]": _binary(_index),
    "_[?_]": _binary(_optional_index),
    "_?._": _binary(_optional_select),
    "@not_strictly_false": lambda operand: operand,
}
