"""Types for every node of a tree, or what does not fit (cel-go's checker, with its messages).

`dyn` fits anything. A call is matched against all signatures of its function; if several fit and disagree about the result, that is dyn.
Type parameters are fresh for each signature and bound as arguments are matched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import validators, values
from .errors import CompileError, Issue
from .functions import AUTHORIZER, CIDR, IP, TYPE_NAMES, Overload, overloads
from .syntax import Call, Const, Expr, Ident, ListOf, Loop, MapOf, Select, Struct, _dotted
from .types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    ERROR,
    INT,
    NULL,
    NULLABLE,
    STRING,
    UINT,
    Type,
    list_of,
    map_of,
    optional_of,
    type_of,
)

TypeNames = Callable[[str], Type | None]


def NO_TYPES(name: str) -> Type | None:
    return None


@dataclass(slots=True)
class Checked:
    types: dict[int, Type] = field(default_factory=dict)
    """By id() of the node."""
    keys: dict[int, str] = field(default_factory=dict)
    """Of selections from objects: the JSON name of the field."""
    functions: dict[int, str] = field(default_factory=dict)
    """Of calls: the function's full name, where the target is part of it (`ip.isCanonical`)."""
    forms: dict[int, tuple[Overload, ...]] = field(default_factory=dict)
    """Of calls: the forms of the function that fit."""
    idents: dict[int, str | Type] = field(default_factory=dict)
    """What a name, or a dotted one, means: a variable, or a type."""
    names: set[str] = field(default_factory=set)
    type: Type = DYN

    def of(self, expr: Expr) -> Type:
        return self.types.get(id(expr), DYN)


def check(text: str, tree: Expr, variables: Mapping[str, Type], types: TypeNames = NO_TYPES) -> Checked:
    checker = _Checker(variables, types)
    result = checker.resolve(checker.visit(tree))
    if checker.issues:
        raise CompileError(text, checker.issues)
    checked = checker.checked
    checked.types = {key: checker.resolve(type_) for key, type_ in checked.types.items()}
    checked.type = result
    if issues := list(validators.problems(tree, checked.of)):
        raise CompileError(text, issues)
    return checked


