"""Validating and mutating admission policies, and their bindings."""

from __future__ import annotations

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata
from .conditions import conditions
from .expressions import Problems, match_conditions, problems_of, report, variables
from .go_struct import as_go
from .match_rules import FAILURE_POLICIES, REINVOCATION, match_resources, one_of
from .validator import kind

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS = ("Audit", "Deny", "Warn")
_ANNOTATIONS_MAX = 20
_VALUE_LENGTH_MAX = 5 * 1024
_SOMETHING = "validations or auditAnnotations must contain at least one item"


def _common(errors: FieldErrors, spec: Object, before: Object | None, *, mutating: bool = False) -> Problems:
    problems = problems_of(spec, "spec")
    one_of(errors, spec.get("failurePolicy"), FAILURE_POLICIES, "spec.failurePolicy")
    if spec.get("paramKind") is not None:
        _param_kind(errors, spec["paramKind"], "spec.paramKind")
    constraints, path = spec.get("matchConstraints"), "spec.matchConstraints"
    if constraints is None:
        errors.required(path)
    else:
        match_resources(errors, constraints, path)
        if not constraints.get("resourceRules"):
            errors.required(f"{path}.resourceRules")
        if mutating:
            _operations(errors, spec, "matchConstraints")
    fields = ("paramKind", "matchConditions")
    if before is None or any(spec.get(field) != before.get(field) for field in fields):
        match_conditions(
            errors,
            spec.get("matchConditions") or [],
            "spec.matchConditions",
            params=spec.get("paramKind") is not None,
        )
    variables(errors, spec.get("variables") or [], "spec.variables", problems)
    return problems


def _param_kind(errors: FieldErrors, kind_: Object, path: str) -> None:
    version, name, at = kind_.get("apiVersion") or "", kind_.get("kind") or "", f"{path}.apiVersion"
    if not version:
        errors.required(at)
    elif version.count("/") > 1:
        errors.invalid(at, version, f"unexpected GroupVersion string: {version}")
    else:
        group, _, plain = version.rpartition("/")
        if group and (problems := names.dns1123_subdomain(group)):
            errors.invalid(at, group, ",".join(problems))
        if not plain:
            errors.invalid(at, version, "version must be specified")
        elif problems := names.dns1035_label(plain):
            errors.invalid(at, plain, ",".join(problems))
    if not name:
        errors.required(f"{path}.kind")
    elif problems := names.dns1035_label(name.lower()):
        why = "may have mixed case, but should otherwise match: " + ",".join(problems)
        errors.invalid(f"{path}.kind", name, why)


