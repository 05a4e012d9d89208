"""From a checked tree to a Python function: one closure for each node, called with the variables, which says what it costs.

Errors are values in CEL only for `&&`, `||` and the accumulators of loops, which may disregard them: here they are exceptions that those catch.
Costs are cel-go's: a name is one and each selection from it one more, has() does not count the name; an attribute that is an index or a
branch of a condition does not count its own one; constants are free, lists of constants and conversions of constants are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import library
from .charges import LIST, MAP, STRUCT, charge_of
from .checker import Checked
from .errors import CelError, InstantiationError, NoOverload
from .syntax import Call, Const, Expr, Ident, ListOf, Loop, MapOf, Select, Struct
from .types import Type
from .values import NONE, Optional, TypeValue, Uint, contains

Run = Callable[[dict[str, Any]], Any]
BUDGET = "@budget"
PER_CALL_MAX = 1_000_000
TOO_COSTLY = "operation cancelled: actual cost limit exceeded"


_CONVERSIONS = frozenset("bool bytes double duration dyn int string timestamp type uint".split())
_INDEXES = ("_[_]", "_[?_]", "_?._")
_PRIMITIVES = frozenset({bool, int, float, str, Uint})


class Budget:
    """What one evaluation may cost; `spent` tells what it did cost."""

    __slots__ = ("limit", "spent")

    def __init__(self, limit: int = PER_CALL_MAX):
        self.limit, self.spent = limit, 0


class _TooCostly(Exception):
    """Not a CelError: nothing may disregard it."""


def build(text: str, tree: Expr, checked: Checked) -> Run:
    """Raises InstantiationError."""
    run = _Builder(text, checked).build(tree)

    def evaluate(env: dict[str, Any]) -> Any:
        budget: Budget = env[BUDGET]
        try:
            return run(env)
        except RecursionError:
            raise CelError("recursion limit exceeded") from None
        except _TooCostly:
            pass  # said below
        finally:
            if budget.spent > budget.limit:
                raise CelError(TOO_COSTLY) from None

    return evaluate


class StructValue(dict[str, Any]):
    """What `Object.spec{…}` makes: a map that knows its type."""

    type_name = ""


class _Builder:
    def __init__(self, text: str, checked: Checked):
        self.text, self.checked = text, checked
        self.constants: dict[int, Any] = {}
        """By id() of the nodes that are known before anything runs: their values."""

    def build(self, expr: Expr) -> Run:
        made: Run = getattr(self, f"build_{type(expr).__name__}")(expr)
        return made

    def constant(self, expr: Expr, value: Any) -> Run:
        self.constants[id(expr)] = value
        return lambda env: value

    def is_constant(self, expr: Expr) -> bool:
        return id(expr) in self.constants

    def attribute(self, expr: Expr) -> Run:
        """As a part of another attribute: without its own cost."""
        if isinstance(expr, Ident):
            return self.named(expr, expr.name)
        if isinstance(expr, Select):
            return self.select(expr)
        if isinstance(expr, Call):
            if expr.function in _INDEXES:
                return self.index(expr)
            if expr.function == "_?_:_":
                return self.build(expr)
        return self.build(expr)

    def counted(self, run: Run, expr: Expr) -> Run:
        if self.is_constant(expr) or _is_conditional(expr):
            return run

        def attribute(env: dict[str, Any]) -> Any:
            env[BUDGET].spent += 1
            return run(env)

        return attribute

    def build_Const(self, expr: Const) -> Run:
        return self.constant(expr, expr.value)

    def build_Ident(self, expr: Ident) -> Run:
        return self.counted(self.named(expr, expr.name), expr)

    def named(self, expr: Expr, name: str) -> Run:
        meaning = self.checked.idents.get(id(expr), name)
        if isinstance(meaning, Type):
            return self.constant(expr, TypeValue(library.spelled(meaning.name)))
        variable = meaning

        def lookup(env: dict[str, Any]) -> Any:
            try:
                value = env[variable]
            except KeyError:
                raise CelError(f"no such attribute(s): {variable}") from None
            kind = type(value)
            if kind is Lazy:
                return value()
            if isinstance(value, CelError):  # an accumulator that went wrong
                raise value
            return value

        return lookup

    def build_Select(self, expr: Select) -> Run:
        run = self.select(expr)
        return run if expr.test else self.counted(run, expr)

    def select(self, expr: Select) -> Run:
        if id(expr) in self.checked.idents:
            return self.named(expr, "")
        operand = self.attribute(expr.operand)
        key = self.checked.keys.get(id(expr), expr.name)
        if expr.test:

            def has(env: dict[str, Any]) -> bool:
                value = operand(env)
                found = _has(value, key)
                if type(value) is not Optional or found:
                    env[BUDGET].spent += 1
                return found

            return has

        def select(env: dict[str, Any]) -> Any:
            value = operand(env)
            if type(value) is Optional:
                return _counted_optional(env, _optional_select(value, key))
            env[BUDGET].spent += 1
            if type(value) is dict:
                try:
                    return value[key]
                except KeyError:
                    raise CelError(f"no such key: {key}") from None
            return _select(value, key)

        return select

    def index(self, expr: Call) -> Run:
        operand, index = self.attribute(expr.args[0]), self.attribute(expr.args[1])
        optional = _optional_select if expr.function == "_?._" else _optional_index
        if id(expr) in self.checked.keys:
            key = self.checked.keys[id(expr)]
            index = lambda env: key  # noqa: E731
        always = expr.function != "_[_]"

        def run(env: dict[str, Any]) -> Any:
            value = operand(env)
            if always or type(value) is Optional:
                if type(value) is Optional and not value.present:
                    return NONE
                return _counted_optional(env, optional(value, index(env)))
            env[BUDGET].spent += 1
            return _index(value, index(env))

        return run

    def build_ListOf(self, expr: ListOf) -> Run:
        items = [(self.build(item), index in expr.optional) for index, item in enumerate(expr.items)]

        def make(env: dict[str, Any]) -> list[Any]:
            found = []
            try:
                for run, optional in items:
                    value = run(env)
                    if not optional:
                        found.append(value)
                    elif value.present:
                        found.append(value.value)
            finally:
                if BUDGET in env:
                    env[BUDGET].spent += LIST
            return found

        if all(map(self.is_constant, expr.items)) and not expr.optional:
            return self.constant(expr, make({}))
        return make

    def build_MapOf(self, expr: MapOf) -> Run:
        entries = [(self.build(key), self.build(value), optional) for key, value, optional in expr.entries]

        def make(env: dict[str, Any]) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            try:
                for key_run, value_run, optional in entries:
                    key, value = key_run(env), value_run(env)
                    if optional:
                        if not value.present:
                            found.pop(key, None)
                            continue
                        value = value.value
                    found[key] = value
            finally:
                if BUDGET in env:
                    env[BUDGET].spent += MAP
            return found

        if all(self.is_constant(key) and self.is_constant(value) for key, value, _ in expr.entries):
            return self.constant(expr, make({}))
        return make

    def build_Struct(self, expr: Struct) -> Run:
        entries = [(name, self.build(value), optional) for name, value, optional, _ in expr.entries]
        type_name = expr.name

        def make(env: dict[str, Any]) -> StructValue:
            made = StructValue()
            made.type_name = type_name
            try:
                for name, run, optional in entries:
                    value = run(env)
                    if optional:
                        if not value.present:
                            continue
                        value = value.value
                    made[name] = value
            finally:
                env[BUDGET].spent += STRUCT
            return made

        return make

    def build_Call(self, expr: Call) -> Run:
        function = self.checked.functions.get(id(expr), expr.function)
        operands = list(expr.args)
        if expr.target is not None and id(expr) not in self.checked.functions:
            operands.insert(0, expr.target)
        if function in _INDEXES:
            return self.counted(self.index(expr), expr)
        if function == "_?_:_":
            return _conditional(self.build(operands[0]), *map(self.attribute, operands[1:]))
        runs = [self.build(operand) for operand in operands]
        special = _SPECIAL.get(function)
        if special is not None:
            return special(*runs)
        forms = self.checked.forms.get(id(expr), ())
        form = forms[0] if len(forms) == 1 else None
        implementation = library.FUNCTIONS[function]
        if function == "sum":
            implementation = library.total_of(self.checked.of(expr).name)
        if function in _CONVERSIONS and len(operands) == 1 and self.is_constant(operands[0]):
            try:
                return self.constant(expr, implementation(self.constants[id(operands[0])]))
            except NoOverload:
                why = str(library.unmatched(function, [self.constants[id(operands[0])]]))
                raise InstantiationError(self.text, why) from None
            except CelError as error:
                raise InstantiationError(self.text, str(error)) from None
        if (
            function == "@in"
            and form is not None
            and form.params[1].name == "list"
            and self.is_constant(operands[1])
        ):
            among = self.constants[id(operands[1])]
            if not among:
                return self.constant(expr, False)
            if all(type(one) in _PRIMITIVES for one in among):
                return lambda env: contains(among, runs[0](env))
        return _call(function, runs, implementation, charge_of(function, form))

    def build_Loop(self, expr: Loop) -> Run:
        over, start = self.build(expr.range), self.build(expr.start)
        condition, step, result = self.build(expr.condition), self.build(expr.step), self.build(expr.result)
        begins = self.is_constant(expr.start)
        one, two, accumulator = expr.variable, expr.second, expr.accumulator
        checks = not (isinstance(expr.condition, Const) and expr.condition.value is True)

        def loop(env: dict[str, Any]) -> Any:
            items = over(env)
            budget = env[BUDGET]
            outer = dict(env)
            env[accumulator] = start(env) if begins else Lazy(lambda: start(outer))
            for key, value in _pairs(items, bool(two)):
                if budget.spent > budget.limit:
                    raise _TooCostly
                env[one] = key
                if two:
                    env[two] = value
                if checks and not _goes_on(condition, env):
                    break
                try:
                    env[accumulator] = step(env)
                except CelError as error:
                    env[accumulator] = error
            try:
                return result(env)
            finally:
                env.clear()
                env.update(outer)

        return loop


def _is_conditional(expr: Expr) -> bool:
    """Whether it is what a condition has chosen, or a part of that."""
    while isinstance(expr, Select) or (isinstance(expr, Call) and expr.function in _INDEXES):
        expr = expr.operand if isinstance(expr, Select) else expr.args[0]
    return isinstance(expr, Call) and expr.function == "_?_:_"


def _call(
    function: str,
    runs: list[Run],
    implementation: Callable[..., Any],
    charge: Callable[[list[Any], Any], int] | None,
) -> Run:
    """Both operands of a function of two run even if the first one fails; of one of three, no more."""
    last = len(runs) - 1

    def call(env: dict[str, Any]) -> Any:
        args: list[Any] = []
        failed: CelError | None = None
        for index, run in enumerate(runs):
            try:
                args.append(run(env))
            except CelError as error:
                if last > 1 and index < last:
                    raise
                args.append(error)
                failed = failed or error
        result: Any = failed
        if failed is None:
            try:
                result = implementation(*args)
            except NoOverload:
                result = failed = library.unmatched(function, args)
            except CelError as error:
                result = failed = error
            except (
                AttributeError,
                TypeError,
                KeyError,
            ):  # what the checker could not see: a value of another type
                result = failed = library.unmatched(function, args)
        env[BUDGET].spent += 1 if charge is None else charge(args, result)
        if failed is not None:
            raise failed
        return result

    return call


def _goes_on(condition: Run, env: dict[str, Any]) -> bool:
    try:
        return condition(env) is not False
    except CelError:
        return True


def _pairs(items: Any, two: bool) -> Any:
    if isinstance(items, list):
        return enumerate(items) if two else zip(items, items)
    if isinstance(items, dict):
        return items.items()
    kind = f"types.{library.GO_TYPES.get(type(items), type(items).__name__)}"
    if two:
        raise CelError(f"unsupported comprehension range type: {kind}")
    raise CelError(f"got '{kind}', expected iterable type")


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


def _counted_optional(env: dict[str, Any], found: Optional) -> Optional:
    if found.present:
        env[BUDGET].spent += 1
    return found


def _select(value: Any, key: str) -> Any:
    if isinstance(value, dict) and key in value:
        found = value[key]
        return found() if type(found) is Lazy else found
    if (own := getattr(value, "cel_field", None)) is not None:
        return own(key)
    return _index(value, key)


def _has(value: Any, key: str) -> bool:
    if type(value) is Optional:
        return value.present and _has(value.value, key)
    return (isinstance(value, dict) and key in value) or _found(value, key).present


def _optional_select(value: Any, key: Any) -> Optional:
    value = value.value if type(value) is Optional else value
    if isinstance(value, dict):
        return Optional(True, _select(value, key)) if key in value else NONE
    return _found(value, key)


def _optional_index(value: Any, index: Any) -> Optional:
    return _found(value.value if type(value) is Optional else value, index)


def _found(value: Any, index: Any) -> Optional:
    """What is at a place of a list or a map, if there is anything."""
    if isinstance(value, list):
        place = _place(index)
        return Optional(True, value[place]) if 0 <= place < len(value) else NONE
    if isinstance(value, dict):
        return Optional(True, value[index]) if library.hashable(index) and index in value else NONE
    return NONE


def _place(index: Any) -> int:
    if type(index) is float:
        if not index.is_integer():
            raise CelError(f"unsupported index value {library.to_string(index)} in list")
        return int(index)
    if not isinstance(index, int) or type(index) is bool:
        raise CelError(f"unsupported index type '{library.type_value(index).name}' in list")
    return int(index)


def _index(value: Any, index: Any) -> Any:
    found = _found(value, index)
    if found.present:
        return found.value
    what = "index out of bounds" if isinstance(value, list) else "no such key"
    raise CelError(f"{what}: {library.text_of(index)}")


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
            except CelError:
                if _boolean(right(env)) is decides:
                    return decides
                raise
            return _boolean(right(env))

        return run

    return make


def _conditional(condition: Run, then: Run, otherwise: Run) -> Run:
    return lambda env: then(env) if _boolean(condition(env)) else otherwise(env)


def _or(left: Run, right: Run) -> Run:
    def run(env: dict[str, Any]) -> Any:
        value = left(env)
        return value if type(value) is not Optional or value.present else right(env)

    return run


def _or_value(left: Run, right: Run) -> Run:
    def run(env: dict[str, Any]) -> Any:
        value = left(env)
        return value if type(value) is not Optional else value.value if value.present else right(env)

    return run


def _not_strictly_false(operand: Run) -> Run:
    def run(env: dict[str, Any]) -> bool:
        env[BUDGET].spent += 1
        return _goes_on(operand, env)

    return run


_SPECIAL: dict[str, Callable[..., Run]] = {
    "_&&_": _logic(False),
    "_||_": _logic(True),
    "or": _or,
    "orValue": _or_value,
    "@not_strictly_false": _not_strictly_false,
}
