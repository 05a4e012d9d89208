"""x-kubernetes-validations: the types that a schema gives its expressions, the rules compiled, and their evaluation.

`Context` walks the schema of a definition beside rules.py and says what is wrong with its rules, and what they may cost. `compiled` makes
the validator of a schema, which evaluates the rules of an object with the same ratcheting as the schema's own checks (values.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from .. import cel
from ..cel import cost as costs
from ..cel import types
from ..cel.runtime import TOO_COSTLY, Budget
from ..cel.types import Field, Type
from ..cel.values import Duration, MapList, SetList, Timestamp
from ..errors import Cause
from ..fielderrors import FieldErrors, InOrder, quoted, shown
from ..object import Object
from . import formats, rules
from .schema import Node
from .values import NO_PATH, Correlation, matching_item

REQUEST_MAX = 3 * 1024 * 1024
RULE_COST_MAX, TOTAL_COST_MAX = 10_000_000, 100_000_000
RUN_COST_MAX = 10_000_000  # of all rules of one object
MESSAGE_BYTES_MAX = 5 * 1024
_HINT = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"


# -- types -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Decl:
    """The type of a schema's values, and how big they may get. `least`: bytes that the smallest takes in a request."""

    type: Type
    node: Node | None
    most: int = 0
    least: int = 1
    element: Decl | None = None
    key: Decl | None = None
    fields: dict[str, Decl] | None = None


_FORMATS = {
    "byte": (types.BYTES, 0, 2),
    "duration": (types.DURATION, 32, 3),
    "date": (types.TIMESTAMP, 12, 12),
    "date-time": (types.TIMESTAMP, 32, 21),
}
_TEXT = Node({"type": "string"})
_META = {
    "kind": _TEXT,
    "apiVersion": _TEXT,
    "metadata": Node({"type": "object"}),
}
_NAME_MAX = {"name": 253, "generateName": 252}


def declare(node: Node | None, resource: bool, name: str = "selfType") -> Decl | None:
    """None for what expressions cannot see: no type, or unknown content."""
    if node is None:
        return None
    bounds = node.bounds
    if node.int_or_string:
        return Decl(types.DYN, node, bounds["maxLength"] * 4 if "maxLength" in bounds else REQUEST_MAX - 2, 1)
    match "object" if resource else node.type:
        case "array":
            element = (
                declare(node.items, node.items.embedded, f"{name}.@idx") if node.items is not None else None
            )
            if element is None:
                return None
            most = (
                max(bounds["maxItems"], 0)
                if "maxItems" in bounds
                else (REQUEST_MAX - 2) // (element.least + 1)
            )
            return Decl(types.list_of(element.type), node, most, 2, element)
        case "object":
            extra = node.additional_node
            if extra is not None:
                value = declare(extra, extra.embedded, f"{name}.@elem")
                if value is None:
                    return None
                most = (
                    max(bounds["maxProperties"], 0)
                    if "maxProperties" in bounds
                    else (REQUEST_MAX - 2) // (value.least + 6)
                )
                return Decl(
                    types.map_of(types.STRING, value.type),
                    node,
                    most,
                    2,
                    value,
                    Decl(types.STRING, _TEXT, 0, 2),
                )
            return _declare_object(node, resource, name)
        case "string":
            return _declare_string(node)
        case "boolean":
            return Decl(types.BOOL, node, 0, 4)
        case "number":
            return Decl(types.DOUBLE, node)
        case "integer":
            return Decl(types.INT, node)
    return None


def _named(node: Node) -> Node:
    """A resource's metadata as rules see it: names, of bounded length."""
    given = node.properties["metadata"].properties if "metadata" in node.properties else {}
    lengths = {
        name: min(most, given[name].bounds.get("maxLength", most) if name in given else most)
        for name, most in _NAME_MAX.items()
    }
    properties = {name: {"type": "string", "maxLength": most} for name, most in lengths.items()}
    return Node({"type": "object", "properties": properties})


def _has_meta(node: Node) -> bool:
    """Whether a resource's schema says itself what its type and metadata look like."""
    given = node.properties
    if not given.keys() >= _META.keys() or any(
        given[name].type != inner.type for name, inner in _META.items()
    ):
        return False
    named = given["metadata"].properties
    return all(name in named and named[name].type == "string" for name in ("name", "generateName"))