def _validating(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    problems = _common(errors, spec, None if old is None else old.get("spec") or {})
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        errors.required("spec.validations", _SOMETHING)
        errors.required("spec.auditAnnotations", _SOMETHING)
        return
    for index, validation in enumerate(validations):
        _validation(errors, validation, f"spec.validations[{index}]", problems)
    if len(annotations) > _ANNOTATIONS_MAX:
        why = f"must not have more than {_ANNOTATIONS_MAX} auditAnnotations"
        shown = [as_go("admissionregistration.v1.AuditAnnotation", annotation) for annotation in annotations]
        errors.invalid("spec.auditAnnotations", shown, why)
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        at, key = f"spec.auditAnnotations[{index}]", annotation.get("key") or ""
        if name := new["metadata"].get("name"):
            errors.messages(f"{at}.key", f"{name}/{key}", metadata.qualified_name(f"{name}/{key}"))
        else:
            errors.invalid(f"{at}.key", key, "requires metadata.name be non-empty")
        value = (annotation.get("valueExpression") or "").strip()
        if not value:
            errors.required(f"{at}.valueExpression", "valueExpression is not specified")
        elif len(value) > _VALUE_LENGTH_MAX:
            why = f"must not exceed {_VALUE_LENGTH_MAX} bytes in length"
            errors.required(f"{at}.valueExpression", why)
        report(errors, problems, f"{at}.valueExpression")
        if key in seen:
            errors.duplicate(f"{at}.key", key)
        seen.add(key)


def _validation(errors: FieldErrors, validation: Object, path: str, problems: Problems) -> None:
    if not (validation.get("expression") or "").strip():
        errors.required(f"{path}.expression", "expression is not specified")
    report(errors, problems, f"{path}.expression")
    report(errors, problems, f"{path}.messageExpression")
    for field in ("messageExpression", "message"):
        text = validation.get(field) or ""
        if text and not text.strip():
            errors.invalid(f"{path}.{field}", text, "must be non-empty if specified")
        elif field == "message" and any(end in text.strip() for end in "\r\n"):
            errors.invalid(f"{path}.{field}", text, "must not contain line breaks")
    reason = validation.get("reason")
    if reason is not None and reason not in _REASONS:
        errors.not_supported(f"{path}.reason", reason, _REASONS)


def _validating_status(errors: FieldErrors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    path = "status.typeChecking.expressionWarnings"
    for index, warning in enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or ()):
        if not warning.get("warning"):
            errors.required(f"{path}[{index}].warning")
        if not (warning.get("fieldRef") or "").strip():
            errors.required(f"{path}[{index}].fieldRef")
    conditions(errors, status.get("conditions") or [], "status.conditions")


def _mutating(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    problems = _common(errors, spec, None if old is None else old.get("spec") or {}, mutating=True)
    mutations = spec.get("mutations") or []
    if not mutations:
        errors.required("spec.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(mutations):
        _mutation(errors, mutation, f"spec.mutations[{index}]", problems)
    errors.choice("spec.reinvocationPolicy", spec.get("reinvocationPolicy"), REINVOCATION)


def _operations(errors: FieldErrors, spec: Object, field: str) -> None:
    """Of a DELETE nothing is left to mutate."""
    supported = ("*", "CONNECT", "CREATE", "UPDATE")
    for rule in (spec.get(field) or {}).get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            if operation not in supported:
                errors.not_supported(f"spec.{field}.resourceRules.operations", operation, supported)


_PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def _mutation(errors: FieldErrors, mutation: Object, path: str, problems: Problems) -> None:
    type_ = mutation.get("patchType") or ""
    errors.choice(f"{path}.patchType", type_, tuple(_PATCHES))
    field = _PATCHES.get(type_)
    if field is None:
        return
    patch = mutation.get(field)
    if patch is None:
        errors.required(f"{path}.{field}", f"must be specified when patchType is {type_}")
    elif not (patch.get("expression") or "").strip():
        errors.required(f"{path}.{field}.expression")
    report(errors, problems, f"{path}.{field}.expression")
    for other in _PATCHES.values():
        if other != field and mutation.get(other) is not None:
            why = f"must not be specified when patchType is {type_}"
            errors.invalid(f"{path}.{other}", f"{{{other}}}", why)


def _binding(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    policy = spec.get("policyName") or ""
    if policy:
        errors.messages("spec.policyName", policy, names.dns1123_subdomain(policy))
    else:
        errors.required("spec.policyName")
    if spec.get("paramRef") is not None:
        _param_ref(errors, spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        match_resources(errors, spec["matchResources"], "spec.matchResources")


def _param_ref(errors: FieldErrors, reference: Object, path: str) -> None:
    name, selector = reference.get("name") or "", reference.get("selector")
    exclusive = "name and selector are mutually exclusive"
    if name:
        errors.messages(f"{path}.name", name, names.path_segment(name))
        if selector is not None:
            errors.forbidden(f"{path}.name", exclusive)
    if selector is not None:
        metadata.label_selector(errors, selector, f"{path}.selector")
        if name:
            errors.forbidden(f"{path}.selector", exclusive)
    if not name and selector is None:
        errors.required(path, "one of name or selector must be specified")
    action = reference.get("parameterNotFoundAction")
    errors.choice(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))


def _mutating_binding(errors: FieldErrors, new: Object, old: Object | None) -> None:
    _binding(errors, new, old)
    _operations(errors, new.get("spec") or {}, "matchResources")


def _validating_binding(errors: FieldErrors, new: Object, old: Object | None) -> None:
    _binding(errors, new, old)
    path = "spec.validationActions"
    actions = (new.get("spec") or {}).get("validationActions") or []
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            errors.not_supported(f"{path}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            errors.duplicate(f"{path}[{index}]", action)
    if "Deny" in actions and "Warn" in actions:
        why = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response "
            "and headers serves no purpose)"
        )
        errors.invalid(path, actions, why)
    if not actions:
        errors.required(path, "at least one validation action is required")


VALIDATING = kind(_validating, "cb", cluster=True, status=_validating_status, known_finalizers=False)
VALIDATING_BINDING = kind(_validating_binding, "cb", cluster=True, known_finalizers=False)
MUTATING = kind(_mutating, "cb", cluster=True, known_finalizers=False)
MUTATING_BINDING = kind(_mutating_binding, "cb", cluster=True, known_finalizers=False)
