"""CEL, the Common Expression Language, as Kubernetes 1.36 speaks it: for x-kubernetes-validations, admission policies and match conditions.

Why our own: what clients see of CEL is mostly its compiler: "undefined field 'g'" with the line and a caret, overloads that do not match,
types that come from a schema, costs that are estimated. Neither cel-python (0.5, pure Python: no type checker, other messages, 60 ms to import)
nor the Rust bindings (cel-rs: no type checker, no custom types) have one, and Kubernetes adds a dozen libraries of its own.

    syntax.py     text -> tree, macros expanded; syntax errors in ANTLR's words
    types.py      what types there are
    validators.py what well-typed expressions may not have all the same
    functions.py  the signatures of every function, and `checker.py`, which types a tree against them
    values.py     timestamps, durations, quantities, addresses, …: the values that JSON does not have
    runtime.py    a checked tree -> a Python function; `library.py` has what the functions do
    cost.py       how much an expression may cost at most, by the sizes that the schema allows

`compile(text, variables)` is all that others need. Nothing here is imported before there is an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import checker, runtime, syntax, validators
from .errors import CelError, CompileError, Issue
from .types import Type
from .values import NONE as OPTIONAL_NONE
from .values import Optional

__all__ = ["OPTIONAL_NONE", "CelError", "CompileError", "Issue", "Program", "compile", "optional"]


@dataclass(frozen=True, slots=True)
class Program:
    text: str
    type: Type
    tree: syntax.Expr
    names: frozenset[str]
    """The variables that it refers to."""
    _run: runtime.Run
    _checked: checker.Checked

    def evaluate(self, variables: Mapping[str, Any], budget: runtime.Budget | None = None) -> Any:
        """Raises CelError."""
        return self._run({**variables, runtime.BUDGET: budget or runtime.Budget()})

    def cost(self, sizes: Callable[[tuple[str, ...]], int | None]) -> int:
        """The most that it can cost, where `sizes` says how big what it reads may be."""
        from .cost import estimate

        return estimate(self.tree, self._checked, sizes)


def optional(value: Any) -> Optional:
    return Optional(True, value)


def compile(text: str, variables: Mapping[str, Type], types: checker.TypeNames = checker.NO_TYPES) -> Program:
    """Raises CompileError. `types`: finds the struct types that expressions may make (`Object.spec{…}`)."""
    tree = syntax.parse(text)
    checked = checker.check(text, tree, variables, types)
    validators.check_patterns(text, tree)
    return Program(
        text, checked.type, tree, frozenset(checked.names), runtime.build(text, tree, checked), checked
    )