def _declare_object(node: Node, resource: bool, name: str) -> Decl:
    fields: dict[str, Decl] = {}
    members: dict[str, Field] = {}
    least = 2
    implied = {**_META, "metadata": _named(node)} if resource and not _has_meta(node) else {}
    for key, inner in {**node.properties, **implied}.items():
        decl = declare(inner, inner.embedded, f"{name}.{key}")
        if decl is None:
            continue
        escaped = types.escape(key)
        if escaped is not None:
            fields[escaped] = decl
            members[escaped] = Field(decl.type, key)
            if key in types.RESERVED:
                members[key] = members[escaped]
        if key in node.required and inner.default is None:
            least += len(key) + decl.least + 4
    return Decl(Type(name, fields=members), node, 0, least, fields=fields)


def _declare_string(node: Node) -> Decl:
    if node.raw.get("format") in _FORMATS:
        type_, most, least = _FORMATS[node.raw["format"]]
        if not most:
            most = max(node.bounds["maxLength"], 0) if "maxLength" in node.bounds else REQUEST_MAX - 2
        return Decl(type_, node, most, least)
    most = REQUEST_MAX - 2
    if "maxLength" in node.bounds:
        most = max(node.bounds["maxLength"], 0) * 4
    elif node.enum:
        most = max((len(value.encode()) for value in node.enum if isinstance(value, str)), default=0)
    return Decl(types.STRING, node, most, 2)


def sizes_of(root: Decl) -> costs.Sizes:
    def size(path: costs.Path) -> int | None:
        current: Decl | None = root
        for name in path[1:]:
            if current is None:
                return None
            if name in ("@items", "@values"):
                current = current.element
            elif name == "@keys":
                current = current.key
            else:
                current = (current.fields or {}).get(name)
        return None if current is None else current.most

    return size


# -- compiling ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Rule:
    """A rule compiled. `problem`: why it could not be; `program` None without one: the rule is empty."""

    source: Object
    program: cel.Program | None = None
    problem: str = ""
    message: cel.Program | None = None
    message_problem: str = ""
    cost: int = 0
    message_cost: int = 0
    path: str = ""

    @property
    def transition(self) -> bool:
        return self.program is not None and "oldSelf" in self.program.names

    @property
    def text(self) -> str:
        """How errors call it."""
        return (self.source.get("message") or self.source["rule"]).strip()


def compile_rules(decl: Decl, *, with_cost: bool = False) -> list[Rule]:
    assert decl.node is not None
    return [_compile(decl, source, decl.node, with_cost) for source in decl.node.rules]


def _compile(decl: Decl, source: Object, node: Node, with_cost: bool) -> Rule:
    rule = Rule(source)
    if not (source.get("rule") or "").strip():
        return rule
    old = types.optional_of(decl.type) if source.get("optionalOldSelf") else decl.type
    variables = {"self": decl.type, "oldSelf": old}
    try:
        program = cel.compile(source["rule"], variables)
    except cel.CompileError as error:
        rule.problem = f"{error.stage}: {error}"
        return rule
    if program.type != types.BOOL:
        rule.problem = "cel expression must evaluate to a bool"
        return rule
    rule.program = program
    if source.get("messageExpression"):
        try:
            message = cel.compile(source["messageExpression"], variables)
            if message.type == types.STRING:
                rule.message = message
            else:
                rule.message_problem = "messageExpression must evaluate to a string"
        except cel.CompileError as error:
            rule.message_problem = f"messageExpression {error.stage}: {error}"
    if with_cost:
        sizes = sizes_of(decl)
        rule.cost = program.cost(sizes)
        rule.message_cost = rule.message.cost(sizes) if rule.message is not None else 0
    if source.get("fieldPath"):
        try:
            rule.path = rules.field_at(source["fieldPath"], node)[0]
        except rules.FieldPathError:
            rule.path = ""
    return rule


