"""Jobs and CronJobs."""

from __future__ import annotations

import re

from .. import cron, names
from ..fielderrors import OMIT, FieldErrors
from ..object import Object
from . import job_status, metadata, pods
from .go_struct import as_go
from .metadata import immutable, not_negative, qualified_name, same
from .validator import kind
from .workloads import selects

_INDEXED_PARALLELISM_MAX, _COMPLETIONS_SOFT_MAX, _HIGH_COMPLETIONS_MAX = 100_000, 100_000, 10_000
_RULES_MAX, _CODES_MAX, _INDEXES_LENGTH_MAX = 20, 255, 64 << 10
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_HTTP_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_OWN_LABELS = ("controller-uid", "job-name")
_PREFIX = "batch.kubernetes.io/"


# -- Job ---------------------------------------------------------------------------------------------------------------


def _job(errors: FieldErrors, job: Object, old: Object | None) -> None:
    spec = job.get("spec") or {}
    if not spec.get("manualSelector") and spec.get("selector") is not None:
        _generated_selector(errors, job, spec)
    _job_spec(errors, spec)
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        last = f"{job['metadata'].get('name') or ''}-{completions - 1}"
        if names.dns1123_label(last):
            why = f"will not able to create pod with invalid DNS label: {last}"
            errors.invalid("metadata.name", job["metadata"].get("name") or "", why)


def _job_spec(errors: FieldErrors, spec: Object) -> None:
    _spec(errors, spec, "spec")
    before = len(errors)
    if spec.get("selector") is None:
        errors.required("spec.selector")
    else:
        metadata.label_selector(errors, spec["selector"], "spec.selector")
    if len(errors) == before or spec.get("selector") is None:
        template = spec.get("template") or {}
        selects(errors, spec.get("selector"), template, "spec.template")


def _generated_selector(errors: FieldErrors, job: Object, spec: Object) -> None:
    """The labels that the registry has set, and a selector that finds them."""
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    own = (job["metadata"].get("uid") or "", job["metadata"].get("name") or "")
    expected = {f"{p}{label}": value for p in ("", _PREFIX) for label, value in zip(_OWN_LABELS, own, strict=True)}  # fmt: skip
    for label, value in expected.items():
        at = f"spec.template.metadata.labels[{label}]"
        if label not in labels:
            errors.required(at, f"must be '{value}'")
        elif labels[label] != value:
            errors.invalid(at, labels, f"must be '{value}'")
    found = FieldErrors()
    metadata.label_selector(found, spec["selector"], "")
    if not found:
        selects(found, spec["selector"], {"metadata": {"labels": expected}}, "")
        if found:
            errors.invalid("spec.selector", spec["selector"], "`selector` not auto-generated")


