"""FlowSchemas and PriorityLevelConfigurations."""

from __future__ import annotations

import math

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from .go_struct import as_go
from .metadata import same
from .validator import kind

_PRECEDENCE_MAX = 10000
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_QUEUES_MAX = 10_000_000
_HASH_BITS = 60
_KEEPS_ZERO = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"

_EVERYBODY = [{"kind": "Group", "group": {"name": f"system:{who}authenticated"}} for who in ("un", "")]
_EVERYTHING = {
    "resourceRules": [
        {
            "verbs": ["*"],
            "apiGroups": ["*"],
            "resources": ["*"],
            "clusterScope": True,
            "namespaces": ["*"],
        }
    ],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}
_FIXED_SCHEMAS: dict[str, Object] = {
    "exempt": {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": [{"subjects": [{"kind": "Group", "group": {"name": "system:masters"}}], **_EVERYTHING}],
    },
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": _EVERYBODY, **_EVERYTHING}],
    },
}
_SCHEMA_SPEC, _LEVEL_SPEC = "flowcontrol.v1.FlowSchemaSpec", "flowcontrol.v1.PriorityLevelConfigurationSpec"
_FIXED_LEVELS: dict[str, Object] = {
    "exempt": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    "catch-all": {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 5,
            "limitResponse": {"type": "Reject"},
            "lendablePercent": 0,
        },
    },
}