class Context:
    """Where the walk over a definition's schema is: the schema there, how often it may occur, and what all rules cost together."""

    def __init__(
        self,
        schema: Object,
        decl: Decl | None,
        many: int | None,
        total: list[tuple[str, int]],
        unchanged: bool,
    ):
        self.schema, self._decl, self.many, self.total, self.unchanged = schema, decl, many, total, unchanged

    @classmethod
    def root(cls, schema: Object, *, unchanged: bool) -> Context:
        """`unchanged`: the schema was accepted before, whatever its rules cost."""
        return cls(schema, declare(Node(schema), True), 1, [], unchanged)

    def child(self, kind: str, name: str = "") -> Context | None:
        """`properties`, `items` or `additionalProperties`."""
        schema = self.schema[kind][name] if name else self.schema[kind]
        if not isinstance(schema, dict):
            return None
        decl = self._decl
        found: Decl | None = None
        if decl is not None:
            found = (decl.fields or {}).get(types.escape(name) or "") if name else decl.element
        if found is None:
            node = Node(schema)
            found = declare(node, node.embedded)
        factor: int | None = 1
        if self.schema.get("type") == "object" and self.schema.get("additionalProperties") is not None:
            factor = self.schema.get("maxProperties")
        elif self.schema.get("type") == "array":
            factor = self.schema.get("maxItems")
        many = None if self.many is None or factor is None else costs.capped(self.many * max(factor, 0))
        return Context(schema, found, many, self.total, self.unchanged)

    def check_rules(self, path: str, uncorrelatable: str, errors: FieldErrors) -> None:
        decl = self._decl
        if decl is None:
            if self.schema.get("x-kubernetes-validations"):
                why = "failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations"
                errors.internal(f"{path}.x-kubernetes-validations", f"internal error: {why}")
            return
        decl.node = Node(self.schema)
        for index, rule in enumerate(compile_rules(decl, with_cost=True)):
            at = f"{path}.x-kubernetes-validations[{index}]"
            many = self.many if self.many is not None else REQUEST_MAX // (decl.least + 1)
            cost = costs.capped(rule.cost * many)
            if cost > RULE_COST_MAX and not self.unchanged:
                errors.forbidden(f"{at}.rule", _too_costly("estimated rule cost", cost, RULE_COST_MAX))
            self.total.append((f"{at}.rule", cost))
            if rule.problem:
                _invalid_rule(errors, f"{at}.rule", rule)
            if rule.message_problem:
                _invalid_rule(errors, f"{at}.messageExpression", rule)
            elif rule.message is not None:
                if rule.message_cost > RULE_COST_MAX and not self.unchanged:
                    text = _too_costly("estimated messageExpression cost", rule.message_cost, RULE_COST_MAX)
                    errors.forbidden(f"{at}.messageExpression", text)
                self.total.append((f"{at}.messageExpression", rule.message_cost))
            if rule.transition:
                if uncorrelatable:
                    why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelatable}"
                    errors.invalid(f"{at}.rule", rule.source["rule"], why)
            elif rule.source.get("optionalOldSelf") is not None:
                why = "may not be set if oldSelf is not used in rule"
                errors.invalid(f"{at}.optionalOldSelf", rule.source["optionalOldSelf"], why)

    def check_total(self, path: str, errors: FieldErrors) -> None:
        total = costs.capped(sum(cost for _, cost in self.total))
        if total <= TOTAL_COST_MAX:
            return
        dear = sorted(
            (each for each in self.total if each[1] >= TOTAL_COST_MAX / 100), key=lambda each: -each[1]
        )
        for at, _ in dear[:4]:
            errors.forbidden(
                at,
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
            )
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        errors.forbidden(path, _too_costly(what, total, TOTAL_COST_MAX))


def _too_costly(what: str, cost: int, limit: int) -> str:
    times = cost / limit
    factor = "more than 100x" if times > 100 else f"{times:f}x" if times < 1.5 else f"{times:.1f}x"
    return f"{what} exceeds budget by factor of {factor} {_HINT}"


def _invalid_rule(errors: FieldErrors, path: str, rule: Rule) -> None:
    source = rule.source
    as_go_has_it = InOrder(
        Rule=source.get("rule") or "",
        Message=source.get("message") or "",
        MessageExpression=source.get("messageExpression") or "",
        Reason=source.get("reason"),
        FieldPath=source.get("fieldPath") or "",
        OptionalOldSelf=source.get("optionalOldSelf"),
    )
    problem = rule.message_problem if path.endswith("messageExpression") else rule.problem
    errors.invalid(path, as_go_has_it, problem)


# -- evaluating --------------------------------------------------------------------------------------------------------


def has_rules(node: Node) -> bool:
    return node.any(lambda each: bool(each.rules))


def compiled(node: Node, *, resource: bool) -> Validator:
    decl = declare(node, resource)
    return Validator(node, decl)


_OUT_OF_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


class _OutOfBudget(Exception):
    pass


@dataclass(slots=True)
class _Run:
    """One validation of an object."""

    remaining: int  # of what all rules may cost together
    found: list[Cause]
    passed: list[Cause]  # what an unchanged value is still let through with


