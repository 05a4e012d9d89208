"""Roles and bindings."""

from __future__ import annotations

from collections.abc import Callable

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata
from .go_struct import as_go
from .validator import kind

GROUP = "rbac.authorization.k8s.io"
_SUBJECTS = ("ServiceAccount", "User", "Group")


def _rule(errors: FieldErrors, rule: Object, namespaced: bool, path: str) -> None:
    if not rule.get("verbs"):
        errors.required(f"{path}.verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            errors.invalid(
                f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs"
            )
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            errors.invalid(f"{path}.nonResourceURLs", urls, why)
        return
    if not rule.get("apiGroups"):
        errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        errors.required(f"{path}.resources", "resource rules must supply at least one resource")


def _role(errors: FieldErrors, new: Object, old: Object | None) -> None:
    for index, rule in enumerate(new.get("rules") or ()):
        _rule(errors, rule, True, f"rules[{index}]")


def _cluster_role(errors: FieldErrors, new: Object, old: Object | None) -> None:
    for index, rule in enumerate(new.get("rules") or ()):
        _rule(errors, rule, False, f"rules[{index}]")
    aggregation = new.get("aggregationRule")
    if aggregation is None:
        return
    selectors = aggregation.get("clusterRoleSelectors") or []
    path = "aggregationRule.clusterRoleSelectors"
    if not selectors:
        errors.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    found = FieldErrors()
    for selector in ((old or {}).get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        metadata.label_selector(found, selector, "")
    for index, selector in enumerate(selectors):
        metadata.label_selector(errors, selector, f"{path}[{index}]", any_value=bool(found))
        metadata.label_selector(strict := FieldErrors(), selector, "")
        if strict:
            errors.invalid(f"{path}[{index}]", None, "invalid label selector.")


def _binding(roles: tuple[str, ...]) -> Callable[[FieldErrors, Object, Object | None], None]:
    def check(errors: FieldErrors, new: Object, old: Object | None) -> None:
        reference = new.get("roleRef") or {}
        group, role, name = (reference.get(field) or "" for field in ("apiGroup", "kind", "name"))
        if group != GROUP:
            errors.not_supported("roleRef.apiGroup", group, (GROUP,))
        if role not in roles:
            errors.not_supported("roleRef.kind", role, roles)
        if not name:
            errors.required("roleRef.name")
        else:
            errors.messages("roleRef.name", name, names.path_segment(name))
        namespaced = len(roles) > 1
        for index, subject in enumerate(new.get("subjects") or ()):
            _subject(errors, subject, namespaced, f"subjects[{index}]")

    return check


def _subject(errors: FieldErrors, subject: Object, namespaced: bool, path: str) -> None:
    type_, name, group = (subject.get(field) or "" for field in ("kind", "name", "apiGroup"))
    if not name:
        errors.required(f"{path}.name")
    if type_ == "ServiceAccount":
        if name:
            errors.messages(f"{path}.name", name, names.dns1123_subdomain(name))
        if group:
            errors.not_supported(f"{path}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            errors.required(f"{path}.namespace")
    elif type_ in ("User", "Group"):
        if group != GROUP:
            errors.not_supported(f"{path}.apiGroup", group, (GROUP,))
    else:
        errors.not_supported(f"{path}.kind", type_, _SUBJECTS)


def _binding_change(errors: FieldErrors, new: Object, old: Object) -> None:
    if not metadata.same(new.get("roleRef"), old.get("roleRef")):
        errors.invalid("roleRef", as_go("rbac.v1.RoleRef", new.get("roleRef") or {}), "cannot change roleRef")


_any_name = names.path_segment
ROLE = kind(_role, "cbu", rule=_any_name)
CLUSTER_ROLE = kind(_cluster_role, "cbu", rule=_any_name, cluster=True)
ROLE_BINDING = kind(_binding(("Role", "ClusterRole")), "cbux", rule=_any_name, change=_binding_change)
CLUSTER_ROLE_BINDING = kind(
    _binding(("ClusterRole",)), "cbux", rule=_any_name, cluster=True, change=_binding_change
)