def _schema(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec, name = new.get("spec") or {}, new["metadata"].get("name") or ""
    precedence = spec.get("matchingPrecedence") or 0
    at = "spec.matchingPrecedence"
    if precedence <= 0:
        errors.invalid(at, precedence, "must be a positive value")
    if precedence > _PRECEDENCE_MAX:
        errors.invalid(at, precedence, f"must not be greater than {_PRECEDENCE_MAX}")
    if precedence == 1 and name != "exempt":
        errors.invalid(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        errors.not_supported(
            "spec.distinguisherMethod.type",
            as_go("flowcontrol.v1.FlowDistinguisherMethod", method),
            ("ByNamespace", "ByUser"),
        )
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    if level:
        errors.messages("spec.priorityLevelConfiguration.name", level, names.dns1123_subdomain(level))
    else:
        errors.required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    for index, rule in enumerate(spec.get("rules") or ()):
        _rule(errors, rule, f"spec.rules[{index}]")
    _unless_fixed(errors, _FIXED_SCHEMAS, _SCHEMA_SPEC, spec, name)
    _status(errors, new, new)


def _unless_fixed(errors: FieldErrors, fixed: dict[str, Object], type_: str, spec: Object, name: str) -> None:
    if name in fixed and not same(spec, fixed[name]):
        errors.invalid("spec", as_go(type_, spec), f"spec of '{name}' must equal the fixed value")


def _rule(errors: FieldErrors, rule: Object, path: str) -> None:
    if not rule.get("subjects"):
        errors.required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(rule.get("subjects") or ()):
        _subject(errors, subject, f"{path}.subjects[{index}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, each in enumerate(rule.get("resourceRules") or ()):
        _resource_rule(errors, each, f"{path}.resourceRules[{index}]")
    for index, each in enumerate(rule.get("nonResourceRules") or ()):
        _url_rule(errors, each, f"{path}.nonResourceRules[{index}]")


def _subject(errors: FieldErrors, subject: Object, path: str) -> None:
    type_ = subject.get("kind") or ""
    field = _SUBJECTS.get(type_)
    if field is None:
        errors.not_supported(f"{path}.kind", type_, tuple(_SUBJECTS))
        return
    value, at = subject.get(field), f"{path}.{field}"
    if value is None:
        errors.required(at, f"{field} is required when subject kind is '{type_}'")
    else:
        name, namespace = value.get("name") or "", value.get("namespace") or ""
        if not name:
            errors.required(f"{at}.name")
        elif field == "serviceAccount" and name != "*":
            errors.messages(f"{at}.name", name, names.dns1123_subdomain(name))
        if field == "serviceAccount":
            if namespace:
                errors.messages(f"{at}.namespace", namespace, names.dns1123_label(namespace))
            else:
                errors.required(f"{at}.namespace", "must specify namespace for service account")
    for other_kind, other in (("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")):
        if other != field and subject.get(other) is not None:
            why = f"{other} is forbidden when subject kind is not '{other_kind}'"
            errors.forbidden(f"{path}.{other}", why)


def _alone(errors: FieldErrors, rule: Object, field: str, what: str, path: str) -> bool:
    """A `*` stands alone. True: there is one."""
    values = rule.get(field) or []
    if "*" in values and len(values) > 1:
        errors.invalid(f"{path}.{field}", values, f"if '*' is present, must not specify other {what}")
    return "*" in values


def _verbs(errors: FieldErrors, rule: Object, path: str) -> None:
    verbs = rule.get("verbs") or []
    if not verbs:
        errors.required(f"{path}.verbs", "verbs must contain at least one value")
    elif not _alone(errors, rule, "verbs", "verbs", path) and not set(verbs) <= set(_VERBS):
        errors.not_supported(f"{path}.verbs", verbs, _VERBS)


def _resource_rule(errors: FieldErrors, rule: Object, path: str) -> None:
    _verbs(errors, rule, path)
    for field, one, many in (
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ):
        if not rule.get(field):
            errors.required(f"{path}.{field}", f"resource rules must supply at least one {one}")
        else:
            _alone(errors, rule, field, many, path)
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        why = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.required(f"{path}.namespaces", why)
    elif not _alone(errors, rule, "namespaces", "namespaces", path):
        for index, namespace in enumerate(namespaces):
            for problem in names.dns1123_label(namespace):
                why = f"each member of this list must be '*' or a DNS-1123 label; {problem}"
                errors.invalid(f"{path}.namespaces[{index}]", namespace, why)


def _url_rule(errors: FieldErrors, rule: Object, path: str) -> None:
    _verbs(errors, rule, path)
    urls = rule.get("nonResourceURLs") or []
    if not urls:
        errors.required(f"{path}.nonResourceURLs", "nonResourceURLs must contain at least one value")
    elif not _alone(errors, rule, "nonResourceURLs", "non-resource URLs", path):
        for index, url in enumerate(urls):
            if problem := _url_problem(url):
                errors.invalid(f"{path}.nonResourceURLs[{index}]", url, problem)


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    if url.count("*") > 1 or ("*" in url and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def _status(errors: FieldErrors, new: Object, old: Object) -> None:
    seen: set[str] = set()
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        at, type_ = f"status.conditions[{index}]", condition.get("type") or ""
        if type_ in seen:
            errors.duplicate(f"{at}.type", type_)
        seen.add(type_)
        if not type_:
            errors.required(f"{at}.type")


# -- PriorityLevelConfiguration --------------------------------------------------------------------------------


def _level(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec, name = new.get("spec") or {}, new["metadata"].get("name") or ""
    type_, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    if _KEEPS_ZERO in (new["metadata"].get("annotations") or {}):
        errors.forbidden("metadata.annotations", f"annotation '{_KEEPS_ZERO}' is forbidden")
    if (name == "exempt") != (type_ == "Exempt"):
        errors.invalid("spec.type", type_, "must be 'Exempt' if and only if `name` is 'exempt'")
    if type_ == "Exempt":
        if limited is not None:
            errors.forbidden("spec.limited", "must be nil if the type is not Limited")
        if exempt is not None:
            _shares(errors, exempt, "spec.exempt")
    elif type_ == "Limited":
        if exempt is not None:
            errors.forbidden("spec.exempt", "must be nil if the type is Limited")
        if limited is None:
            errors.required("spec.limited", "must not be empty when type is Limited")
        else:
            _limited(errors, limited, "spec.limited")
    else:
        errors.not_supported("spec.type", type_, ("Exempt", "Limited"))
    if name == "exempt":  # its shares are the administrator's to choose
        if type_ != "Exempt" or limited is not None:
            why = f"spec of '{name}' except the 'spec.exempt' field must equal the fixed value"
            errors.invalid("spec", as_go(_LEVEL_SPEC, spec), why)
    else:
        _unless_fixed(errors, _FIXED_LEVELS, _LEVEL_SPEC, spec, name)
    _status(errors, new, new)


def _shares(errors: FieldErrors, limited: Object, path: str) -> None:
    shares, lendable = limited.get("nominalConcurrencyShares"), limited.get("lendablePercent")
    if shares is not None and shares < 0:
        errors.invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    if lendable is not None:
        problems = names.in_range(lendable, 0, 100)
        errors.messages(f"{path}.lendablePercent", lendable, problems)


def _limited(errors: FieldErrors, limited: Object, path: str) -> None:
    shares, lendable = limited.get("nominalConcurrencyShares"), limited.get("lendablePercent")
    if shares is not None and shares < 0:
        errors.invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    response = limited.get("limitResponse") or {}
    type_, queuing, at = response.get("type") or "", response.get("queuing"), f"{path}.limitResponse"
    if type_ == "Reject":
        if queuing is not None:
            why = "must be nil if limited.limitResponse.type is not Limited"
            errors.forbidden(f"{at}.queuing", why)
    elif type_ == "Queue":
        if queuing is None:
            why = "must not be empty if limited.limitResponse.type is Limited"
            errors.required(f"{at}.queuing", why)
        else:
            _queuing(errors, queuing, f"{at}.queuing")
    else:
        errors.not_supported(f"{at}.type", type_, ("Queue", "Reject"))
    if lendable is not None:
        errors.messages(f"{path}.lendablePercent", lendable, names.in_range(lendable, 0, 100))
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        why = "if specified, must be a non-negative integer"
        errors.invalid(f"{path}.borrowingLimitPercent", borrowing, why)


def _queuing(errors: FieldErrors, queuing: Object, path: str) -> None:
    length, queues, hand = (queuing.get(f) or 0 for f in ("queueLengthLimit", "queues", "handSize"))
    if length <= 0:
        errors.invalid(f"{path}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        errors.invalid(f"{path}.queues", queues, "must be positive")
    elif queues > _QUEUES_MAX:
        errors.invalid(f"{path}.queues", queues, f"must not be greater than {_QUEUES_MAX}")
    if hand <= 0:
        errors.invalid(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        errors.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        why = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        errors.invalid(f"{path}.handSize", hand, why)


SCHEMA = kind(_schema, "cb", cluster=True, status=_status)
LEVEL = kind(_level, "cb", cluster=True, status=_status)
