"""Where a pod may go: affinity, tolerations, topology spread, gates."""

from __future__ import annotations

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata
from .go_struct import as_go
from .metadata import label_value, qualified_name, same
from .node_selectors import node_selector, node_selector_term

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_NOT_SET = "must not be specified when labelSelector is not set"
_TERM = "core.v1.NodeSelectorTerm"
_WEIGHT = "must be in the range 1-100"


def affinity(errors: FieldErrors, value: Object, path: str) -> None:
    node = value.get("nodeAffinity")
    if node is not None:
        if node.get(_REQUIRED) is not None:
            node_selector(errors, node[_REQUIRED], f"{path}.nodeAffinity.{_REQUIRED}")
        for index, term in enumerate(node.get(_PREFERRED) or ()):
            at = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
            _weight(errors, term, at)
            node_selector_term(errors, term.get("preference") or {}, f"{at}.preference", any_value=True)
    for which in ("podAffinity", "podAntiAffinity"):
        part = value.get(which) or {}
        for index, term in enumerate(part.get(_REQUIRED) or ()):
            _pod_term(errors, term, f"{path}.{which}.{_REQUIRED}[{index}]")
        for index, term in enumerate(part.get(_PREFERRED) or ()):
            at = f"{path}.{which}.{_PREFERRED}[{index}]"
            _weight(errors, term, at)
            _pod_term(errors, term.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")


def _weight(errors: FieldErrors, term: Object, path: str) -> None:
    weight = term.get("weight") or 0
    if not 1 <= weight <= 100:
        errors.invalid(f"{path}.weight", weight, _WEIGHT)


def _pod_term(errors: FieldErrors, term: Object, path: str) -> None:
    metadata.label_selector(errors, term.get("labelSelector"), f"{path}.labelSelector")
    metadata.label_selector(errors, term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        errors.messages(f"{path}.namespace", name, names.dns1123_label(name))
    if term.get("matchLabelKeys") or term.get("mismatchLabelKeys"):
        _label_keys(errors, term, path)
    key = term.get("topologyKey") or ""
    if not key:
        errors.required(f"{path}.topologyKey", "can not be empty")
    errors.messages(f"{path}.topologyKey", key, qualified_name(key))


def _label_keys(errors: FieldErrors, term: Object, path: str) -> None:
    selector = term.get("labelSelector")
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        if term.get(field) and selector is None:
            errors.forbidden(f"{path}.{field}", _NOT_SET)
            continue
        for index, key in enumerate(term.get(field) or ()):
            errors.messages(f"{path}.{field}[{index}]", key, qualified_name(key))
    match = term.get("matchLabelKeys") or []
    _not_selected_twice(errors, match, selector, path)
    for index, key in enumerate(match):
        if key in (term.get("mismatchLabelKeys") or ()):
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.invalid(f"{path}.matchLabelKeys[{index}]", key, why)


def _not_selected_twice(errors: FieldErrors, keys: list[str], selector: Object | None, path: str) -> None:
    """The keys are in the selector already, by the merge on create: a second time is the client's own."""
    seen = set((selector or {}).get("matchLabels") or ())
    for expression in (selector or {}).get("matchExpressions") or ():
        key = expression.get("key") or ""
        if key in keys and key in seen:
            why = "exists in both matchLabelKeys and labelSelector"
            errors.invalid(f"{path}[{keys.index(key)}]", key, why)
        seen.add(key)


def topology_spread(errors: FieldErrors, constraints: list[Object], path: str) -> None:
    for index, constraint in enumerate(constraints):
        at, skew = f"{path}[{index}]", constraint.get("maxSkew") or 0
        key, when = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
        if skew <= 0:
            errors.invalid(f"{at}.maxSkew", skew, "must be greater than zero")
        if not key:
            errors.required(f"{at}.topologyKey", "can not be empty")
        if when not in _UNSATISFIABLE:
            errors.not_supported(f"{at}.whenUnsatisfiable", when, _UNSATISFIABLE)
        if any(
            (later.get("topologyKey") or "", later.get("whenUnsatisfiable") or "") == (key, when)
            for later in constraints[index + 1 :]
        ):
            errors.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {when}}}")
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                errors.invalid(f"{at}.minDomains", domains, "must be greater than zero")
            if when != "DoNotSchedule":
                why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
                errors.invalid(f"{at}.minDomains", domains, why)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(field) is not None and constraint[field] not in ("Honor", "Ignore"):
                errors.not_supported(f"{at}.{field}", constraint[field], ("Honor", "Ignore"))
        if constraint.get("matchLabelKeys"):
            _label_keys(errors, constraint, at)
        metadata.label_selector(errors, constraint.get("labelSelector"), f"{at}.labelSelector")