class _Checker:
    def __init__(self, variables: Mapping[str, Type], types: TypeNames):
        self.scopes: list[Mapping[str, Type]] = [variables]
        self.type_names = types
        self.issues: list[Issue] = []
        self.checked = Checked()
        self.bound: dict[str, Type] = {}
        self.fresh = 0

    def issue(self, expr: Expr | int, message: str) -> Type:
        self.issues.append(Issue(expr if isinstance(expr, int) else expr.at, message))
        return ERROR

    # -- matching ------------------------------------------------------------------------------------------------------

    def resolve(self, type_: Type) -> Type:
        """With what is known of its parameters; unknown ones are dyn."""
        if type_.param:
            return self.resolve(self.bound[type_.name]) if type_.name in self.bound else DYN
        if type_.params:
            return Type(type_.name, tuple(self.resolve(p) for p in type_.params), type_.fields)
        return type_

    def parameter(self) -> Type:
        self.fresh += 1
        return Type(f"_var{self.fresh}", param=True)

    def instance(self, types: tuple[Type, ...]) -> list[Type]:
        made: dict[str, Type] = {}

        def renew(type_: Type) -> Type:
            if type_.param:
                if type_.name not in made:
                    made[type_.name] = self.parameter()
                return made[type_.name]
            return Type(type_.name, tuple(map(renew, type_.params)), type_.fields) if type_.params else type_

        return [renew(type_) for type_ in types]

    def bare(self, type_: Type) -> Type:
        """What a parameter is bound to, one level."""
        while type_.param and type_.name in self.bound:
            type_ = self.bound[type_.name]
        return type_

    def fits(self, given: Type, wanted: Type) -> bool:
        given, wanted = self.bare(given), self.bare(wanted)
        if given is wanted or given == wanted:
            return True
        if wanted.param:
            if given.param or not _occurs(wanted.name, given):
                self.bound[wanted.name] = given
            return True
        if given.param:
            self.bound[given.name] = wanted
            return True
        loose = ("dyn", "!error!")
        if given.name in loose or wanted.name in loose:
            return True
        if given.name == "null":
            return wanted.fields is not None or wanted.name in NULLABLE
        if wanted.name == "null":
            return given.fields is not None or given.name in NULLABLE
        if given.name != wanted.name or len(given.params) != len(wanted.params):
            return False
        if given.name == "type":
            for a, b in zip(given.params, wanted.params):
                self.fits(a, b)  # what they are types of may differ
            return True
        return all(self.fits(a, b) for a, b in zip(given.params, wanted.params))

    def call(
        self, expr: Expr, name: str, forms: tuple[Overload, ...], args: list[Type], member: bool
    ) -> Type:
        result: Type | None = None
        matched: list[Overload] = []
        for form in forms:
            if form.member != member or len(form.params) != len(args):
                continue
            *params, returned = self.instance((*form.params, form.result))
            saved = dict(self.bound)
            if all(self.fits(given, wanted) for given, wanted in zip(args, params)):
                matched.append(form)
                fresh = self.returned(returned)
                if result is None:
                    result = fresh
                elif self.resolve(result) != self.resolve(fresh):
                    result = DYN
                if not any(self.is_loose(arg) for arg in args):
                    break
            else:
                self.bound = saved
        if result is not None:
            self.checked.forms[id(expr)] = tuple(matched)
            return result
        shown = [str(self.resolve(arg)) for arg in args]
        given_text = f"{shown[0]}.({', '.join(shown[1:])})" if member else f"({', '.join(shown)})"
        return self.issue(expr, f"found no matching overload for '{name}' applied to '{given_text}'")

    def returned(self, type_: Type) -> Type:
        type_ = self.bare(type_)
        return (
            type_
            if type_.param
            else Type(
                type_.name, tuple(self.returned(p) for p in type_.params), type_.fields, open=type_.open
            )
            if type_.params
            else type_
        )

    def is_loose(self, type_: Type) -> bool:
        type_ = self.bare(type_)
        return type_.param or type_.name in ("dyn", "!error!") or any(self.is_loose(p) for p in type_.params)

    # -- the walk ------------------------------------------------------------------------------------------------------

    def visit(self, expr: Expr) -> Type:
        type_: Type = getattr(self, f"visit_{type(expr).__name__}")(expr)
        self.checked.types[id(expr)] = type_
        return type_

    def visit_Const(self, expr: Const) -> Type:
        kinds: dict[type, Type] = {
            bool: BOOL, int: INT, values.Uint: UINT, float: DOUBLE, str: STRING, bytes: BYTES, type(None): NULL,
        }  # fmt: skip
        return kinds[type(expr.value)]

    def lookup(self, name: str) -> Type | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def visit_Ident(self, expr: Ident) -> Type:
        found = self.name_of(expr, expr.name)
        return found or self.issue(expr, f"undeclared reference to '{expr.name}' (in container '')")

    def name_of(self, expr: Expr, name: str) -> Type | None:
        found = self.lookup(name)
        if found is not None:
            self.checked.idents[id(expr)] = name
            if name in self.scopes[0]:
                self.checked.names.add(name)
            return found
        named = TYPE_NAMES.get(name) or self.type_names(name)
        if named is None:
            return None
        self.checked.idents[id(expr)] = named
        return type_of(named)

    def visit_Select(self, expr: Select) -> Type:
        dotted = _dotted(expr)
        if dotted and not expr.test and self.lookup(dotted.partition(".")[0]) is None:
            found = self.name_of(expr, dotted)
            if found is not None:
                return found
        operand = self.bare(self.visit(expr.operand))
        optional = operand.name == "optional_type"
        inner = self.bare(operand.params[0]) if optional else operand
        found = self.field(expr, inner, expr.name, expr.test)
        if expr.test:
            return BOOL
        return optional_of(DYN if found is ERROR else found) if optional else found

    def field(self, expr: Expr, operand: Type, name: str, test: bool = False) -> Type:
        if operand.name == "map":
            return operand.params[1]
        if operand.fields is not None:
            member = operand.fields.get(name)
            if member is not None:
                self.checked.keys[id(expr)] = member.key
                return member.type
            if operand.open:
                return DYN
            if operand.name.startswith("kubernetes.") and (
                not operand.fields or operand.name == AUTHORIZER.name
            ):
                return self.issue(expr, f"unexpected failed resolution of '{operand.name}'")
            if operand.name not in (IP.name, CIDR.name):
                return self.issue(expr, f"undefined field '{name}'")
        if operand.name in ("dyn", "!error!") or operand.param:
            return DYN
        return self.issue(expr, f"type '{self.resolve(operand)}' does not support field selection")

    def visit_Call(self, expr: Call) -> Type:
        known = overloads()
        if expr.function == "_?._":
            return self.optional_field(expr)
        if expr.target is not None:
            dotted = _dotted(expr.target)
            if (
                dotted
                and f"{dotted}.{expr.function}" in known
                and (dotted != "jsonpatch" or self.type_names("JSONPatch") is not None)
                and self.lookup(dotted.partition(".")[0]) is None
            ):
                self.checked.functions[id(expr)] = f"{dotted}.{expr.function}"
                args = [self.visit(arg) for arg in expr.args]
                name = f"{dotted}.{expr.function}"
                return self.call(expr, name, known[name], args, False)
        if expr.function in ("_&&_", "_||_"):
            return self.logic(expr)
        forms = known.get(expr.function)
        if forms is None:
            for arg in [expr.target, *expr.args] if expr.target is not None else expr.args:
                if arg is not None:
                    self.visit(arg)
            return self.issue(expr, f"undeclared reference to '{expr.function}' (in container '')")
        args = [self.visit(arg) for arg in ([expr.target] if expr.target is not None else []) + expr.args]
        if any(self.bare(arg) is ERROR for arg in args):
            return ERROR
        return self.call(expr, expr.function, forms, args, expr.target is not None)

    def logic(self, expr: Call) -> Type:
        for arg in expr.args:
            given = self.visit(arg)
            if not self.fits(given, BOOL):
                self.issue(arg, f"expected type 'bool' but found '{self.resolve(given)}'")
        self.checked.forms[id(expr)] = overloads()[expr.function]
        return BOOL

    def optional_field(self, expr: Call) -> Type:
        name = expr.args[1]
        assert isinstance(name, Const)
        operand = self.bare(self.visit(expr.args[0]))
        self.checked.types[id(name)] = STRING
        inner = self.bare(operand.params[0]) if operand.name == "optional_type" else operand
        found = self.field(expr, inner, name.value)
        return found if found is ERROR else optional_of(found)

    def visit_ListOf(self, expr: ListOf) -> Type:
        element: Type | None = None
        for index, item in enumerate(expr.items):
            given = self.visit(item)
            if index in expr.optional:
                given = self.inside_optional(item, given)
            element = self.joined(element, given)
        return list_of(element or self.parameter())

    def inside_optional(self, expr: Expr, given: Type) -> Type:
        bare = self.bare(given)
        if bare.name == "optional_type":
            return bare.params[0]
        if bare.name in ("dyn", "!error!") or bare.param:
            return DYN
        return self.issue(expr, f"expected type '{optional_of(bare)}' but found '{self.resolve(bare)}'")

    def joined(self, before: Type | None, given: Type) -> Type:
        """Of elements so far and another. Mixed ones are dyn here; `validators.py` is what objects to them."""
        if before is None:
            return given
        if self.bare(before).name == "dyn" or self.bare(given).name == "dyn" or not self.fits(given, before):
            return DYN
        return before

    def visit_MapOf(self, expr: MapOf) -> Type:
        key: Type | None = None
        value: Type | None = None
        for key_expr, value_expr, optional in expr.entries:
            key = self.joined(key, self.visit(key_expr))
            given = self.visit(value_expr)
            if optional:
                given = self.inside_optional(value_expr, given)
            value = self.joined(value, given)
        return map_of(key or self.parameter(), value or self.parameter())

    def visit_Struct(self, expr: Struct) -> Type:
        made = self.type_names(expr.name)
        if made is None or made.fields is None:
            for _, value, _, _ in expr.entries:
                self.visit(value)
            return self.issue(expr, f"undeclared reference to '{expr.name}' (in container '')")
        for name, value, optional, at in expr.entries:
            given = self.visit(value)
            if optional:
                given = self.inside_optional(value, given)
            member = made.fields.get(name)
            if member is None and not made.open:
                self.issue(
                    at, f"expected type of field '{name}' is '' but provided type is '{self.resolve(given)}'"
                )
            elif member is not None and not self.fits(given, member.type):
                self.issue(
                    at,
                    f"expected type of field '{name}' is '{member.type}' but provided type is '{self.resolve(given)}'",
                )
        return made

    def visit_Loop(self, expr: Loop) -> Type:
        over = self.bare(self.visit(expr.range))
        first: Type = DYN
        second: Type = DYN
        if over.name == "list":
            first = second = over.params[0]
            if expr.second:
                first = INT
        elif over.name == "map":
            first, second = over.params
        elif over.name not in ("dyn", "!error!") and not over.param:
            text = f"expression of type '{self.resolve(over)}' cannot be range of a comprehension (must be list, map, or dynamic)"
            self.issue(expr.range, text)
            first = second = ERROR
        start = self.visit(expr.start)
        self.scopes.append({expr.accumulator: start})
        variables = {expr.variable: first, **({expr.second: second} if expr.second else {})}
        self.scopes.append(variables)
        condition = self.visit(expr.condition)
        if not self.fits(condition, BOOL):
            self.issue(expr.condition, f"expected type 'bool' but found '{self.resolve(condition)}'")
        step = self.visit(expr.step)
        if not self.fits(step, start):
            self.issue(expr.step, f"expected type '{self.resolve(start)}' but found '{self.resolve(step)}'")
        self.scopes.pop()
        result = self.visit(expr.result)
        self.scopes.pop()
        return result


def _occurs(name: str, type_: Type) -> bool:
    return any((p.param and p.name == name) or _occurs(name, p) for p in type_.params)
