"""Taints and tolerations (k8s.io/component-helpers/scheduling/corev1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def tolerates(tolerations: Iterable[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Whether one of the tolerations covers this taint."""
    return any(tolerates_one(toleration, taint) for toleration in tolerations)


def tolerates_one(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """An empty effect covers every effect; an empty key with `Exists` covers every taint."""
    effect, key = toleration.get("effect"), toleration.get("key")
    if effect and effect != taint.get("effect"):
        return False
    if key and key != taint.get("key"):
        return False
    match toleration.get("operator") or "Equal":
        case "Exists":
            return True
        case "Equal":
            return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")
        case "Lt" | "Gt" as operator:  # KEP-5471
            try:
                ours, theirs = int(toleration.get("value") or ""), int(taint.get("value") or "")
            except ValueError:
                return False
            return theirs < ours if operator == "Lt" else theirs > ours
    return False