class Validator:
    """The rules of a schema, compiled as objects ask for them."""

    def __init__(self, node: Node, decl: Decl | None):
        self.node, self._decl = node, decl

    def validate(
        self,
        value: Any,
        old: Any,
        path: str,
        correlation: Correlation | None = None,
        nearest: Correlation | None = None,
        warnings: list[str] | None = None,
    ) -> list[Cause]:
        """`correlation`: for ratcheting; None: every error counts. `warnings`: takes up those that do not."""
        found: list[Cause] = []
        run = _Run(RUN_COST_MAX, found, [])
        try:
            self._walk(value, old, path, correlation, nearest, run)
        except _OutOfBudget:
            pass
        if warnings is not None:
            warnings += [f"{cause.field}: {cause.message}" for cause in run.passed]
        return found

    @cached_property
    def _rules(self) -> list[Rule]:
        if self._decl is None or not self.node.rules:
            return []
        self._decl.node = self.node
        return compile_rules(self._decl)

    @cached_property
    def _properties(self) -> dict[str, Validator]:
        found = {}
        for name, inner in self.node.properties.items():
            if not has_rules(inner):
                continue
            decl = (self._decl.fields or {}).get(types.escape(name) or "") if self._decl is not None else None
            if decl is None and types.escape(name) is None:
                decl = declare(inner, inner.embedded)
            if decl is not None:
                found[name] = Validator(inner, decl)
        return found

    @cached_property
    def _element(self) -> Validator | None:
        inner = self.node.items or self.node.additional_node
        if inner is None or not has_rules(inner) or self._decl is None or self._decl.element is None:
            return None
        return Validator(inner, self._decl.element)

    def _walk(
        self,
        value: Any,
        old: Any,
        path: str,
        correlation: Correlation | None,
        nearest: Correlation | None,
        run: _Run,
    ) -> None:
        if value is None:
            return
        if self._rules:
            self._evaluate(value, old, path, correlation, nearest, run)
        if type(value) is list and self._element is not None:
            for index, item in enumerate(value):
                before = (
                    matching_item(self.node, old, item)
                    if self.node.list_type == "map" and type(old) is list
                    else None
                )
                below = correlation.index(index) if correlation is not None else None
                above = correlation if correlation is not None else nearest
                self._element._walk(item, before, f"{path}[{index}]", below, above, run)
        elif type(value) is dict:
            for key, item in value.items():
                validator = self._properties.get(key)
                place = f"{path}.{key}" if path else key
                if (
                    validator is None
                    and key not in self.node.properties
                    and self.node.additional_node is not None
                ):
                    validator, place = self._element, f"{path}[{key}]"
                if validator is not None:
                    before = old.get(key) if type(old) is dict else None
                    below = correlation.key(key) if correlation is not None else None
                    above = correlation if correlation is not None else nearest
                    if nearest is None and key in ("apiVersion", "kind"):
                        below = above = (
                            None  # the old ones were converted: whether they changed cannot be seen
                        )
                    validator._walk(item, before, place, below, above, run)

    def _evaluate(
        self,
        value: Any,
        old: Any,
        path: str,
        correlation: Correlation | None,
        nearest: Correlation | None,
        run: _Run,
    ) -> None:
        node, found = self.node, run.found
        if run.remaining <= 0:
            self._stop(found, path, _OUT_OF_BUDGET)
        self_value = to_cel(value, node)
        variables = {"self": self_value}
        if old is not None and any(rule.transition for rule in self._rules):
            variables["oldSelf"] = to_cel(old, node)
        for rule in self._rules:
            source, program = rule.source, rule.program
            if rule.problem:
                found.append(_cause(path, node.type, f"rule compile error: {rule.problem}"))
                continue
            optional = source.get("optionalOldSelf")
            if program is None or (rule.transition and old is None and not optional):
                continue
            given = variables
            if optional:
                given = {
                    "self": self_value,
                    "oldSelf": cel.OPTIONAL_NONE if old is None else cel.optional(variables.get("oldSelf")),
                }
            budget, failure, held = Budget(), None, None
            try:
                held = program.evaluate(given, budget)
            except cel.CelError as error:
                failure = error
            if budget.spent > run.remaining:
                self._stop(found, path, _OUT_OF_BUDGET)
            run.remaining -= budget.spent
            if failure is not None:
                self._failed(failure, rule, path, found)
                continue
            if held is True:
                continue
            at = f"{path}.{rule.path}" if path and rule.path else path or rule.path
            scope = correlation if correlation is not None else nearest
            into = run.passed if not rule.transition and scope is not None and scope.unchanged else found
            detail = self._message(rule, variables, run, into, at)
            into.append(_for_reason(source.get("reason"), at, value, node.type, detail))

    def _stop(self, found: list[Cause], path: str, why: str) -> NoReturn:
        found.append(_cause(path, self.node.type, why))
        raise _OutOfBudget

    def _failed(self, error: cel.CelError, rule: Rule, path: str, found: list[Cause]) -> None:
        text = str(error)
        if text.startswith("no such overload"):
            why = "call arguments did not match a supported operator, function or macro signature for rule"
            found.append(_cause(path, self.node.type, f"'{text}': {why}: {rule.text}"))
        elif text == TOO_COSTLY:
            why = "no further validation rules will be run due to call cost exceeds limit for rule"
            self._stop(found, path, f"'{text}': {why}: {rule.text}")
        else:
            found.append(_cause(path, self.node.type, f"{text} evaluating rule: {rule.text}"))

    def _message(
        self, rule: Rule, variables: dict[str, Any], run: _Run, found: list[Cause], path: str
    ) -> str:
        """Of `messageExpression`, unless it fails. `oldSelf` is never optional there, whatever its type says."""
        if rule.message is not None:
            budget, text = Budget(), ""
            try:
                made = rule.message.evaluate(variables, budget)
                text = made.strip() if isinstance(made, str) else ""
            except cel.CelError as error:  # Kubernetes logs it and falls back as well
                if str(error) == TOO_COSTLY and budget.spent <= run.remaining:
                    why = "no further validation rules will be run due to call cost exceeds limit for messageExpression"
                    self._stop(found, path, f"{why}: {quoted(rule.message.text)}")
            if budget.spent > run.remaining:
                why = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
                self._stop(found, path, why)
            run.remaining -= budget.spent
            if text and "\n" not in text and len(text.encode()) <= MESSAGE_BYTES_MAX:
                return text
        return (rule.source.get("message") or "").strip() or f"failed rule: {rule.source['rule'].strip()}"


