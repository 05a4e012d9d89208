"""What an expression may cost at most, before it ever runs: cel-go's static estimate, with Kubernetes' figures for its own functions.

A unit is about 50 ns of the real server's time. What counts is how long strings, lists and maps may be: `sizes` says that of a path from
`self` (`("self", "spec", "tags", "@items")`), from the schema's maxLength, maxItems and maxProperties; what has no bound makes what
loops over it cost more than anything allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .checker import Checked
from .syntax import Call, Const, Expr, Ident, ListOf, Loop, MapOf, Select, Struct

UNBOUNDED = 2**64 - 1
_STRING, _REGEX = 0.1, 0.25
_LIST, _MAP, _STRUCT = 10, 30, 40
_SCALARS = frozenset({"bool", "int", "uint", "double", "timestamp", "duration", "null"})
_OF_OBJECTS = frozenset({"map", "dyn"})

Path = tuple[str, ...]
Sizes = Callable[[Path], int | None]


def estimate(tree: Expr, checked: Checked, sizes: Sizes) -> int:
    return _Estimator(checked, sizes).cost(tree)


def capped(number: float) -> int:
    return UNBOUNDED if number >= UNBOUNDED else int(number)


def _scaled(size: int, factor: float) -> int:
    return capped(math.ceil(size * factor))


class _Estimator:
    def __init__(self, checked: Checked, sizes: Sizes):
        self.checked, self.sizes = checked, sizes
        self.computed: dict[int, int] = {}
        self.paths: dict[int, Path] = {}
        self.variables: list[dict[str, Path]] = []

    def cost(self, expr: Expr) -> int:
        return capped(getattr(self, f"cost_{type(expr).__name__}")(expr))

    def size(self, expr: Expr) -> int:
        if id(expr) in self.computed:
            return self.computed[id(expr)]
        if isinstance(expr, Const) and isinstance(expr.value, (str, bytes)):
            return len(expr.value)
        if isinstance(expr, ListOf):
            return len(expr.items)
        if isinstance(expr, MapOf):
            return len(expr.entries)
        path = self.paths.get(id(expr))
        known = self.sizes(path) if path else None
        if known is not None:
            return known
        return 1 if self.checked.of(expr).name in _SCALARS else UNBOUNDED

    def cost_Const(self, expr: Const) -> int:
        return 0

    def cost_Ident(self, expr: Ident) -> int:
        for scope in reversed(self.variables):
            if expr.name in scope:
                if scope[expr.name]:
                    self.paths[id(expr)] = scope[expr.name]
                return 1
        self.paths[id(expr)] = (expr.name,)
        return 1

    def cost_Select(self, expr: Select) -> int:
        if id(expr) in self.checked.idents:
            self.paths[id(expr)] = (expr.name,)
            return 1
        cost = self.cost(expr.operand)
        if expr.test:
            return cost
        operand = self.checked.of(expr.operand)
        path = self.paths.get(id(expr.operand))
        if path:
            self.paths[id(expr)] = (*path, expr.name)
        return cost + (1 if operand.name in _OF_OBJECTS or operand.fields is not None else 0)

    def cost_ListOf(self, expr: ListOf) -> int:
        return _LIST + sum(map(self.cost, expr.items))

    def cost_MapOf(self, expr: MapOf) -> int:
        return _MAP + sum(self.cost(key) + self.cost(value) for key, value, _ in expr.entries)

    def cost_Struct(self, expr: Struct) -> int:
        return _STRUCT + sum(self.cost(value) for _, value, _, _ in expr.entries)

    def cost_Loop(self, expr: Loop) -> int:
        if isinstance(expr.start, Call) and isinstance(
            expr.range, ListOf
        ):  # optMap: it only gives a value a name
            cost = self.cost(expr.range)
            self.variables.append({expr.variable: self.paths.get(id(expr.range.items[0]), ())})
            cost += self.cost(expr.step)
            self.variables.pop()
            return cost
        cost = self.cost(expr.range) + self.cost(expr.start)
        over, path = self.checked.of(expr.range), self.paths.get(id(expr.range), ())
        if over.name == "map":
            first, second = (*path, "@keys"), (*path, "@values")
        else:
            first, second = (*path, "@indices" if expr.second else "@items"), (*path, "@items")
        self.variables.append(
            {"@result": (), expr.variable: first, **({expr.second: second} if expr.second else {})}
        )
        each = capped(self.cost(expr.condition) + self.cost(expr.step))
        cost += self.cost(expr.result)
        self.variables.pop()
        count = self.size(expr.range)
        if isinstance(expr.start, (ListOf, MapOf)):
            self.computed[id(expr)] = count
        return cost + capped(count * each)

    def cost_Call(self, expr: Call) -> int:
        function = self.checked.functions.get(id(expr), expr.function)
        target = expr.target if id(expr) not in self.checked.functions else None
        args = [self.cost(arg) for arg in expr.args]
        given = sum(args)
        cost = self.cost(target) if target is not None else 0
        if function in ("_&&_", "_||_"):
            return given
        if function == "_?_:_":
            self.computed[id(expr)] = max(self.size(expr.args[1]), self.size(expr.args[2]))
            return args[0] + max(args[1], args[2])
        own, result = self.own(function, target, expr.args)
        if result is not None:
            self.computed[id(expr)] = capped(result)
        if function == "_[_]" and (path := self.paths.get(id(expr.args[0]))):
            step = "@values" if self.checked.of(expr.args[0]).name == "map" else "@items"
            self.paths[id(expr)] = (*path, step)
        return cost + given + capped(own)

    def own(self, function: str, target: Expr | None, args: list[Expr]) -> tuple[float, float | None]:
        """(cost, size of the result) of a call itself."""
        size = self.size
        first = target if target is not None else args[0] if args else None
        match function:
            case "check":
                return 350_000, None
            case "fieldSelector" | "labelSelector" if target is not None:
                length = size(args[0])
                return _LIST + _scaled(length, _STRING) + _scaled(_scaled(length, 0.5), _LIST + _STRUCT), None
            case "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" if target is not None:
                return self.over_list(target), None
            case "url" | "jsonpatch.escapeKey" | "lowerAscii" | "upperAscii" | "substring" | "trim" if (
                first is not None
            ):
                return _scaled(size(first), _STRING), size(first)
            case "replace" if target is not None:
                return _scaled(size(target), 2 * _STRING), self.replaced(target, args)
            case "split" if target is not None:
                most = size(target)
                if len(args) > 1 and isinstance(args[1], Const) and type(args[1].value) is int:
                    most = max(args[1].value, 0)
                return _scaled(size(target), 2 * _STRING), most
            case "join" if target is not None:
                path = self.paths.get(id(target))
                element = self.sizes((*path, "@items")) if path else None
                total = size(target) * (UNBOUNDED if element is None else element)
                total += (size(args[0]) if args else 0) * max(size(target) - 1, 0)
                return _scaled(capped(total), _STRING), total
            case "find" | "findAll" | "matches":
                text = target if target is not None else args[0]
                regex = args[0] if target is not None else args[-1]
                return _scaled(capped(size(text) + 1), _STRING) * _scaled(size(regex), _REGEX), None
            case "contains" if target is not None:
                return _scaled(size(target), _STRING) * _scaled(size(args[0]), _STRING), None
            case "startsWith" | "endsWith" if target is not None:
                return _scaled(size(args[0]), _STRING), None
            case "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" if (
                args
            ):
                return _scaled(size(args[0]), _STRING), size(args[0]) if function in ("ip", "cidr") else None
            case "ip.isCanonical":
                return _scaled(size(args[0]), 2 * _STRING), None
            case "containsIP" | "containsCIDR" if target is not None:
                return 4 + (1 if function == "containsCIDR" else 0) + _scaled(size(args[0]), _STRING), None
            case "validate" if target is not None:
                return _scaled(capped(size(args[0]) + 1), _STRING) * _scaled(128, _REGEX), None
            case "format" if target is not None:
                return _scaled(size(target), _STRING), None
            case "bytes":
                return _scaled(size(args[0]), _STRING), size(args[0]) * 4
            case "string" if self.checked.of(args[0]).name == "bytes":
                return _scaled(size(args[0]), _STRING), size(args[0])
            case "strings.quote":
                return _scaled(size(args[0]), _STRING), size(args[0]) * 2 + 2
            case "@in" if self.checked.of(args[1]).name != "map":
                return size(args[1]), None
            case "_+_" if self.checked.of(args[0]).name in ("string", "bytes", "list"):
                total = size(args[0]) + size(args[1])
                return 1 if self.checked.of(args[0]).name == "list" else _scaled(
                    capped(total), _STRING
                ), total
            case "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_":
                name = self.checked.of(args[0]).name
                if name.startswith(("kubernetes.", "net.")) or (
                    function not in ("_==_", "_!=_") and name not in ("string", "bytes")
                ):
                    return 1, None
                return _scaled(min(size(args[0]), size(args[1])), _STRING), None
        return 1, None

    def over_list(self, target: Expr) -> int:
        type_ = self.checked.of(target)
        if type_.name != "list":
            return _scaled(self.size(target), _STRING)
        each = 1
        if type_.params[0].name in ("string", "bytes"):
            path = self.paths.get(id(target))
            known = self.sizes((*path, "@items")) if path else None
            each += _scaled(UNBOUNDED if known is None else known, _STRING)
        return capped(self.size(target) * each)

    def replaced(self, target: Expr, args: list[Expr]) -> float:
        length, old, new = self.size(target), self.size(args[0]), self.size(args[1])
        least = len(args[0].value) if isinstance(args[0], Const) and isinstance(args[0].value, str) else 0
        if least == 0:
            return (length + 1) * new + length
        return length if new <= least else math.ceil(length / least) * new if old else length