def tolerations(errors: FieldErrors, listed: list[Object], path: str) -> None:
    for index, toleration in enumerate(listed):
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        if key:
            problems = qualified_name(key)
            if problems:
                errors.messages(f"{path}[{index}].key", key, problems)
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.invalid(f"{path}[{index}].operator", operator, why)
        if effect != "NoExecute" and toleration.get("tolerationSeconds") is not None:
            why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.invalid(f"{path}[{index}].effect", effect, why)
        if operator in ("Equal", ""):
            if problems := label_value(value):
                errors.invalid(f"{path}[{index}].operator", value, ";".join(problems))
        elif operator == "Exists":
            if value:
                why = "value must be empty when `operator` is 'Exists'"
                errors.invalid(f"{path}[{index}].operator", value, why)
        else:  # Lt and Gt are an alpha feature (KEP-5471)
            known = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else ("Equal", "Exists")
            errors.not_supported(f"{path}[{index}].operator", operator, known)
        if effect and effect not in EFFECTS:
            errors.not_supported(f"{path}[{index}].effect", effect, EFFECTS)


def gates(errors: FieldErrors, listed: list[Object], path: str) -> None:
    seen = set()
    for index, gate in enumerate(listed):
        name = gate.get("name") or ""
        errors.messages(f"{path}[{index}]", name, qualified_name(name))
        if name in seen:
            errors.duplicate(f"{path}[{index}]", name)
        seen.add(name)


# -- updates -----------------------------------------------------------------------------------------------------------


def only_added_tolerations(errors: FieldErrors, new: list[Object], old: list[Object], path: str) -> None:
    def fixed(toleration: Object) -> Object:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    kept = [fixed(toleration) for toleration in new]
    if new != old and any(not any(same(fixed(one), other) for other in kept) for one in old):
        why = "existing toleration can not be modified except its tolerationSeconds"
        errors.forbidden(path, why)
        return
    tolerations(errors, new, path)


def only_removed_gates(errors: FieldErrors, new: list[Object], old: list[Object], path: str) -> None:
    known = {gate.get("name") for gate in old}
    for index, gate in enumerate(new):
        if gate.get("name") not in known:
            why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name') or ''}'"
            errors.forbidden(f"{path}[{index}].name", why)


def node_affinity_change(errors: FieldErrors, new: Object | None, old: Object | None, path: str) -> None:
    """Of a gated pod: its node affinity may become stricter (KEP-3838)."""
    old_terms = ((old or {}).get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    new_terms = ((new or {}).get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    at = f"{path}.{_REQUIRED}.nodeSelectorTerms"
    if not old_terms:
        return
    if len(old_terms) != len(new_terms):
        why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errors.invalid(at, [as_go(_TERM, term) for term in new_terms] or None, why)
        return
    for index, (term, before) in enumerate(zip(new_terms, old_terms, strict=True)):
        if not _only_additions(term, before):
            why = "only additions are allowed (no mutations or deletions)"
            errors.invalid(f"{at}[{index}]", as_go(_TERM, term), why)


def _only_additions(new: Object, old: Object) -> bool:
    fields = ("matchExpressions", "matchFields")
    if not any(old.get(f) for f in fields):
        return not any(new.get(f) for f in fields)
    return all(same((new.get(f) or [])[: len(old.get(f) or [])], old.get(f) or []) for f in fields)
