"""What webhooks and admission policies match: rules of groups, versions, resources and operations."""

from __future__ import annotations

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION = ("IfNeeded", "Never")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")


def one_of(errors: FieldErrors, value: str | None, allowed: tuple[str, ...], path: str) -> None:
    """Absent is fine."""
    if value is not None and value not in allowed:
        errors.not_supported(path, value, allowed)


def rule(errors: FieldErrors, rule: Object, path: str) -> None:
    operations = _alone(errors, rule, "operations", "operations", path)
    for index, operation in enumerate(operations):
        one_of(errors, operation, _OPERATIONS, f"{path}.operations[{index}]")
    _alone(errors, rule, "apiGroups", "API groups", path)
    for index, version in enumerate(_alone(errors, rule, "apiVersions", "API versions", path)):
        if not version:
            errors.required(f"{path}.apiVersions[{index}]")
    _resources(errors, rule.get("resources") or [], f"{path}.resources")
    one_of(errors, rule.get("scope"), _SCOPES, f"{path}.scope")


def _alone(errors: FieldErrors, rule: Object, field: str, what: str, path: str) -> list[str]:
    """Required, and a `*` stands alone."""
    values: list[str] = rule.get(field) or []
    if not values:
        errors.required(f"{path}.{field}")
    elif "*" in values and len(values) > 1:
        errors.invalid(f"{path}.{field}", values, f"if '*' is present, must not specify other {what}")
    return values


def _resources(errors: FieldErrors, resources: list[str], path: str) -> None:
    if not resources:
        errors.required(path)
    whole: set[str] = set()  # the x of each x/*
    everywhere: set[str] = set()  # the y of each */y
    plain = False
    for index, resource in enumerate(resources):
        at = f"{path}[{index}]"
        if not resource:
            errors.required(at)
            continue
        name, slash, subresource = resource.partition("/")
        if not slash:
            plain = resource != "*"
            continue
        if name in whole:
            errors.invalid(at, resource, f"if '{name}/*' is present, must not specify {resource}")
        if subresource in everywhere:
            errors.invalid(at, resource, f"if '*/{subresource}' is present, must not specify {resource}")
        if subresource == "*":
            whole.add(name)
        if name == "*":
            everywhere.add(subresource)
    if len(resources) > 1 and "*/*" in resources:
        errors.invalid(path, resources, "if '*/*' is present, must not specify other resources")
    if "*" in resources and plain:
        why = "if '*' is present, must not specify other resources without subresources"
        errors.invalid(path, resources, why)


def match_resources(errors: FieldErrors, match: Object, path: str) -> None:
    """Of a policy or its binding: defaults have filled in what is required."""
    one_of(errors, match.get("matchPolicy"), MATCH_POLICIES, f"{path}.matchPolicy")
    for field in ("namespaceSelector", "objectSelector"):
        metadata.label_selector(errors, match.get(field), f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, each in enumerate(match.get(field) or ()):
            at, seen = f"{path}.{field}[{index}]", set()
            for number, name in enumerate(each.get("resourceNames") or ()):
                errors.messages(f"{at}.resourceNames[{number}]", name, names.path_segment(name))
                if name in seen:
                    errors.duplicate(f"{at}.resourceNames[{number}]", name)
                seen.add(name)
            rule(errors, each, at)
