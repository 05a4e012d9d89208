"""Label and field selectors, compiled once into functions (k8s.io/apimachinery/pkg/labels and pkg/fields).

A compiled label selector is `matches(labels) -> bool`. Field selectors work on what `field_values(kind, obj)`
extracts: the fields that 1.36 lets each kind be selected by.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .object import Object, get

Labels = Mapping[str, str]
Matcher = Callable[[Labels], bool]


class SelectorError(ValueError):
    """Not a selector; the message is Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """`operator`: in, notin, =, ==, !=, exists, !, gt, lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Labels) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        try:
            number, bound = int(value or ""), int(self.values[0])
        except ValueError:
            return False
        return number > bound if self.operator == "gt" else number < bound


def everything(labels: Labels) -> bool:
    return True


def nothing(labels: Labels) -> bool:
    return False


def matcher(requirements: tuple[Requirement, ...]) -> Matcher:
    """All of them must hold."""
    if not requirements:
        return everything
    if (
        len(requirements) == 1
        and requirements[0].operator in ("=", "==", "in")
        and len(requirements[0].values) == 1
    ):
        key, value = requirements[0].key, requirements[0].values[0]
        return lambda labels: labels.get(key) == value
    checks = [requirement.holds for requirement in requirements]
    return lambda labels: all(check(labels) for check in checks)


# -- LabelSelector objects -----------------------------------------------------------------------------

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_object(selector: Object | None) -> Matcher:
    """Of a `LabelSelector`: None selects nothing, an empty one everything. Raises SelectorError."""
    if selector is None:
        return nothing
    requirements = [
        Requirement(key, "in", (value,)) for key, value in (selector.get("matchLabels") or {}).items()
    ]
    for expression in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression.get("operator"))
        if operator is None:
            raise SelectorError(f'"{expression.get("operator")}" is not a valid label selector operator')
        requirements.append(Requirement(expression["key"], operator, tuple(expression.get("values") or ())))
    return matcher(tuple(requirements))


def from_map(labels: Mapping[str, str] | None) -> Matcher:
    """Of a plain map, as in a Service or a ReplicationController: an empty one selects nothing there."""
    if not labels:
        return nothing
    return matcher(tuple(Requirement(key, "in", (value,)) for key, value in labels.items()))


def format_object(selector: Object | None) -> str:
    """`metav1.FormatLabelSelector`: `app=web,tier in (a,b)`, `<none>` for an empty one, `<error>`."""
    if selector is None:
        return "<none>"
    try:
        text = to_string(selector)
    except SelectorError:
        return "<error>"
    return text or "<none>"


def to_string(selector: Object) -> str:
    """The text form of a LabelSelector, sorted by key."""
    parts: list[tuple[str, str]] = []
    for key, value in (selector.get("matchLabels") or {}).items():
        parts.append((key, f"{key}={value}"))
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
        match expression.get("operator"):
            case "In":
                parts.append((key, f"{key} in ({values})"))
            case "NotIn":
                parts.append((key, f"{key} notin ({values})"))
            case "Exists":
                parts.append((key, key))
            case "DoesNotExist":
                parts.append((key, f"!{key}"))
            case operator:
                raise SelectorError(f'"{operator}" is not a valid label selector operator')
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))


# -- label selectors as text ---------------------------------------------------------------------------

_TOKEN = re.compile(r"\s*(!=|==|=|!|\(|\)|,|<|>|[^\s=!(),<>]+)")
_EXPECTED_OPERATOR = "found '{0}', expected: in, notin, =, ==, !=, gt, lt"


def _tokens(text: str) -> list[str]:
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            break
        found.append(match[1])
        position = match.end()
    return found


_SPECIAL = {"!=", "==", "=", "!", "(", ")", ",", "<", ">"}


class _Parser:
    """labels.Parser: a requirement is `key`, `!key`, `key op value` or `key in (a, b)`."""

    def __init__(self, text: str):
        self._tokens, self._at = _tokens(text), 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def parse(self) -> tuple[Requirement, ...]:
        requirements: list[Requirement] = []
        if not self._tokens:
            return ()
        while True:
            token = self.peek()
            if (token in _SPECIAL and token != "!") or token == "":
                raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
            requirements.append(self._requirement())
            token = self.next()
            if token == "":
                return tuple(requirements)
            if token != ",":
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
            token = self.peek()
            if token == "" or (token in _SPECIAL and token != "!"):
                raise SelectorError(f"found '{token}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        negated = self.peek() == "!"
        if negated:
            self.next()
        key = self.next()
        if key in _SPECIAL or not key:
            raise SelectorError(f"found '{key}', expected: identifier")
        _check_key(key)
        if negated:
            return Requirement(key, "!")
        if self.peek() in ("", ","):
            return Requirement(key, "exists")
        operator = self.next()
        if operator in ("in", "notin"):
            return Requirement(key, operator, self._values())
        names = {"=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt", "gt": "gt", "lt": "lt"}
        if operator not in names:
            raise SelectorError(_EXPECTED_OPERATOR.format(operator))
        value = "" if self.peek() in ("", ",") else self.next()
        if value in _SPECIAL:
            raise SelectorError(f"found '{value}', expected: identifier")
        if operator in (">", "<", "gt", "lt"):
            try:
                int(value)
            except ValueError:
                raise SelectorError(
                    f"values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
                ) from None
        _check_value(key, value)
        return Requirement(key, names[operator], (value,))

    def _values(self) -> tuple[str, ...]:
        if (token := self.next()) != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        values: list[str] = []
        while True:
            token = self.next()
            if token == ")":
                values.append("")  # `()` and `(a,)`
                break
            if token == ",":
                values.append("")
                continue
            if token == "" or token in _SPECIAL:
                expected = "',', or identifier" if values else "',', ')' or identifier"
                raise SelectorError(f"found '{token}', expected: {expected}")
            values.append(token)
            following = self.next()
            if following == ")":
                break
            if following != ",":
                raise SelectorError(f"found '{following}', expected: ',' or ')'")
        return tuple(dict.fromkeys(values))


def _check_key(key: str) -> None:
    from .names import qualified_name

    if errors := qualified_name(key):
        raise SelectorError(f'<nil>: Invalid value: "{key}": {"; ".join(errors)}')


def _check_value(key: str, value: str) -> None:
    from .names import label_value

    if errors := label_value(value):
        raise SelectorError(f'values[0][{key}]: Invalid value: "{value}": {"; ".join(errors)}')


@functools.lru_cache(maxsize=1024)
def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Raises SelectorError: the message that follows `unable to parse requirement: `."""
    return _Parser(text).parse()


