"""Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers; pod templates and controllers' revisions."""

from __future__ import annotations

import re
from typing import Any

from .. import names, selectors
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata, persistent_volumes, pods
from .go_struct import as_go
from .metadata import immutable, not_negative, same
from .validator import kind

_AMOUNT = re.compile(r"[0-9]+%|[+-]?[0-9]+")
_SELECTOR = "meta.v1.LabelSelector"
_NO_MATCH = "`selector` does not match template `labels`"
_MORE_THAN_REPLICAS = "cannot be greater than status.replicas"


# -- what they share ---------------------------------------------------------------------------------------------------


def selector(errors: FieldErrors, value: Object | None, path: str, empty: str) -> bool:
    """False: it cannot be used. `empty`: what is said of one that selects everything."""
    before = len(errors)
    if value is None:
        errors.required(path)
        return True
    metadata.label_selector(errors, value, path)
    usable = len(errors) == before
    if not value.get("matchLabels") and not value.get("matchExpressions"):
        errors.invalid(path, value, empty)
    return usable


def selects(errors: FieldErrors, chosen: Object | None, template: Object, path: str) -> None:
    """The selector must find the pods made from the template."""
    if chosen is not None and not chosen.get("matchLabels") and not chosen.get("matchExpressions"):
        return
    labels = (template.get("metadata") or {}).get("labels")
    if not selectors.from_object(chosen)(labels or {}):
        errors.invalid(f"{path}.metadata.labels", labels or ({} if errors.of_patch else None), _NO_MATCH)