def _cause(path: str, value: Any, text: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {quoted(value)}: {text}", path or NO_PATH)


def _for_reason(reason: str | None, path: str, value: Any, type_: str, detail: str) -> Cause:
    at = path or NO_PATH
    whole = type_ in ("object", "array")
    match reason:
        case "FieldValueForbidden":
            return Cause(reason, f"Forbidden: {detail}", at)
        case "FieldValueRequired":
            return Cause(reason, f"Required value: {detail}", at)
        case "FieldValueDuplicate":
            return Cause(reason, "Duplicate value" if whole else f"Duplicate value: {shown(value)}", at)
    return Cause(
        "FieldValueInvalid",
        f"Invalid value: {detail}" if whole else f"Invalid value: {shown(value)}: {detail}",
        at,
    )


def to_cel(value: Any, node: Node | None) -> Any:
    """A JSON value as expressions see it: dates and durations are such, numbers doubles, lists of type set and map know it."""
    if node is None or value is None or not _differs(node):
        return value
    if type(value) is dict:
        extra = node.additional_node
        return {
            key: to_cel(inner, node.properties.get(key) or extra)
            for key, inner in value.items()
            if inner is not None or not node.properties  # a field that is null is as good as absent
        }
    if type(value) is list:
        items = [to_cel(inner, node.items) for inner in value]
        if node.list_type == "set":
            return SetList(items)
        if node.list_type == "map":
            made = MapList(items)
            made.keys = node.map_keys
            return made
        return items
    if node.type == "number" and type(value) is int:
        return float(value)
    if type(value) is str and node.type == "string":
        try:
            match node.raw.get("format"):
                case "date":
                    return Timestamp.date(value)
                case "date-time":
                    return Timestamp.parse(value)
                case "duration":
                    nanos = formats.duration_nanos(value)
                    return value if nanos is None else Duration(nanos)
                case "byte":
                    import base64

                    return base64.b64decode(value)
        except ValueError:
            return value
    return value


def _differs(node: Node) -> bool:
    """Whether anything in the schema is not as JSON has it."""
    return node.any(
        lambda each: (
            each.type == "number"
            or each.nullable
            or each.list_type in ("set", "map")
            or each.raw.get("format") in _FORMATS
        )
    )