@functools.lru_cache(maxsize=1024)
def compile_labels(text: str) -> Matcher:
    """The function of a selector like `app=web,tier in (a,b),!old`. Raises SelectorError."""
    return matcher(parse_labels(text))


# -- field selectors -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    field: str
    operator: str  # = or !=
    value: str

    def holds(self, value: str) -> bool:
        return (value == self.value) == (self.operator == "=")


def _escaped_split(text: str) -> list[str]:
    parts, current, escaped = [], "", False
    for char in text:
        if escaped:
            current += "\\" + char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            parts.append(current)
            current = ""
        else:
            current += char
    return [*parts, current + ("\\" if escaped else "")]


def parse_fields(text: str) -> tuple[FieldRequirement, ...]:
    """`status.phase=Running,spec.nodeName!=a`. Raises SelectorError."""
    found = []
    for part in _escaped_split(text):
        if not part:
            continue
        match = re.match(r"((?:\\.|[^\\=!])*)(==|!=|=)(.*)", part, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{part}'; can't understand '{part}'")
        value = re.sub(r"\\([\\,=])", r"\1", match[3])
        found.append(FieldRequirement(match[1], "!=" if match[2] == "!=" else "=", value))
    return tuple(found)


def _flag(path: str) -> Callable[[Object], str]:
    return lambda obj: "true" if get(obj, path, False) else "false"


def _text(path: str) -> Callable[[Object], str]:
    return lambda obj: str(get(obj, path, "") or "")


def _number(path: str) -> Callable[[Object], str]:
    return lambda obj: str(get(obj, path, 0) or 0)


def _event_source(obj: Object) -> str:
    return str(get(obj, "source.component", "") or obj.get("reportingComponent") or "")


_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIELDS: dict[str, dict[str, Callable[[Object], str]]] = {
    "pods": {
        **{
            field: _text(field)
            for field in (
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            )
        },
        "spec.hostNetwork": _flag("spec.hostNetwork"),
        "status.podIPs": lambda obj: "",  # may be asked for, and is never known
    },
    "events": {
        **{f"involvedObject.{field}": _text(f"involvedObject.{field}") for field in _INVOLVED},
        "reason": _text("reason"),
        "reportingComponent": _text("reportingComponent"),
        "source": _event_source,
        "type": _text("type"),
    },
    "nodes": {"spec.unschedulable": _flag("spec.unschedulable")},
    "namespaces": {"status.phase": _text("status.phase"), "name": _text("metadata.name")},
    "secrets": {"type": _text("type")},
    "services": {"spec.clusterIP": _text("spec.clusterIP"), "spec.type": _text("spec.type")},
    "replicationcontrollers": {"status.replicas": _number("status.replicas")},
    "jobs.batch": {"status.successful": _number("status.succeeded")},
    "certificatesigningrequests.certificates.k8s.io": {"spec.signerName": _text("spec.signerName")},
    "podcertificaterequests.certificates.k8s.io": {
        "spec.signerName": _text("spec.signerName"),
        "spec.podName": _text("spec.podName"),
        "spec.nodeName": _text("spec.nodeName"),
    },
    "clustertrustbundles.certificates.k8s.io": {"spec.signerName": _text("spec.signerName")},
    "resourceslices.resource.k8s.io": {
        "spec.nodeName": _text("spec.nodeName"),
        "spec.driver": _text("spec.driver"),
    },
    "customresourcedefinitions.apiextensions.k8s.io": {},
}
# events.k8s.io shows the same events with other names
_ALIASES: dict[str, str] = {
    **{f"regarding.{field}": f"involvedObject.{field}" for field in _INVOLVED},
    "reportingController": "reportingComponent",
}


def field_extractor(resource: str, field: str, namespaced: bool) -> Callable[[Object], str] | None:
    """How a field of this kind (`pods`, `jobs.batch`) is read; None when it cannot be selected by."""
    if field == "metadata.name":
        return _text("metadata.name")
    if field == "metadata.namespace" and namespaced:
        return _text("metadata.namespace")
    own = _FIELDS.get("events" if resource == "events.events.k8s.io" else resource, {})
    if resource == "events.events.k8s.io":
        field = _ALIASES.get(field, field)
    return own.get(field)


def field_label_error(field: str) -> str:
    """What Kubernetes says of a field that a kind cannot be selected by."""
    return f"field label not supported: {field}"