def _always(errors: FieldErrors, template: Object, path: str, what: str) -> None:
    spec = template.get("spec") or {}
    policy = spec.get("restartPolicy") or ""
    if policy != "Always":
        errors.not_supported(f"{path}.spec.restartPolicy", policy, ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        why = f"activeDeadlineSeconds in {what} is not Supported"
        errors.forbidden(f"{path}.spec.activeDeadlineSeconds", why)


def _numbers(errors: FieldErrors, holder: Object, path: str, *fields: str) -> None:
    for field in fields:
        not_negative(errors, holder.get(field), f"{path}.{field}")


def number_or_percent(errors: FieldErrors, value: int | str | None, path: str) -> None:
    if isinstance(value, str):
        errors.messages(path, value, names.percent(value))
    else:
        not_negative(errors, value, path)


def amount(value: int | str | None) -> int:
    """A number, or the percentage's."""
    if not isinstance(value, str):
        return value or 0
    return int(value.removesuffix("%")) if _AMOUNT.fullmatch(value) else 0


def at_most_all(errors: FieldErrors, value: int | str | None, path: str) -> None:
    if isinstance(value, str) and value.endswith("%") and amount(value) > 100:
        errors.invalid(path, value, "must not be greater than 100%")


def _selector_change(errors: FieldErrors, new: Object, old: Object) -> None:
    now, was = (obj["spec"].get("selector") for obj in (new, old))
    immutable(errors, now, was, "spec.selector", type_=_SELECTOR)


def _status(counts: str, totals: tuple[tuple[str, str, str], ...] = (), *, collisions: bool = False) -> Any:
    """Counts that are not negative, none of them larger than another."""

    def check(errors: FieldErrors, new: Object, old: Object) -> None:
        status, before = new.get("status") or {}, old.get("status") or {}
        _numbers(errors, status, "status", *counts.split())
        for field, total, why in totals:
            if (status.get(field) or 0) > (status.get(total) or 0):
                errors.invalid(f"status.{field}", status.get(field) or 0, why)
        count, was = status.get("collisionCount"), before.get("collisionCount")
        if collisions and was is not None and (count is None or count < was):
            errors.invalid("status.collisionCount", count or 0, "cannot be decremented")

    return check


# -- Deployment, ReplicaSet, ReplicationController ---------------------------------------------------------------------


def _replicated_template(errors: FieldErrors, spec: Object, usable: bool, what: str, why: str) -> None:
    template, path = spec.get("template") or {}, "spec.template"
    if not usable:
        errors.invalid("spec.selector", as_go(_SELECTOR, spec.get("selector")), why)
        return
    selects(errors, spec.get("selector"), template, path)
    pods.template(errors, template, path)
    _always(errors, template, path, what)


def _deployment(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    spec = obj.get("spec") or {}
    _numbers(errors, spec, "spec", "replicas")
    usable = selector(errors, spec.get("selector"), "spec.selector", "empty selector is invalid for deployment")  # fmt: skip
    _replicated_template(errors, spec, usable, "ReplicaSet", "invalid label selector")
    _strategy(errors, spec.get("strategy") or {}, "spec.strategy")
    _numbers(errors, spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        errors.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _strategy(errors: FieldErrors, strategy: Object, path: str) -> None:
    type_, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if type_ == "Recreate":
        if rolling is not None:
            why = "may not be specified when strategy `type` is 'Recreate'"
            errors.forbidden(f"{path}.rollingUpdate", why)
    elif type_ != "RollingUpdate":
        errors.not_supported(
            path, as_go("apps.v1.DeploymentStrategy", strategy), ("Recreate", "RollingUpdate")
        )
    elif rolling is None:
        errors.required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")
    else:
        unavailable, surge, at = (
            rolling.get("maxUnavailable"),
            rolling.get("maxSurge"),
            f"{path}.rollingUpdate",
        )
        number_or_percent(errors, unavailable, f"{at}.maxUnavailable")
        number_or_percent(errors, surge, f"{at}.maxSurge")
        if amount(unavailable) == 0 and amount(surge) == 0:
            errors.invalid(f"{at}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
        at_most_all(errors, unavailable, f"{at}.maxUnavailable")


def _replica_set(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    spec = obj.get("spec") or {}
    _numbers(errors, spec, "spec", "replicas", "minReadySeconds")
    usable = selector(errors, spec.get("selector"), "spec.selector", "empty selector is invalid for deployment")  # fmt: skip
    _replicated_template(errors, spec, usable, "ReplicaSet", "invalid label selector")


def _replication_controller(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    spec, path = obj.get("spec") or {}, "spec.template"
    _numbers(errors, spec, "spec", "minReadySeconds")
    chosen, template = spec.get("selector"), spec.get("template")
    if not chosen:
        errors.required("spec.selector")
    _numbers(errors, spec, "spec", "replicas")
    if template is None:
        errors.required(path)
        return
    labels = (template.get("metadata") or {}).get("labels")
    if chosen and not selectors.from_map(chosen)(labels or {}):
        errors.invalid(f"{path}.metadata.labels", labels or ({} if errors.of_patch else None), _NO_MATCH)
    pods.template(errors, template, path)
    _always(errors, template, path, "ReplicationController")


_READY = (
    ("fullyLabeledReplicas", "replicas", _MORE_THAN_REPLICAS),
    ("readyReplicas", "replicas", _MORE_THAN_REPLICAS),
    ("availableReplicas", "replicas", _MORE_THAN_REPLICAS),
    ("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas"),
)


# -- StatefulSet -------------------------------------------------------------------------------------------------------


def _stateful_set(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    spec = obj.get("spec") or {}
    management, strategy = spec.get("podManagementPolicy"), spec.get("updateStrategy") or {}
    if not management:
        errors.required("spec.podManagementPolicy")
    elif management not in ("OrderedReady", "Parallel"):
        errors.invalid("spec.podManagementPolicy", management, "must be 'OrderedReady' or 'Parallel'")
    _stateful_strategy(errors, strategy, "spec.updateStrategy")
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        if retention.get(field) and retention[field] not in ("Retain", "Delete"):
            at = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
            errors.not_supported(at, retention[field], ("Retain", "Delete"))
    service = spec.get("serviceName")
    if old is None:  # neither may change
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            persistent_volumes.claim_spec(errors, claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")  # fmt: skip
    _numbers(errors, spec, "spec", "replicas", "minReadySeconds")
    _numbers(errors, spec.get("ordinals") or {}, "spec.ordinals", "start")
    if service and old is None:
        errors.messages("spec.serviceName", service, names.dns1123_label(service))
    usable = selector(errors, spec.get("selector"), "spec.selector", "empty selector is invalid for statefulset")  # fmt: skip
    template, path = spec.get("template") or {}, "spec.template"
    if not usable:
        errors.invalid("spec.selector", as_go(_SELECTOR, spec.get("selector")), "")
    else:
        selects(errors, spec.get("selector"), template, path)
        before = len(errors)
        pods.template(errors, _as_made(template, spec), path)
        if len(errors) > before:  # as Kubernetes does it, twice
            pods.template_metadata(errors, template, path)
    _always(errors, template, path, "StatefulSet")


def _stateful_strategy(errors: FieldErrors, strategy: Object, path: str) -> None:
    type_, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if not type_:
        errors.required(path)
    elif type_ == "OnDelete":
        if rolling is not None:
            why = "only allowed for updateStrategy 'RollingUpdate'"
            errors.invalid(
                f"{path}.rollingUpdate", as_go("apps.v1.RollingUpdateStatefulSetStrategy", rolling), why
            )
    elif type_ != "RollingUpdate":
        errors.invalid(
            path,
            as_go("apps.v1.StatefulSetUpdateStrategy", strategy),
            "must be 'RollingUpdate' or 'OnDelete'",
        )
    elif rolling is not None:
        _numbers(errors, rolling, f"{path}.rollingUpdate", "partition")
        unavailable, at = rolling.get("maxUnavailable"), f"{path}.rollingUpdate.maxUnavailable"
        if unavailable is not None:
            number_or_percent(errors, unavailable, at)
            if amount(unavailable) == 0:
                errors.invalid(at, unavailable, "cannot be 0")
            at_most_all(errors, unavailable, at)


def _as_made(template: Object, spec: Object) -> Object:
    """The template as its pods will be: with a volume for each claim, and the names that the controller gives them."""
    own = {k: v for k, v in (template.get("spec") or {}).items() if k not in ("hostname", "subdomain")}
    claims = [(claim.get("metadata") or {}).get("name") or "" for claim in spec.get("volumeClaimTemplates") or ()]  # fmt: skip
    if claims:
        volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(claims)]  # fmt: skip
        own["volumes"] = [*volumes, *(v for v in own.get("volumes") or () if v.get("name") not in claims)]
    return {**template, "spec": own}


_STATEFUL_MAY_CHANGE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def _stateful_change(errors: FieldErrors, new: Object, old: Object) -> None:
    spec, before = (
        {k: v for k, v in obj["spec"].items() if k not in _STATEFUL_MAY_CHANGE} for obj in (new, old)
    )
    if not same(spec, before, "apps.v1.StatefulSetSpec"):
        *fields, last = (f"'{field}'" for field in _STATEFUL_MAY_CHANGE)
        listed = f"{', '.join(fields)} and {last}"
        errors.forbidden("spec", f"updates to statefulset spec for fields other than {listed} are forbidden")


# -- DaemonSet ---------------------------------------------------------------------------------------------------------


def _daemon_set(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    spec, path = obj.get("spec") or {}, "spec.template"
    chosen, template = spec.get("selector"), spec.get("template") or {}
    before = len(errors)
    metadata.label_selector(errors, chosen, "spec.selector")
    if len(errors) == before:
        selects(errors, chosen, template, path)
    if chosen is not None and not chosen.get("matchLabels") and not chosen.get("matchExpressions"):
        errors.invalid("spec.selector", chosen, "empty selector is invalid for daemonset")
    pods.template(errors, template, path)
    _always(errors, template, path, "DaemonSet")
    _numbers(errors, spec, "spec", "minReadySeconds")
    _daemon_strategy(errors, spec.get("updateStrategy") or {}, "spec.updateStrategy")
    _numbers(errors, spec, "spec", "revisionHistoryLimit")


def _daemon_strategy(errors: FieldErrors, strategy: Object, path: str) -> None:
    type_, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if type_ == "OnDelete":
        return
    if type_ != "RollingUpdate":
        errors.not_supported(
            path, as_go("apps.v1.DaemonSetUpdateStrategy", strategy), ("RollingUpdate", "OnDelete")
        )
    elif rolling is None:
        errors.required(f"{path}.rollingUpdate")
    else:
        for check in (number_or_percent, at_most_all):
            for field in ("maxUnavailable", "maxSurge"):
                check(errors, rolling.get(field), f"{path}.rollingUpdate.{field}")
        unavailable, surge = amount(rolling.get("maxUnavailable")), amount(rolling.get("maxSurge"))
        if unavailable and surge:
            why = "may not be set when maxUnavailable is non-zero"
            errors.invalid(f"{path}.rollingUpdate.maxSurge", rolling["maxSurge"], why)
        elif not unavailable and not surge:
            why = "cannot be 0 when maxSurge is 0"
            errors.required(f"{path}.rollingUpdate.maxUnavailable", why)


# -- PodTemplate, ControllerRevision -----------------------------------------------------------------------------------


def _pod_template(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    pods.template(errors, obj.get("template") or {}, "template")


def _revision(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    not_negative(errors, obj.get("revision"), "revision")
    if old is not None:
        return
    if obj.get("data") is None:
        errors.required("data", "data is mandatory")
    elif not isinstance(obj["data"], dict):
        errors.required("data", "data must be a valid JSON object")


def _revision_change(errors: FieldErrors, new: Object, old: Object) -> None:
    immutable(errors, new.get("data"), old.get("data"), "data")


DEPLOYMENT = kind(
    _deployment,
    "ubx",
    change=_selector_change,
    status=_status(
        "observedGeneration replicas updatedReplicas readyReplicas availableReplicas unavailableReplicas terminatingReplicas collisionCount",
        (("updatedReplicas", "replicas", _MORE_THAN_REPLICAS), *_READY[1:]),
        collisions=True,
    ),
)
REPLICA_SET = kind(
    _replica_set,
    "ubx",
    change=_selector_change,
    status=_status(
        "replicas fullyLabeledReplicas readyReplicas availableReplicas observedGeneration terminatingReplicas",
        _READY,
    ),
)
STATEFUL_SET = kind(
    _stateful_set,
    "ubx",
    rule=names.dns1123_label,
    change=_stateful_change,
    status=_status(
        "replicas readyReplicas currentReplicas updatedReplicas availableReplicas observedGeneration collisionCount",
        (
            ("readyReplicas", "replicas", _MORE_THAN_REPLICAS),
            ("currentReplicas", "replicas", _MORE_THAN_REPLICAS),
            ("updatedReplicas", "replicas", _MORE_THAN_REPLICAS),
            ("availableReplicas", "replicas", _MORE_THAN_REPLICAS),
            ("availableReplicas", "readyReplicas", "cannot be greater than status.readyReplicas"),
        ),
        collisions=True,
    ),
)
DAEMON_SET = kind(
    _daemon_set,
    "uxb",
    change=_selector_change,
    status=_status(
        "currentNumberScheduled numberMisscheduled desiredNumberScheduled numberReady observedGeneration updatedNumberScheduled "
        "numberAvailable numberUnavailable collisionCount",
        collisions=True,
    ),
)
REPLICATION_CONTROLLER = kind(
    _replication_controller,
    "ub",
    status=_status(
        "replicas fullyLabeledReplicas readyReplicas availableReplicas observedGeneration", _READY
    ),
)
POD_TEMPLATE = kind(_pod_template, "ub")
REVISION = kind(_revision, "ucbx", change=_revision_change)
