"""Which nodes a pod's nodeSelector and node affinity allow (k8s.io/component-helpers/scheduling/corev1/nodeaffinity)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Labels = Mapping[str, str]


def node_matches(spec: Mapping[str, Any], name: str, labels: Labels) -> bool:
    """A pod's nodeSelector and required node affinity against one node."""
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return False
    required = _required(spec)
    return required is None or selector_matches(required, name, labels)


def _required(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return affinity.get("requiredDuringSchedulingIgnoredDuringExecution")


def selector_matches(selector: Mapping[str, Any], name: str, labels: Labels) -> bool:
    """A NodeSelector: one of its terms must match; without terms nothing does."""
    return any(term_matches(term, name, labels) for term in selector.get("nodeSelectorTerms") or ())


def term_matches(term: Mapping[str, Any], name: str, labels: Labels) -> bool:
    """All requirements of a term must hold; a term without any matches nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_holds(requirement, labels) for requirement in expressions) and all(
        _holds(requirement, {"metadata.name": name}) for requirement in fields
    )


def _holds(requirement: Mapping[str, Any], labels: Labels) -> bool:
    value = labels.get(requirement["key"])
    wanted: list[str] = requirement.get("values") or []
    match requirement.get("operator"):
        case "In":
            return value is not None and value in wanted
        case "NotIn":
            return value is None or value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                left, right = int(value or ""), int(wanted[0])
            except (ValueError, IndexError):
                return False
            return left > right if operator == "Gt" else left < right
    return False


def names_wanted(spec: Mapping[str, Any]) -> set[str] | None:
    """The node names that the affinity allows, when every term says so with `metadata.name In`; else None."""
    required = _required(spec)
    if required is None:
        return None
    names: set[str] = set()
    for term in required.get("nodeSelectorTerms") or ():
        of_term: set[str] | None = None
        for requirement in term.get("matchFields") or ():
            if requirement["key"] == "metadata.name" and requirement.get("operator") == "In":
                values = set(requirement.get("values") or ())
                of_term = values if of_term is None else of_term & values
        if of_term is None:
            return None
        names |= of_term
    return names
