"""From the text of an expression to its tree, with macros expanded (cel-spec, `syntax.md`).

Positions are offsets: an operator's own, a call's parenthesis, a selection's dot, as cel-go reports them. Syntax errors are in the words of
the parser generator that cel-go uses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import CompileError, Issue
from .types import RESERVED
from .values import Uint

DEPTH_MAX = 250
_OPERAND = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
_OPERAND_STARTS = frozenset(
    {"[", "{", "(", ".", "-", "!", "true", "false", "null", "float", "int", "uint", "string", "bytes", "name"}
)


ACCUMULATOR = "@result"

# -- the tree ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Expr:
    at: int


@dataclass(slots=True, eq=False)
class Const(Expr):
    value: Any


@dataclass(slots=True, eq=False)
class Ident(Expr):
    name: str


@dataclass(slots=True, eq=False)
class Select(Expr):
    operand: Expr
    name: str
    test: bool = False  # has()


@dataclass(slots=True, eq=False)
class Call(Expr):
    function: str
    target: Expr | None
    args: list[Expr]


@dataclass(slots=True, eq=False)
class ListOf(Expr):
    items: list[Expr]
    optional: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False)
class MapOf(Expr):
    entries: list[tuple[Expr, Expr, bool]]


@dataclass(slots=True, eq=False)
class Struct(Expr):
    name: str
    entries: list[tuple[str, Expr, bool, int]]


@dataclass(slots=True, eq=False)
class Loop(Expr):
    """A comprehension: `result` of folding `step` over the range, while `condition` holds. Over nothing, it gives a name to `start`."""

    range: Expr
    variable: str
    second: str  # the second variable (values of a map, items of a list), or ""
    start: Expr
    condition: Expr
    step: Expr
    result: Expr
    accumulator: str = ACCUMULATOR


def parts(expr: Expr) -> list[Expr]:
    """What an expression is made of, in order."""
    match expr:
        case Select():
            return [expr.operand]
        case Call():
            return [*([expr.target] if expr.target is not None else []), *expr.args]
        case ListOf():
            return expr.items
        case MapOf():
            return [part for key, value, _ in expr.entries for part in (key, value)]
        case Struct():
            return [value for _, value, _, _ in expr.entries]
        case Loop():
            return [expr.range, expr.start, expr.condition, expr.step, expr.result]
    return []


# -- tokens ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # name, int, uint, float, string, bytes, end, or the sign itself
    text: str
    at: int
    raw: str = ""  # as it is written, where the text is what it means

    @property
    def shown(self) -> str:
        return self.raw or self.text


_TOKEN = re.compile(
    r"""(?P<space>(?:[\ \t\r\n\f]|//[^\n]*)+)
    |(?P<string>(?P<prefix>[bB][rR]?|[rR][bB]?)?(?P<quote>\"\"\"|'''|"|')(?P<body>))
    |(?P<float>(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?))
    |(?P<uint>0x[0-9a-fA-F]+[uU]|\d+[uU])
    |(?P<int>0x[0-9a-fA-F]+|\d+)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |`(?P<escaped>[A-Za-z0-9_.\-/\ ]+)`
    |(?P<sign>==|!=|<=|>=|&&|\|\||[\[\]{}().,\-!?:+*/%<>])""",
    re.VERBOSE,
)
_KEYWORDS = frozenset({"true", "false", "null", "in"})


def tokens(text: str, issues: list[Issue]) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            length = 2 if text[at] in "=&|" else 1  # what begins a sign is lost with what does not end it
            issues.append(_unrecognized(text, at, at + length))
            at += length
        elif match["string"]:
            at = _string(text, match, found, issues)
        else:
            kind = match.lastgroup or ""
            word = match[0]
            if kind == "escaped":
                found.append(Token("escaped", match["escaped"], at, word))
            elif kind != "space":
                found.append(Token(word if kind == "sign" or word in _KEYWORDS else kind, word, at))
            at = match.end()
    return [*found, Token("end", "<EOF>", len(text))]


def _unrecognized(text: str, start: int, end: int) -> Issue:
    shown = text[start:end].replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return Issue(start, f"Syntax error: token recognition error at: '{shown}'")


def _string(text: str, match: re.Match[str], found: list[Token], issues: list[Issue]) -> int:
    begins, quote, prefix = match.start(), match["quote"], match["prefix"] or ""
    raw, kind = "r" in prefix.lower(), "bytes" if "b" in prefix.lower() else "string"
    start = match.end()
    at, ends = _end_of_string(text, start, quote, raw)
    if not ends and len(quote) == 3:  # an empty one, and something else
        quote, at, ends = quote[0], start - 2, True
        start = at
    if not ends:
        if prefix:
            found.append(Token("name", prefix, begins))
            begins += len(prefix)
        issues.append(_unrecognized(text, begins, at + 1))
        return at + 1
    body = text[start:at]
    if not raw:
        try:
            body = unescape(body, kind == "bytes")
        except ValueError as error:
            issues.append(Issue(begins, f"Syntax error: {error}"))
    at += len(quote)
    found.append(Token(kind, body, begins, text[begins:at]))
    return at


def _end_of_string(text: str, at: int, quote: str, raw: bool) -> tuple[int, bool]:
    """(where the closing quote is, or what cannot be in a string; whether there is one)"""
    while not text.startswith(quote, at):
        if at >= len(text) or (len(quote) == 1 and text[at] in "\r\n"):
            return at, False
        escape = _ESCAPE.match(text, at) if text[at] == "\\" and not raw else None
        if escape is not None and escape[6] is not None:
            begun = _BEGUN.match(text, at)
            return begun.end() if begun is not None else at, False
        at = escape.end() if escape is not None else at + 1
    return at, True


_BEGUN = re.compile(r"\\(?:[xX][0-9a-fA-F]?|u[0-9a-fA-F]{0,3}|U[0-9a-fA-F]{0,7}|[0-3][0-7]?)?")
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.?))",
    re.DOTALL,
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unescape(body: str, as_bytes: bool) -> str:
    """Bytes come out as Latin-1, one character a byte; what is no escape in them as UTF-8."""

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return _PLAIN.get(match[1], match[1])
        digits = match[2] or match[3] or match[4]
        if digits or match[5]:
            return chr(int(digits, 16) if digits else int(match[5], 8))
        raise ValueError(f"invalid escape sequence: \\{match[6]}")

    if as_bytes:
        body = body.encode().decode("latin-1")
    return _ESCAPE.sub(replace, body)


# -- the parser --------------------------------------------------------------------------------------------------------


def parse(text: str) -> Expr:
    """Raises CompileError."""
    issues: list[Issue] = []
    parser = _Parser(tokens(text, issues), issues)
    try:
        tree = parser.whole()
    except _GiveUp:
        tree = Const(0, None)
    except RecursionError:
        issues.append(Issue(0, f"expression recursion limit exceeded: {DEPTH_MAX}"))
        tree = Const(0, None)
    if issues:
        raise CompileError(text, issues)
    return tree


class _GiveUp(Exception):
    pass


_RELATIONS = {"==": "_==_", "!=": "_!=_", "<": "_<_", "<=": "_<=_", ">": "_>_", ">=": "_>=_", "in": "@in"}
_SUMS = {"+": "_+_", "-": "_-_"}
_PRODUCTS = {"*": "_*_", "/": "_/_", "%": "_%_"}


class _Parser:
    def __init__(self, found: list[Token], issues: list[Issue]):
        self.tokens, self.issues, self.position, self.depth = found, issues, 0, 0

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def next(self) -> Token:
        token = self.tokens[self.position]
        if token.kind != "end":
            self.position += 1
        return token

    def accept(self, kind: str) -> Token | None:
        return self.next() if self.token.kind == kind else None

    def issue(self, at: int, message: str) -> None:
        self.issues.append(Issue(at, message))

    def expect(self, kind: str, wanted: str = "") -> Token:
        """The sign that must follow; says what is missing, or that there is one too many. `wanted`: where it is not the only one."""
        token = self.token
        if token.kind == kind:
            return self.next()
        following = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
        if following.kind == kind and token.kind != "end":
            self.issue(token.at, f"Syntax error: extraneous input '{token.shown}' expecting '{kind}'")
            self.next()
            return self.next()
        if wanted or (kind == ":" and token.kind not in _OPERAND_STARTS):
            expecting = wanted or f"'{kind}'"
            self.issue(token.at, f"Syntax error: mismatched input '{token.shown}' expecting {expecting}")
        else:
            self.issue(token.at, f"Syntax error: missing '{kind}' at '{token.shown}'")
        raise _GiveUp

    def whole(self) -> Expr:
        tree = self.expression()
        token = self.token
        if token.kind != "end":
            last = self.tokens[self.position + 1].kind == "end"
            how = "extraneous" if last else "mismatched"
            self.issue(token.at, f"Syntax error: {how} input '{token.shown}' expecting <EOF>")
        return tree

    def expression(self) -> Expr:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self.issue(0, f"expression recursion limit exceeded: {DEPTH_MAX}")
            raise _GiveUp
        condition = self.logic("||", "_||_", lambda: self.logic("&&", "_&&_", self.relation))
        if question := self.accept("?"):
            then = self.logic("||", "_||_", lambda: self.logic("&&", "_&&_", self.relation))
            self.expect(":")
            condition = Call(question.at, "_?_:_", None, [condition, then, self.expression()])
        self.depth -= 1
        return condition

    def logic(self, sign: str, function: str, operand: Callable[[], Expr]) -> Expr:
        terms, places = [operand()], []
        while token := self.accept(sign):
            places.append(token.at)
            terms.append(operand())
        return _balanced(function, terms, places)

    def relation(self) -> Expr:
        left = self.sum()
        while self.token.kind in _RELATIONS:
            token = self.next()
            left = Call(token.at, _RELATIONS[token.kind], None, [left, self.sum()])
        return left

    def sum(self) -> Expr:
        left = self.product()
        while self.token.kind in _SUMS:
            token = self.next()
            left = Call(token.at, _SUMS[token.kind], None, [left, self.product()])
        return left

    def product(self) -> Expr:
        left = self.unary()
        while self.token.kind in _PRODUCTS:
            token = self.next()
            left = Call(token.at, _PRODUCTS[token.kind], None, [left, self.unary()])
        return left

    def unary(self) -> Expr:
        sign = self.token.kind
        if sign not in ("!", "-"):
            return self.member()
        first = self.token.at
        count = 0
        while self.token.kind == sign:
            self.next()
            count += 1
        if sign == "-" and count == 1 and self.token.kind in ("int", "float"):
            count = 0
            literal = self.literal(self.next(), negative=True, at=first)
            operand = self.suffixes(literal)
        else:
            operand = self.member()
        return Call(first, f"{sign}_", None, [operand]) if count % 2 else operand

    def member(self) -> Expr:
        return self.suffixes(self.primary())

    def suffixes(self, operand: Expr) -> Expr:
        while True:
            if dot := self.accept("."):
                optional = self.accept("?")
                token = self.token
                if token.kind not in ("name", "escaped"):
                    if token.text in ("true", "false", "null", "in"):
                        what = f"mismatched input '{token.shown}' expecting IDENTIFIER"
                    else:
                        what = (
                            f"no viable alternative at input '.{token.shown if token.kind != 'end' else ''}'"
                        )
                    self.issue(token.at, f"Syntax error: {what}")
                    raise _GiveUp
                self.next()
                if token.kind == "escaped":
                    self.issue(token.at, "unsupported syntax: '`'")
                if optional:
                    operand = Call(dot.at, "_?._", None, [operand, Const(token.at, token.text)])
                elif opening := self.accept("("):
                    args = self.arguments(")")
                    operand = self.call(opening.at, token.text, operand, args)
                else:
                    operand = Select(dot.at, operand, token.text)
            elif opening := self.accept("["):
                function = "_[?_]" if self.accept("?") else "_[_]"
                index = self.expression()
                self.expect("]")
                operand = Call(opening.at, function, None, [operand, index])
            elif self.token.kind == "{" and (name := _dotted(operand)) and not isinstance(operand, Call):
                operand = self.struct(name)
            else:
                return operand

    def primary(self) -> Expr:
        token = self.token
        if token.kind not in _OPERAND_STARTS or token.kind in ("-", "!"):
            before = self.tokens[self.position - 1].kind if self.position else ""
            wanted = _OPERAND.replace("'!', ", "'!', '?', ") if before == "[" else _OPERAND
            following = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
            if token.kind != "end" and following.kind in _OPERAND_STARTS:
                self.issue(token.at, f"Syntax error: extraneous input '{token.shown}' expecting {wanted}")
                self.next()
                return self.primary()
            self.issue(token.at, f"Syntax error: mismatched input '{token.shown}' expecting {wanted}")
            raise _GiveUp
        self.next()
        match token.kind:
            case "(":
                inner = self.expression()
                self.expect(")")
                return inner
            case "[":
                return self.list_literal(token.at)
            case "{":
                return self.map_literal(token.at)
            case ".":
                name = self.expect_name()
                return self.named(Token("name", name.text, token.at), leading=True)
            case "name":
                return self.named(token)
        return self.literal(token, at=token.at)

    def expect_name(self) -> Token:
        if self.token.kind != "name":
            self.issue(
                self.token.at, f"Syntax error: mismatched input '{self.token.shown}' expecting IDENTIFIER"
            )
            raise _GiveUp
        return self.next()

    def named(self, token: Token, leading: bool = False) -> Expr:
        if token.text in RESERVED:
            self.issue(token.at, f"reserved identifier: {token.text}")
        if opening := self.accept("("):
            return self.call(opening.at, token.text, None, self.arguments(")"))
        return Ident(token.at, token.text)

    def arguments(self, closing: str) -> list[Expr]:
        args: list[Expr] = []
        if self.accept(closing):
            return args
        while True:
            args.append(self.expression())
            if self.accept(closing):
                return args
            if not self.accept(","):
                self.expect(closing)
                return args

    def list_literal(self, at: int) -> Expr:
        items: list[Expr] = []
        optional = set()
        while not self.accept("]"):
            if self.accept("?"):
                optional.add(len(items))
            items.append(self.expression())
            if not self.accept(","):
                self.expect("]", "{']', ','}")
                break
        return ListOf(at, items, frozenset(optional))

    def map_literal(self, at: int) -> Expr:
        entries = []
        while not self.accept("}"):
            optional = self.accept("?") is not None
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression(), optional))
            if not self.accept(","):
                self.expect("}", "{'}', ','}")
                break
        return MapOf(at, entries)

    def struct(self, name: str) -> Expr:
        opening = self.next()
        entries = []
        while not self.accept("}"):
            optional = self.accept("?") is not None
            token = self.token
            if token.kind not in ("name", "escaped"):
                self.issue(
                    token.at,
                    f"Syntax error: mismatched input '{token.shown}' expecting {{'}}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}}",
                )
                raise _GiveUp
            self.next()
            colon = self.expect(":")
            entries.append((token.text, self.expression(), optional, colon.at))
            if not self.accept(","):
                self.expect("}")
                break
        return Struct(opening.at, name, entries)

    def literal(self, token: Token, *, at: int, negative: bool = False) -> Expr:
        sign = "-" if negative else ""
        match token.kind:
            case "int":
                value = int(sign + token.text, 16 if "x" in token.text else 10)
                if not -(2**63) <= value < 2**63:
                    self.issue(at, "invalid int literal")
                return Const(at, value)
            case "uint":
                number = int(token.text[:-1], 16 if "x" in token.text else 10)
                if number >= 2**64:
                    self.issue(at, "invalid uint literal")
                return Const(at, Uint(number))
            case "float":
                double = float(sign + token.text)
                if math.isinf(double):
                    self.issue(at, "invalid double literal")
                return Const(at, double)
            case "string":
                return Const(at, token.text)
            case "bytes":
                return Const(at, token.text.encode("latin-1"))
        return Const(at, {"true": True, "false": False, "null": None}[token.kind])

    # -- macros --------------------------------------------------------------------------------------------------------

    def call(self, at: int, function: str, target: Expr | None, args: list[Expr]) -> Expr:
        if target is None:
            if function == "has" and len(args) == 1:
                return self.has(at, args[0])
            return Call(at, function, None, args)
        macro = _MACROS.get((function, len(args)))
        if macro is None:
            return Call(at, function, target, args)
        return macro(self, at, target, args)

    def has(self, at: int, operand: Expr) -> Expr:
        if isinstance(operand, Select):
            return Select(at, operand.operand, operand.name, test=True)
        self.issue(operand.at, "invalid argument to has() macro")
        return Const(at, False)

    def simple_name(self, expr: Expr) -> str:
        if isinstance(expr, Ident):
            return expr.name
        self.issue(expr.at, "argument must be a simple name")
        return "@bad"


def _balanced(function: str, terms: list[Expr], places: list[int]) -> Expr:
    """As cel-go balances long chains of && and ||."""
    if len(terms) == 1:
        return terms[0]

    def build(low: int, high: int) -> Expr:
        middle = (low + high + 1) // 2
        left = terms[middle] if middle == low else build(low, middle - 1)
        right = terms[middle + 1] if middle == high else build(middle + 1, high)
        return Call(places[middle], function, None, [left, right])

    return build(0, len(places) - 1)


def _dotted(expr: Expr) -> str:
    if isinstance(expr, Ident):
        return expr.name
    if isinstance(expr, Select) and not expr.test and (above := _dotted(expr.operand)):
        return f"{above}.{expr.name}"
    return ""


def _call(at: int, function: str, *args: Expr) -> Call:
    return Call(at, function, None, list(args))


def _result(at: int) -> Ident:
    return Ident(at, ACCUMULATOR)


def _all(at: int, over: Expr, one: str, two: str, body: Expr) -> Loop:
    keep = _call(at, "@not_strictly_false", _result(at))
    return Loop(at, over, one, two, Const(at, True), keep, _call(at, "_&&_", _result(at), body), _result(at))


def _exists(at: int, over: Expr, one: str, two: str, body: Expr) -> Loop:
    keep = _call(at, "@not_strictly_false", _call(at, "!_", _result(at)))
    return Loop(at, over, one, two, Const(at, False), keep, _call(at, "_||_", _result(at), body), _result(at))


def _exists_one(at: int, over: Expr, one: str, two: str, body: Expr) -> Loop:
    more = _call(at, "_+_", _result(at), Const(at, 1))
    step = _call(at, "_?_:_", body, more, _result(at))
    return Loop(
        at, over, one, two, Const(at, 0), Const(at, True), step, _call(at, "_==_", _result(at), Const(at, 1))
    )


def _collect(at: int, over: Expr, one: str, two: str, condition: Expr | None, item: Expr) -> Loop:
    step: Expr = _call(at, "_+_", _result(at), ListOf(at, [item]))
    if condition is not None:
        step = _call(at, "_?_:_", condition, step, _result(at))
    return Loop(at, over, one, two, ListOf(at, []), Const(at, True), step, _result(at))


def _collect_map(by: str) -> Callable[..., Loop]:
    def collect(at: int, over: Expr, one: str, two: str, condition: Expr | None, item: Expr) -> Loop:
        key: list[Expr] = [Ident(at, one)] if by == "key" else []
        step: Expr = _call(at, "cel.@mapInsert", _result(at), *key, item)
        if condition is not None:
            step = _call(at, "_?_:_", condition, step, _result(at))
        return Loop(at, over, one, two, MapOf(at, []), Const(at, True), step, _result(at))

    return collect


Macro = Callable[[_Parser, int, Expr, list[Expr]], Expr]


def _quantifier(make: Callable[..., Loop], two: bool = False) -> Macro:
    def expand(parser: _Parser, at: int, over: Expr, args: list[Expr]) -> Expr:
        one = parser.simple_name(args[0])
        second = parser.simple_name(args[1]) if two else ""
        if one == second:
            parser.issue(args[1].at, f"duplicate variable name: {one}")
        return make(at, over, one, second, args[-1])

    return expand


def _collector(make: Callable[..., Loop], variables: int, conditional: bool) -> Macro:
    def expand(parser: _Parser, at: int, over: Expr, args: list[Expr]) -> Expr:
        names = [parser.simple_name(arg) for arg in args[:variables]]
        if variables == 2 and names[0] == names[1]:
            parser.issue(args[1].at, f"duplicate variable name: {names[0]}")
        condition = args[variables] if conditional else None
        return make(at, over, names[0], names[1] if variables == 2 else "", condition, args[-1])

    return expand


def _filter(parser: _Parser, at: int, over: Expr, args: list[Expr]) -> Expr:
    name = parser.simple_name(args[0])
    return _collect(at, over, name, "", args[1], Ident(args[0].at, name))


def _opt_map(flat: bool) -> Macro:
    def expand(parser: _Parser, at: int, target: Expr, args: list[Expr]) -> Expr:
        name = parser.simple_name(args[0])
        bound = _bind(at, name, Call(at, "value", target, []), args[1])
        found = bound if flat else _call(at, "optional.of", bound)
        return _call(at, "_?_:_", Call(at, "hasValue", target, []), found, _call(at, "optional.none"))

    return expand


def _bind(at: int, name: str, value: Expr, body: Expr) -> Loop:
    return Loop(at, ListOf(at, []), "#unused", "", value, Const(at, False), Ident(at, name), body, name)


def _sort_by(parser: _Parser, at: int, over: Expr, args: list[Expr]) -> Expr:
    name = "@__sortBy_input__"
    keys = _collect(at, Ident(at, name), parser.simple_name(args[0]), "", None, args[1])
    return _bind(at, name, over, Call(at, "@sortByAssociatedKeys", Ident(at, name), [keys]))


_MACROS: dict[tuple[str, int], Macro] = {
    ("all", 2): _quantifier(_all),
    ("exists", 2): _quantifier(_exists),
    ("exists_one", 2): _quantifier(_exists_one),
    ("existsOne", 2): _quantifier(_exists_one),
    ("all", 3): _quantifier(_all, two=True),
    ("exists", 3): _quantifier(_exists, two=True),
    ("existsOne", 3): _quantifier(_exists_one, two=True),
    ("map", 2): _collector(_collect, 1, False),
    ("map", 3): _collector(_collect, 1, True),
    ("filter", 2): _filter,
    ("transformList", 3): _collector(_collect, 2, False),
    ("transformList", 4): _collector(_collect, 2, True),
    ("transformMap", 3): _collector(_collect_map("key"), 2, False),
    ("transformMap", 4): _collector(_collect_map("key"), 2, True),
    ("transformMapEntry", 3): _collector(_collect_map("entry"), 2, False),
    ("transformMapEntry", 4): _collector(_collect_map("entry"), 2, True),
    ("optMap", 2): _opt_map(False),
    ("optFlatMap", 2): _opt_map(True),
    ("sortBy", 2): _sort_by,
}

__all__ = ["Call", "Const", "Expr", "Ident", "ListOf", "Loop", "MapOf", "Select", "Struct", "parse"]
