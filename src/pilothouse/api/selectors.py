"""Label and field selectors, compiled once into functions (k8s.io/apimachinery/pkg/labels and pkg/fields).

A compiled label selector is `matches(labels) -> bool`. Field selectors work on what `field_values(kind, obj)`
extracts: the fields that 1.36 lets each kind be selected by.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .fielderrors import quoted
from .names import label_value, qualified_name
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
        number, bound = _integer(value or ""), _integer(self.values[0])
        if number is None or bound is None:
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

_TOKEN = re.compile(r"[ \t\r\n]*(!=|==|[=!(),<>]|[^ \t\r\n=!(),<>]+)")
_SPECIAL = frozenset(("!=", "==", "=", "!", "(", ")", ",", "<", ">", ""))
_OPERATOR_OF = {"=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt", "in": "in", "notin": "notin"}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_UNPARSED = "unable to parse requirement: "


class _Parser:
    """labels.Parser: a requirement is `key`, `!key`, `key op value` or `key in (a, b)`. "" is the token of the end."""

    def __init__(self, text: str):
        self._tokens, self._at = [*_TOKEN.findall(text), ""], 0

    def peek(self) -> str:
        return self._tokens[self._at]

    def next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def parse(self) -> tuple[Requirement, ...]:
        requirements: list[Requirement] = []
        expected = "expected: !, identifier, or 'end of string'"
        while requirements or self.peek():
            if self.peek() in _SPECIAL - {"!"}:
                raise SelectorError(f"found '{self.peek()}', {expected}")
            try:
                requirements.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"{_UNPARSED}{error}") from None
            if not (token := self.next()):
                break
            if token != ",":
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
            expected = "expected: identifier after ','"
        return tuple(requirements)

    def _requirement(self) -> Requirement:
        negated = self.peek() == "!"
        if negated:
            self.next()
        key = self.next()
        if key in _SPECIAL:
            raise SelectorError(f"found '{key}', expected: identifier")
        if errors := qualified_name(key):
            raise SelectorError(f"<nil>: Invalid value: {quoted(key)}: {'; '.join(errors)}")
        if negated:
            return Requirement(key, "!")
        if self.peek() in ("", ","):
            return Requirement(key, "exists")
        token = self.next()
        operator = _OPERATOR_OF.get(token)
        if operator is None:
            raise SelectorError(f"found '{token}', expected: in, notin, =, ==, !=, gt, lt")
        values = sorted(self._values()) if operator in ("in", "notin") else [self._value()]
        errors = []
        if operator in ("gt", "lt") and _integer(values[0]) is None:
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            errors.append(f"values[0]: Invalid value: {quoted(values[0])}: {why}")
        for index, value in enumerate(values):
            if wrong := label_value(value):
                errors.append(f"values[{index}][{key}]: Invalid value: {quoted(value)}: {'; '.join(wrong)}")
        if errors:
            raise SelectorError(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
        return Requirement(key, operator, tuple(values))

    def _value(self) -> str:
        if self.peek() in ("", ","):
            return ""
        if (value := self.next()) in _SPECIAL:
            raise SelectorError(f"found '{value}', expected: identifier")
        return value

    def _values(self) -> set[str]:
        if (token := self.next()) != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        values: set[str] = set()
        expected = "',', ')' or identifier"
        while True:
            token = self.next()
            if token == ")":  # `()`; after a value or a comma it is taken below
                return {""}
            if token == ",":
                if not values or self.peek() in (")", ","):
                    values.add("")
                if self.peek() == ")":
                    break
            elif token in _SPECIAL:
                raise SelectorError(f"found '{token}', expected: {expected}")
            else:
                values.add(token)
                if self.peek() == ")":
                    break
                if self.peek() != ",":
                    raise SelectorError(f"found '{self.peek()}', expected: ',' or ')'")
            expected = "',', or identifier"
        self.next()
        return values


def _integer(text: str) -> int | None:
    """As strconv.ParseInt reads it; None for what is no 64-bit number."""
    if not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if -(1 << 63) <= value < 1 << 63 else None


@functools.lru_cache(maxsize=1024)
def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Raises SelectorError."""
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


_ESCAPES = re.compile(r"\\(.?)|[,=]", re.DOTALL)


def parse_fields(text: str) -> tuple[FieldRequirement, ...]:
    """`status.phase=Running,spec.nodeName!=a`. Raises SelectorError."""
    found = []
    for part in sorted(_terms(text)):
        if not part:
            continue
        match = re.search(r"!=|==|=", part)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        operator = "!=" if match[0] == "!=" else "="
        found.append(FieldRequirement(part[: match.start()], operator, _unescaped(part[match.end() :])))
    return tuple(found)


def _terms(text: str) -> list[str]:
    """What stands between commas that no backslash stands before."""
    terms, start, escaped = [], 0, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ",":
            terms.append(text[start:position])
            start = position + 1
    return [*terms, text[start:]]


def _unescaped(value: str) -> str:
    def meant(match: re.Match[str]) -> str:
        if match[1] is None:
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(match[0])}")
        if match[1] not in ("\\", ",", "="):
            raise SelectorError(f"invalid field selector: invalid escape sequence: {match[0]}")
        return match[1]

    return _ESCAPES.sub(meant, value)


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
        "spec.host": _text("spec.nodeName"),  # from before v1
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
    "namespaces": {"status.phase": _text("status.phase")},
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
}
# events.k8s.io shows the same events with other names
_FIELDS["events.events.k8s.io"] = {
    **{f"regarding.{field}": _text(f"involvedObject.{field}") for field in _INVOLVED},
    "reportingController": _text("reportingComponent"),
    "reason": _text("reason"),
    "type": _text("type"),
}
_WITHOUT_NAMESPACE = frozenset(
    {
        "nodes",
        "namespaces",
        "certificatesigningrequests.certificates.k8s.io",
        "resourceslices.resource.k8s.io",
    }
)
_UNSUPPORTED = {
    "jobs.batch": 'field label "{}" not supported for Job',
    "resourceslices.resource.k8s.io": "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
}


def field_extractor(resource: str, field: str) -> Callable[[Object], str] | None:
    """How a field of this kind (`pods`, `jobs.batch`) is read; None when it cannot be selected by."""
    if field == "metadata.name" or (field == "metadata.namespace" and resource not in _WITHOUT_NAMESPACE):
        return _text(field)
    return _FIELDS.get(resource, {}).get(field)


def field_label_error(resource: str, field: str, custom: bool = False) -> str:
    """What Kubernetes says of a field that a kind cannot be selected by."""
    if custom or resource in _FIELDS:
        return _UNSUPPORTED.get(resource, "field label not supported: {}").format(field)
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def go_selector(selector: Object | None) -> str:
    """A LabelSelector as Go's protobuf types write themselves."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one['key']},Operator:{one['operator']},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
