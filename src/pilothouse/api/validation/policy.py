"""Budgets, priorities, runtime classes and leases: kinds with a handful of checks each."""

from __future__ import annotations

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata, resources, scheduling
from .conditions import conditions, count_or_percent
from .go_struct import as_go
from .validator import kind

# -- PodDisruptionBudget ---------------------------------------------------------------------------------------


def _budget(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        errors.invalid(
            "spec",
            as_go("policy.v1.PodDisruptionBudgetSpec", spec),
            "minAvailable and maxUnavailable cannot be both set",
        )
    for field in ("minAvailable", "maxUnavailable"):
        if spec.get(field) is not None:
            count_or_percent(errors, spec[field], f"spec.{field}")
    found = FieldErrors()
    metadata.label_selector(found, ((old or {}).get("spec") or {}).get("selector"), "")
    metadata.label_selector(errors, spec.get("selector"), "spec.selector", any_value=bool(found))
    unhealthy = spec.get("unhealthyPodEvictionPolicy")
    if unhealthy is not None and unhealthy not in ("AlwaysAllow", "IfHealthyBudget"):
        supported = ("AlwaysAllow", "IfHealthyBudget")
        errors.not_supported("spec.unhealthyPodEvictionPolicy", unhealthy, supported)


def _budget_status(errors: FieldErrors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    conditions(errors, status.get("conditions") or [], "status.conditions")
    for field in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        metadata.not_negative(errors, status.get(field), f"status.{field}")


# -- PriorityClass ---------------------------------------------------------------------------------------------

_USER_VALUE_MAX = 1_000_000_000
_SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_RESERVED = "priority class names with 'system-' prefix are reserved for system use only. error: "


def _priority_class(errors: FieldErrors, new: Object, old: Object | None) -> None:
    name, value = new["metadata"].get("name") or "", new.get("value") or 0
    if name.startswith("system-"):
        if name not in _SYSTEM:
            errors.forbidden("metadata.name", f"{_RESERVED}{name} is not a known system priority class")
        elif value != _SYSTEM[name]:
            why = f"value of {name} PriorityClass must be {_SYSTEM[name]}"
            errors.forbidden("metadata.name", _RESERVED + why)
        elif new.get("globalDefault"):
            why = f"globalDefault of {name} PriorityClass must be false"
            errors.forbidden("metadata.name", _RESERVED + why)
    elif value > _USER_VALUE_MAX:
        errors.forbidden("value", f"maximum allowed value of a user defined priority is {_USER_VALUE_MAX}")
    policy = new.get("preemptionPolicy")
    if policy is not None:
        errors.choice("preemptionPolicy", policy, ("PreemptLowerPriority", "Never"))


def _priority_class_change(errors: FieldErrors, new: Object, old: Object) -> None:
    if (new.get("value") or 0) != (old.get("value") or 0):
        errors.forbidden("value", "may not be changed in an update.")
    metadata.immutable(errors, new.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")


# -- RuntimeClass ----------------------------------------------------------------------------------------------


def _runtime_class(errors: FieldErrors, new: Object, old: Object | None) -> None:
    handler = new.get("handler") or ""
    if handler:
        errors.messages("handler", handler, names.dns1123_label(handler))
    else:
        errors.required("handler")
    overhead = new.get("overhead")
    if overhead is not None:
        resources.requirements(errors, {"limits": overhead.get("podFixed") or {}}, "overhead")
    rules = new.get("scheduling")
    if rules is not None:
        metadata.labels(errors, rules.get("nodeSelector"), "scheduling.nodeSelector")
        tolerations, path = rules.get("tolerations") or [], "scheduling.tolerations"
        scheduling.tolerations(errors, tolerations, path)
        keys = [[t.get(field) or "" for field in ("key", "operator", "value", "effect")] for t in tolerations]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                errors.duplicate(f"{path}[{index}]", as_go("core.v1.Toleration", tolerations[index]))


def _runtime_class_change(errors: FieldErrors, new: Object, old: Object) -> None:
    metadata.immutable(errors, new.get("handler"), old.get("handler"), "handler", type_="s")


# -- Lease -----------------------------------------------------------------------------------------------------


def _lease(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    duration, strategy = spec.get("leaseDurationSeconds"), spec.get("strategy")
    if duration is not None and duration <= 0:
        errors.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    metadata.not_negative(errors, spec.get("leaseTransitions"), "spec.leaseTransitions")
    if strategy is not None:
        path = "spec.strategy.strategy"
        if "/" in strategy:
            errors.messages(path, strategy, metadata.qualified_name(strategy))
        elif strategy != "OldestEmulationVersion":
            errors.not_supported(path, strategy, ("OldestEmulationVersion",))
    if spec.get("preferredHolder") and not strategy:
        errors.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined")


BUDGET = kind(
    _budget, "b", rule=names.path_segment, status=_budget_status, own_metadata=False, known_finalizers=False
)
PRIORITY_CLASS = kind(_priority_class, "ux", cluster=True, change=_priority_class_change)
RUNTIME_CLASS = kind(
    _runtime_class, "cbux", cluster=True, change=_runtime_class_change, known_finalizers=False
)
LEASE = kind(_lease, "ub", known_finalizers=False)
