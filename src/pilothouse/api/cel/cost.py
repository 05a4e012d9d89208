"""What an expression may cost at most, before it ever runs: cel-go's static estimate, with Kubernetes' figures for its own functions.

A unit is about 50 ns of the real server's time. What counts is how long strings, lists and maps may be: `sizes` says that of a path from
`self` (`("self", "spec", "tags", "@items")`), from the schema's maxLength, maxItems and maxProperties; what has no bound makes what
loops over it cost more than anything allows. Oddities are cel-go's: a path that begins nowhere has the size of `self`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .charges import CHECK, LIST, MAP, REGEX, REQUIREMENT, STRUCT, TRAVERSAL
from .checker import Checked
from .functions import Overload
from .syntax import ACCUMULATOR, Call, Const, Expr, Ident, ListOf, Loop, MapOf, Select, Struct
from .types import BYTES, STRING

UNBOUNDED = 2**64 - 1
_SCALARS = frozenset({"bool", "int", "uint", "double", "timestamp", "duration"})
_IP_BYTES = 16
_FORMAT_PATTERN, _FORMAT_NAME = 128, 64

Path = tuple[str, ...]
Sizes = Callable[[Path], int | None]
Size = tuple[int, int]
"""At least, at most."""
_UNKNOWN: Size = (0, UNBOUNDED)


def estimate(tree: Expr, checked: Checked, sizes: Sizes) -> int:
    return _Estimator(checked, sizes).cost(tree)


def capped(number: float) -> int:
    return UNBOUNDED if number >= UNBOUNDED else int(number)


def _scaled(size: int, factor: float) -> int:
    return capped(math.ceil(float(size) * factor))


def _plus(a: Size, b: Size) -> Size:
    return capped(a[0] + b[0]), capped(a[1] + b[1])


def _times(a: Size, b: Size) -> Size:
    return capped(a[0] * b[0]), capped(a[1] * b[1])


def _either(a: Size, b: Size) -> Size:
    return min(a[0], b[0]), max(a[1], b[1])


@dataclass(frozen=True, slots=True)
class _Entries:
    """How big the keys and values of a list or a map are."""

    kind: str
    key: Size
    value: Size

    def or_as(self, other: _Entries | None) -> _Entries | None:
        if other is None:
            return None
        return _Entries(self.kind, _either(self.key, other.key), _either(self.value, other.value))


@dataclass(frozen=True, slots=True)
class _Local:
    path: Path
    size: Size | None
    entries: _Entries | None = None


class _Estimator:
    def __init__(self, checked: Checked, sizes: Sizes):
        self.checked, self.sizes = checked, sizes
        self.computed: dict[int, Size] = {}
        self.entries: dict[int, _Entries] = {}
        self.paths: dict[int, Path] = {}
        self.locals: list[tuple[str, _Local]] = []

    def cost(self, expr: Expr) -> int:
        return capped(getattr(self, f"cost_{type(expr).__name__}")(expr))

    # -- sizes ---------------------------------------------------------------------------------------------------------

    def size(self, expr: Expr) -> Size:
        return self.known_size(expr) or _UNKNOWN

    def known_size(self, expr: Expr) -> Size | None:
        if id(expr) in self.computed:
            return self.computed[id(expr)]
        match expr:
            case Const():
                length = len(expr.value) if isinstance(expr.value, (str, bytes)) else 1
                return length, length
            case ListOf():
                return len(expr.items), len(expr.items)
            case MapOf():
                return len(expr.entries), len(expr.entries)
        if (of_path := self.of_path(self.path(expr))) is not None:
            self.computed[id(expr)] = of_path
            return of_path
        type_ = self.checked.of(expr)
        while type_.name == "optional_type":
            type_ = type_.params[0]
        if type_.name in _SCALARS:
            return 1, 1
        local = self.local(expr)
        return local.size if local is not None else None

    def of_path(self, path: Path) -> Size | None:
        most = self.sizes(path) if path else None
        return None if most is None else (0, most % 2**64)

    def known_entries(self, expr: Expr) -> _Entries | None:
        if id(expr) in self.entries:
            return self.entries[id(expr)]
        local = self.local(expr)
        return local.entries if local is not None else None

    def local(self, expr: Expr) -> _Local | None:
        if isinstance(expr, Ident):
            return next((local for name, local in reversed(self.locals) if name == expr.name), None)
        return None

    def path(self, expr: Expr) -> Path:
        local = self.local(expr)
        return local.path if local is not None else self.paths.get(id(expr), ())

    def remember(self, expr: Expr, size: Size | None, entries: _Entries | None = None) -> None:
        if size is not None:
            self.computed[id(expr)] = size
        if entries is not None:
            self.entries[id(expr)] = entries

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def cost_Const(self, expr: Const) -> int:
        return 0

    def cost_Ident(self, expr: Ident) -> int:
        self.paths[id(expr)] = self.path(expr) if self.local(expr) is not None else (expr.name,)
        return 1

    def cost_Select(self, expr: Select) -> int:
        if id(expr) in self.checked.idents:
            self.paths[id(expr)] = (expr.name,)
            return 1
        cost = self.cost(expr.operand)
        if expr.test:
            return cost
        operand = self.checked.of(expr.operand)
        self.paths[id(expr)] = (*self.path(expr.operand), expr.name)
        return cost + (1 if operand.name == "map" or operand.fields is not None else 0)

    def cost_ListOf(self, expr: ListOf) -> int:
        cost = LIST + sum(map(self.cost, expr.items))
        self.entries[id(expr)] = _Entries("list", (1, 1), self.of_all(expr.items))
        return cost

    def cost_MapOf(self, expr: MapOf) -> int:
        cost = MAP + sum(self.cost(key) + self.cost(value) for key, value, _ in expr.entries)
        keys, values = [key for key, _, _ in expr.entries], [value for _, value, _ in expr.entries]
        self.entries[id(expr)] = _Entries("map", self.of_all(keys), self.of_all(values))
        return cost

    def of_all(self, parts: list[Expr]) -> Size:
        sizes = [self.size(part) for part in parts]
        return min((least for least, _ in sizes), default=0), max((most for _, most in sizes), default=0)

    def cost_Struct(self, expr: Struct) -> int:
        return STRUCT + sum(self.cost(value) for _, value, _, _ in expr.entries)

    def cost_Loop(self, expr: Loop) -> int:
        cost = self.cost(expr.range) + self.cost(expr.start)
        start = _Local(self.path(expr.start), self.known_size(expr.start), self.known_entries(expr.start))
        before = len(self.locals)
        self.locals.append((expr.accumulator, start))
        if expr.accumulator != ACCUMULATOR:  # it only gives a value a name
            cost += self.cost(expr.result)
            del self.locals[before:]
            self.remember(expr, self.known_size(expr.result), self.known_entries(expr.result))
            return cost
        self.locals += self.loop_variables(expr)
        each = capped(self.cost(expr.condition) + self.cost(expr.step))
        of_step = self.known_entries(expr.step)
        del self.locals[before + 1 :]
        cost += self.cost(expr.result)
        del self.locals[before:]
        count = self.size(expr.range)
        if isinstance(expr.start, Const):
            self.remember(expr, (1, 1))
        else:
            self.remember(expr, count, of_step)
        return cost + capped(count[1] * each)

    def loop_variables(self, expr: Loop) -> list[tuple[str, _Local]]:
        entries, path = self.known_entries(expr.range), self.path(expr.range)
        kind = entries.kind if entries is not None else self.checked.of(expr.range).name
        key, value = (entries.key, entries.value) if entries is not None else (None, None)
        steps = ("@indices", "@items") if kind == "list" else ("@keys", "@values")
        if expr.second:
            two = _Local((*path, steps[1]), value)
            return [(expr.variable, _Local((*path, steps[0]), key)), (expr.second, two)]
        if kind == "list":
            return [(expr.variable, _Local((*path, steps[1]), value))]
        return [(expr.variable, _Local((*path, steps[0]), key))]

    def cost_Call(self, expr: Call) -> int:
        function = self.checked.functions.get(id(expr), expr.function)
        target = expr.target if id(expr) not in self.checked.functions else None
        args = [self.cost(arg) for arg in expr.args]
        if function == "dyn":
            only = expr.args[0]
            self.remember(expr, self.known_size(only), self.known_entries(only))
            return 1 + args[0]
        cost = self.cost(target) if target is not None else 0
        if function == "_?_:_":
            _, then, otherwise = expr.args
            one = self.known_entries(then)
            entries = one.or_as(self.known_entries(otherwise)) if one is not None else None
            self.remember(expr, _either(self.size(then), self.size(otherwise)), entries)
            return args[0] + max(args[1:])
        own: list[float] = []
        result: Size | None = None
        for form in self.checked.forms.get(id(expr), ()):
            most, made = self.own(function, form, target, expr)
            own.append(most)
            result = made if result is None else result if made is None else _either(result, made)
        self.remember(expr, result if result is not None else self.known_size(expr))
        return cost + sum(args) + capped(max(own, default=1))

    def element(self, list_: Expr) -> Size:
        path = self.path(list_)
        return self.of_path((*path, "@items")) or _UNKNOWN if path else _UNKNOWN

    def own(
        self, function: str, form: Overload, target: Expr | None, call: Call
    ) -> tuple[float, Size | None]:
        """(cost, size of the result) of a call itself, in that form."""
        size, args = self.size, call.args
        kind = form.params[0].name if form.params else ""
        match function:
            case "_&&_" | "_||_":
                return 0, None
            case "_[_]" if kind in ("list", "map"):
                found = self.known_entries(args[0])
                self.paths[id(call)] = (*self.path(args[0]), "@items" if kind == "list" else "@values")
                return 1, found.value if found is not None else None
            case "check":
                return CHECK, None
            case "fieldSelector" | "labelSelector":
                length = size(args[0])[1]
                parsed = LIST + _scaled(length, TRAVERSAL)
                return parsed + _scaled(_scaled(length, 0.5), REQUIREMENT), None
            case (
                "slice"
                | "reverse"
                | "lists.range"
                | "flatten"
                | "distinct"
                | "sort"
                | "@sortByAssociatedKeys"
            ):
                return self.made_list(function, form, target, args)
            case "sets.contains" | "sets.intersects" | "sets.equivalent":
                both = _times(size(args[0]), size(args[1]))[1]
                return _scaled(both, 2 if function == "sets.equivalent" else 1) + 1, None
            case "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" if target is not None:
                params = self.checked.of(target).params
                if not params:
                    return _scaled(size(target)[1], TRAVERSAL), None
                each = 1
                if params[0] in (STRING, BYTES):
                    each += _scaled(self.element(target)[1], TRAVERSAL)
                return size(target)[1] * each, None
            case "url" | "jsonpatch.escapeKey":
                return _scaled(size(args[0])[1], TRAVERSAL), size(args[0])
            case "lowerAscii" | "upperAscii" | "substring" | "trim" if target is not None:
                return _scaled(size(target)[1], TRAVERSAL), size(target)
            case "replace" if target is not None:
                made = _replaced(size(target), size(args[0]), size(args[1]))
                return _scaled(size(target)[1], 2 * TRAVERSAL), made
            case "split" if target is not None:
                most = size(target)[1]
                if len(args) > 1 and isinstance(args[1], Const) and type(args[1].value) is int:
                    most = args[1].value % 2**64
                return _scaled(size(target)[1], 2 * TRAVERSAL), (0, most)
            case "join" if target is not None:
                items = size(target)
                total = _times(items, self.element(target)) if self.checked.of(target).params else (0, 0)
                if args:
                    total = _plus(total, _times(size(args[0]), (max(items[0] - 1, 0), max(items[1] - 1, 0))))
                return _scaled(total[1], TRAVERSAL), total
            case "find" | "findAll" if target is not None:
                return self.searched(target, args[0]), (0, size(target)[1])
            case "matches" if target is not None:
                return self.searched(target, args[0]), None
            case "contains" if target is not None:
                return _scaled(size(target)[1], TRAVERSAL) * _scaled(size(args[0])[1], TRAVERSAL), None
            case "startsWith" | "endsWith":
                return _scaled(size(args[0])[1], TRAVERSAL), None
            case "ip" if kind == "net.CIDR":
                return 1, None
            case "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver":
                return _scaled(size(args[0])[1], TRAVERSAL), None
            case "ip.isCanonical":
                return _scaled(size(args[0])[1], 2 * TRAVERSAL), None
            case "containsIP" | "containsCIDR":
                most = _scaled(2 * _IP_BYTES, TRAVERSAL)
                if function == "containsCIDR":
                    most += _scaled(_IP_BYTES, TRAVERSAL) + 1
                return most + (_scaled(size(args[0])[1], TRAVERSAL) if form.params[1] == STRING else 0), None
            case "validate":
                return _scaled(_scaled(size(args[0])[1], TRAVERSAL), _FORMAT_PATTERN * REGEX), None
            case "format" if target is not None:
                return _scaled(size(target)[1], TRAVERSAL), None
            case "bytes" if kind == "string":
                least, most = size(args[0])
                return _scaled(most, TRAVERSAL), (least, capped(most * 4))
            case "string" if kind == "bytes":
                least, most = size(args[0])
                return _scaled(most, TRAVERSAL), (least // 4, most)
            case "strings.quote":
                least, most = size(args[0])
                return _scaled(most, TRAVERSAL), (least + 2, capped(most * 2 + 2))
            case "@in" if form.params[1].name == "list":
                return size(args[1])[1], None
            case "_+_" if kind in ("string", "bytes", "list"):
                total = _plus(size(args[0]), size(args[1]))
                one = self.known_entries(args[0])
                if one is not None:
                    self.remember(call, None, one.or_as(self.known_entries(args[1])))
                return 1 if kind == "list" else _scaled(total[1], TRAVERSAL), total
            case "_==_" | "_!=_":
                left = self.checked.of(args[0])
                if function == "_==_" and left.fields is not None and left == self.checked.of(args[1]):
                    if left.name == "kubernetes.NamedFormat":
                        return _scaled(_FORMAT_NAME, TRAVERSAL), None
                    if left.name == "kubernetes.URL":
                        return _scaled((self.known_size(args[1]) or (1, 1))[1], TRAVERSAL), None
                    if left.name.startswith(("kubernetes.", "net.")):
                        return 1, None
                return _scaled(min(size(args[0])[1], size(args[1])[1]), TRAVERSAL), None
            case "_<_" | "_<=_" | "_>_" | "_>=_" if kind in ("string", "bytes"):
                return _scaled(min(size(args[0])[1], size(args[1])[1]), TRAVERSAL), None
        return 1, None

    def searched(self, text: Expr, pattern: Expr) -> int:
        length = capped(self.size(text)[1] + 1)
        return _scaled(length, TRAVERSAL) * _scaled(self.size(pattern)[1], REGEX)

    def made_list(
        self, function: str, form: Overload, target: Expr | None, args: list[Expr]
    ) -> tuple[float, Size | None]:
        """Of the functions that make one: each item, and the list."""
        factor = 1.0
        length: Size = self.size(target) if target is not None else _UNKNOWN
        if function == "slice":
            span = (_literal(args[1], length[1]) - _literal(args[0], 0)) % 2**64
            length = (span, span)
        elif function == "lists.range":
            span = _literal(args[0], UNBOUNDED)
            length = (span, span)
        elif function == "flatten":
            factor = float(_literal(args[0], UNBOUNDED)) if args else 1.0
        elif function != "reverse":
            by = args[0] if function == "@sortByAssociatedKeys" else target
            length = self.size(by) if by is not None else _UNKNOWN
            length = _times(length, length)
            keys = form.params[-1].params[0]
            factor = 2.0 + (TRAVERSAL if function != "distinct" and keys in (STRING, BYTES) else 0)
        return _scaled(length[1], factor) + 1 + LIST, length


def _literal(expr: Expr, otherwise: int) -> int:
    if isinstance(expr, Const) and type(expr.value) is int:
        return max(expr.value, 0)
    return otherwise


def _replaced(text: Size, old: Size, new: Size) -> Size:
    """The shortest and the longest that `replace` can make."""
    times, kept = [0, 0], [0, 0]
    if old[0] == 0:  # nothing stands between any two characters
        times[1], kept[1] = capped(text[1] + 1), text[1]
    elif new[1] <= old[0]:
        kept[1] = text[1]
    else:
        times[1] = capped(math.ceil(text[1] / old[0]))
    if old[1] == 0:
        times[0], kept[0] = capped(text[0] + 1), text[0]
    elif old[1] <= new[0]:
        kept[0] = text[0]
    else:
        times[0] = capped(math.ceil(text[0] / old[1]))
    return _plus(_times((times[0], times[1]), new), (kept[0], kept[1]))