def _spec(errors: FieldErrors, spec: Object, path: str) -> None:
    for field in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        not_negative(errors, spec.get(field), f"{path}.{field}")
    per_index, failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if failed is not None and per_index is None:
        errors.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec.get("managedBy") is not None:
        _managed_by(errors, spec["managedBy"], f"{path}.managedBy")
    mode, indexed = spec.get("completionMode"), spec.get("completionMode") == "Indexed"
    if mode is not None and mode not in ("NonIndexed", "Indexed"):
        errors.not_supported(f"{path}.completionMode", mode, ("NonIndexed", "Indexed"))
    if indexed:
        _indexed(errors, spec, path)
    for field, value in (("backoffLimitPerIndex", per_index), ("maxFailedIndexes", failed)):
        if value is not None and mode in (None, "NonIndexed"):
            errors.invalid(f"{path}.{field}", value, "requires indexed completion mode")
    if spec.get("podFailurePolicy") is not None:
        _failure_policy(errors, spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        if not indexed:
            shown = as_go("batch.v1.SuccessPolicy", spec["successPolicy"])
            errors.invalid(f"{path}.successPolicy", shown, "requires indexed completion mode")
        else:
            _success_policy(errors, spec, f"{path}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    if replacement is not None and replacement not in allowed:
        errors.not_supported(f"{path}.podReplacementPolicy", replacement, allowed)
    template = spec.get("template") or {}
    pods.template(errors, template, f"{path}.template")
    policy, at = (template.get("spec") or {}).get("restartPolicy"), f"{path}.template.spec.restartPolicy"
    if policy in (None, "", "Always"):
        errors.required(at, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        errors.not_supported(at, policy, ("OnFailure", "Never"))
    elif policy != "Never" and spec.get("podFailurePolicy") is not None:
        errors.invalid(at, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _managed_by(errors: FieldErrors, value: str, path: str) -> None:
    domain, slash, rest = value.partition("/")
    if not value:
        errors.required(path)
    elif not slash or not domain or not rest:
        errors.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        errors.messages(path, domain, names.dns1123_subdomain(domain))
        if not _HTTP_PATH.fullmatch(rest):
            errors.invalid(path, rest, f"Invalid path (regex used for validation is '{_HTTP_PATH.pattern}')")
    if len(value) > 63:
        errors.too_long(path, 63)


def _indexed(errors: FieldErrors, spec: Object, path: str) -> None:
    completions, parallelism = spec.get("completions"), spec.get("parallelism") or 0
    failed, per_index = spec.get("maxFailedIndexes"), spec.get("backoffLimitPerIndex")
    if completions is None:
        errors.required(f"{path}.completions", "when completion mode is Indexed")
    if parallelism > _INDEXED_PARALLELISM_MAX:
        why = f"must be less than or equal to {_INDEXED_PARALLELISM_MAX} when completion mode is Indexed"
        errors.invalid(f"{path}.parallelism", parallelism, why)
    if completions is not None and failed is not None and failed > completions:
        errors.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > _INDEXED_PARALLELISM_MAX:
        why = f"must be less than or equal to {_INDEXED_PARALLELISM_MAX}"
        errors.invalid(f"{path}.maxFailedIndexes", failed, why)
    if (completions or 0) > _COMPLETIONS_SOFT_MAX and per_index is not None:
        why = f"must be less than or equal to {_HIGH_COMPLETIONS_MAX} when completions are above {_COMPLETIONS_SOFT_MAX} and used with backoff limit per index"
        if failed is None:
            needed = f"must be specified when completions is above {_COMPLETIONS_SOFT_MAX}"
            errors.required(f"{path}.maxFailedIndexes", needed)
        if parallelism > _HIGH_COMPLETIONS_MAX:
            errors.invalid(f"{path}.parallelism", parallelism, why)
        if failed is not None and failed > _HIGH_COMPLETIONS_MAX:
            errors.invalid(f"{path}.maxFailedIndexes", failed, why)


def _failure_policy(errors: FieldErrors, spec: Object, path: str) -> None:
    rules, own = spec["podFailurePolicy"].get("rules") or [], (spec.get("template") or {}).get("spec") or {}
    known = {c.get("name") for f in ("containers", "initContainers") for c in own.get(f) or ()}
    if len(rules) > _RULES_MAX:
        errors.too_many(f"{path}.rules", len(rules), _RULES_MAX)
    for index, rule in enumerate(rules):
        at, action = f"{path}.rules[{index}]", rule.get("action") or ""
        if not action:
            errors.required(
                f"{at}.action", f"valid values: {list(_ACTIONS)}".replace("'", '"').replace(",", "")
            )
        elif action == "FailIndex":
            if spec.get("backoffLimitPerIndex") is None:
                errors.invalid(f"{at}.action", action, "requires the backoffLimitPerIndex to be set")
        elif action not in _ACTIONS:
            errors.not_supported(f"{at}.action", action, _ACTIONS)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None:
            _exit_codes(errors, codes, f"{at}.onExitCodes", known)
        if len(conditions or ()) > _RULES_MAX:
            errors.too_many(f"{at}.onPodConditions", len(conditions), _RULES_MAX)
        for number, condition in enumerate(conditions or ()):
            _condition(errors, condition, f"{at}.onPodConditions[{number}]")
        if codes is not None and conditions:
            errors.invalid(at, OMIT, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not conditions:
            errors.invalid(at, OMIT, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_codes(errors: FieldErrors, codes: Object, path: str, known: set[str | None]) -> None:
    operator, values = codes.get("operator") or "", codes.get("values") or []
    if not operator:
        errors.required(f"{path}.operator", 'valid values: ["In" "NotIn"]')
    elif operator not in ("In", "NotIn"):
        errors.not_supported(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in known:
        why = "must be one of the container or initContainer names in the pod template"
        errors.invalid(f"{path}.containerName", name, why)
    if not values:
        errors.invalid(f"{path}.values", values, "at least one value is required")
    elif len(values) > _CODES_MAX:
        errors.too_many(f"{path}.values", len(values), _CODES_MAX)
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            errors.duplicate(f"{path}.values[{index}]", value)
    if values != sorted(values):
        errors.invalid(f"{path}.values", values, "must be ordered")


def _condition(errors: FieldErrors, condition: Object, path: str) -> None:
    type_, status, statuses = (
        condition.get("type") or "",
        condition.get("status") or "",
        ("False", "True", "Unknown"),
    )
    errors.messages(f"{path}.type", type_, qualified_name(type_))
    if not status:
        errors.required(f"{path}.status", 'valid values: ["False" "True" "Unknown"]')
    elif status not in statuses:
        errors.not_supported(f"{path}.status", status, statuses)


def _success_policy(errors: FieldErrors, spec: Object, path: str) -> None:
    rules, completions = spec["successPolicy"].get("rules") or [], spec.get("completions") or 0
    if not rules:
        why = "at least one rules must be specified when the successPolicy is specified"
        errors.required(f"{path}.rules", why)
    if len(rules) > _RULES_MAX:
        errors.too_many(f"{path}.rules", len(rules), _RULES_MAX)
    for index, rule in enumerate(rules):
        at, count, indexes = (
            f"{path}.rules[{index}]",
            rule.get("succeededCount"),
            rule.get("succeededIndexes"),
        )
        if count is None and indexes is None:
            why = "at least one of succeededCount or succeededIndexes must be specified"
            errors.required(at, why)
        total = 0
        if indexes is not None:
            if len(indexes) > _INDEXES_LENGTH_MAX:
                errors.too_long(f"{at}.succeededIndexes", _INDEXES_LENGTH_MAX)
            try:
                total = job_status.count_indexes(indexes, completions)
            except ValueError as error:
                why = f"error parsing succeededIndexes: {error}"
                errors.invalid(f"{at}.succeededIndexes", indexes, why)
        if count is not None:
            not_negative(errors, count, f"{at}.succeededCount")
            most = "must be less than or equal to"
            if count > completions:
                why = f"{most} {completions} (the number of specified completions)"
                errors.invalid(f"{at}.succeededCount", count, why)
            if indexes is not None and count > total:
                why = f"{most} {total} (the number of indexes in the specified succeededIndexes field)"
                errors.invalid(f"{at}.succeededCount", count, why)


_FIXED_LATER = {
    "completionMode": "s",
    "podFailurePolicy": "batch.v1.PodFailurePolicy",
    "backoffLimitPerIndex": "i32",
    "managedBy": "s",
    "successPolicy": "batch.v1.SuccessPolicy",
}


def _job_change(errors: FieldErrors, new: Object, old: Object) -> None:
    spec, before = new["spec"], old["spec"]
    if errors:  # a second time, and found what it found the first
        _job_spec(errors, spec)
    completions, was = spec.get("completions"), before.get("completions")
    if spec.get("completionMode") != "Indexed":
        immutable(errors, completions, was, "spec.completions")
    elif completions not in (was, None, spec.get("parallelism")):
        why = "can only be modified in tandem with spec.parallelism"
        errors.invalid("spec.completions", completions, why)
    now, was = spec.get("selector"), before.get("selector")
    immutable(errors, now, was, "spec.selector", type_="meta.v1.LabelSelector")
    _template_change(errors, spec, before, old)
    for field, type_ in _FIXED_LATER.items():  # pointers, all of them
        if not same({field: spec.get(field)}, {field: before.get(field)}, "batch.v1.JobSpec"):
            errors.invalid(f"spec.{field}", as_go(type_, spec.get(field)), metadata.IMMUTABLE)


def _template_change(errors: FieldErrors, spec: Object, before: Object, old: Object) -> None:
    """Of a job that is suspended and has no pods, where they go and what they ask for may change (KEP-2926, KEP-5440)."""
    template, was = spec.get("template") or {}, before.get("template") or {}
    status = old.get("status") or {}
    started = status.get("startTime") and "Suspended" not in job_status.true_conditions(status)
    if not before.get("suspend") or started or status.get("active"):
        immutable(errors, template, was, "spec.template", type_="core.v1.PodTemplateSpec")
        return
    own, own_before = dict(template.get("spec") or {}), dict(was.get("spec") or {})
    for field in ("nodeSelector", "tolerations", "schedulingGates"):
        own_before[field] = own.get(field)
    node = (own.get("affinity") or {}).get("nodeAffinity")
    affinity = {**(own_before.get("affinity") or {}), "nodeAffinity": node}
    own_before["affinity"] = affinity if any(v is not None for v in affinity.values()) else None
    for field in ("containers", "initContainers"):
        now = own.get(field) or []
        if len(now) == len(own_before.get(field) or ()):
            own_before[field] = [
                {**c, "resources": n.get("resources")} if c.get("name") == n.get("name") else c
                for c, n in zip(own_before.get(field) or (), now, strict=True)
            ]
    if not same(own, own_before):
        errors.invalid("spec.template.spec", as_go("core.v1.PodSpec", own), metadata.IMMUTABLE)


# -- CronJob -----------------------------------------------------------------------------------------------------------


def _cron_job(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    spec, name = obj.get("spec") or {}, obj["metadata"].get("name") or ""
    schedule, zone = spec.get("schedule") or "", spec.get("timeZone")
    if not schedule:
        errors.required("spec.schedule")
    else:
        if wrong := cron.problem(schedule):
            errors.invalid("spec.schedule", schedule, wrong)
        had_zone = old is not None and "TZ" in ((old.get("spec") or {}).get("schedule") or "")
        if "TZ" in schedule and had_zone and zone is not None:
            why = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            errors.invalid("spec.schedule", schedule, why)
        elif "TZ" in schedule and not had_zone:
            why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.invalid("spec.schedule", schedule, why)
    not_negative(errors, spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
    if zone is not None and (old is None or zone != (old.get("spec") or {}).get("timeZone")):
        _time_zone(errors, zone, "spec.timeZone")
    errors.choice("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    template, path = (spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec"
    _spec(errors, template, path)
    if template.get("selector") is not None:
        errors.invalid(f"{path}.selector", template["selector"], "`selector` will be auto-generated")
    if template.get("manualSelector"):
        errors.not_supported(f"{path}.manualSelector", True, ("nil", "false"))
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        not_negative(errors, spec.get(field), f"spec.{field}")
    if old is None and len(name) > 52:  # a Job's name has 11 more
        errors.invalid("metadata.name", name, names.too_long(52))


def _time_zone(errors: FieldErrors, zone: str, path: str) -> None:
    if not zone:
        errors.invalid(path, zone, "timeZone must be nil or non-empty string")
        return
    if zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.invalid(path, zone, why)
    if zone != "Local" and (wrong := cron.zone_name_problem(zone)):
        errors.invalid(path, zone, wrong)


JOB = kind(_job, "cbux", change=_job_change, status=job_status.check)
CRON_JOB = kind(_cron_job, "ub")
