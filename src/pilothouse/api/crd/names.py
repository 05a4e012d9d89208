"""The names that a definition is given in its group, and the conditions that say so (apiextensions' naming and establishing controllers)."""

from __future__ import annotations

from collections.abc import Iterable

from ..fielderrors import quoted
from ..object import Object

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_WORDS = {
    "plural": "Plural",
    "singular": "Singular",
    "shortNames": "ShortNames",
    "kind": "Kind",
    "listKind": "ListKind",
}


def settled(crd: Object, others: Iterable[Object], now: str) -> Object:
    """The status that a definition should have beside the others of its group; the same object where it has it."""
    status = crd.get("status") or {}
    spec, accepted = crd["spec"]["names"], dict(status.get("acceptedNames") or {})
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        taken = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {
            taken.get("plural") or "",
            taken.get("singular") or "",
            *(taken.get("shortNames") or ()),
        }
        kinds |= {taken.get("kind") or "", taken.get("listKind") or ""}
    conflict = ("", "")
    for name, word in _WORDS.items():
        wanted = spec.get(name)
        used = kinds if name in ("kind", "listKind") else resources
        fresh = (
            [wanted or ""]
            if name != "shortNames"
            else [s for s in wanted or () if s not in (accepted.get(name) or ())]
        )
        clashes = [one for one in fresh if one in used and one != accepted.get(name)]
        if clashes:
            text = ", ".join(f"{quoted(one)} is already in use" for one in clashes)
            conflict = (f"{word}Conflict", f"[{text}]" if len(clashes) > 1 else text)
        elif wanted:
            accepted[name] = wanted
        else:
            accepted.pop(name, None)
    if spec.get("categories"):
        accepted["categories"] = spec["categories"]
    else:
        accepted.pop("categories", None)
    conditions = list(status.get("conditions") or ())
    if conflict[0]:
        _set(conditions, "NamesAccepted", "False", *conflict, now)
        if not _is(conditions, "Established"):
            _set(conditions, "Established", "False", "NotAccepted", "not all names are accepted", now)
    else:
        _set(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
        if not _is(conditions, "Established"):
            _set(
                conditions,
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
                now,
            )
    return {**status, "acceptedNames": accepted, "conditions": conditions}


def terminating(status: Object, state: str, reason: str, message: str, now: str) -> Object:
    conditions = list(status.get("conditions") or ())
    _set(conditions, "Terminating", state, reason, message, now)
    return {**status, "conditions": conditions}


def approved(status: Object, state: str, why: str, now: str) -> Object:
    """KubernetesAPIApprovalPolicyConformant, of definitions in the project's own groups."""
    reasons = {
        "missing": "MissingAnnotation",
        "invalid": "InvalidAnnotation",
        "bypassed": "UnapprovedAnnotation",
        "approved": "ApprovedAnnotation",
    }
    conditions = list(status.get("conditions") or ())
    truth = "True" if state in ("approved",) else "False"
    _set(conditions, "KubernetesAPIApprovalPolicyConformant", truth, reasons[state], why, now)
    return {**status, "conditions": conditions}


def _is(conditions: list[Object], type_: str) -> bool:
    return any(c["type"] == type_ and c["status"] == "True" for c in conditions)


def _set(conditions: list[Object], type_: str, status: str, reason: str, message: str, now: str) -> None:
    for index, condition in enumerate(conditions):
        if condition["type"] == type_:
            since = now if condition["status"] != status else condition["lastTransitionTime"]
            conditions[index] = _condition(type_, status, reason, message, since)
            return
    conditions.append(_condition(type_, status, reason, message, now))


def _condition(type_: str, status: str, reason: str, message: str, since: str) -> Object:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }
