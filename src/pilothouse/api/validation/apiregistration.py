"""APIServices (kube-aggregator/pkg/apis/apiregistration/validation)."""

from __future__ import annotations

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from .metadata import NameRule
from .validator import kind

_STATUSES = ("True", "False", "Unknown")


def _name_rule(service: Object) -> NameRule:
    spec = service.get("spec") or {}
    required = f"{spec.get('version') or ''}.{spec.get('group') or ''}"
    why = f'must be `spec.version+"."+spec.group`: "{required}"'
    return lambda name: names.path_segment(name) or ([] if name == required else [why])


def _service(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    group, version = spec.get("group") or "", spec.get("version") or ""
    if not group and version != "v1":
        errors.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    for problem in names.dns1123_subdomain(group) if group else ():
        errors.invalid("spec.group", group, problem)
    for problem in names.dns1035_label(version):
        errors.invalid("spec.version", version, problem)
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        priority = spec.get(field) or 0
        if not 0 < priority <= most:
            errors.invalid(f"spec.{field}", priority, f"must be positive and less than {most}")
    backend, bundle, skip = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    if backend is None:
        if bundle:
            size = len(bundle) * 3 // 4 - bundle.count("=")
            errors.invalid("spec.caBundle", f"{size} bytes", "local APIServices may not have a caBundle")
        if skip:
            errors.invalid(
                "spec.insecureSkipTLSVerify", True, "local APIServices may not have insecureSkipTLSVerify"
            )
        return
    for field in ("namespace", "name"):
        if not backend.get(field):
            errors.required(f"spec.service.{field}")
    port = backend.get("port")
    if port is not None:
        for problem in names.port_number(port):
            errors.invalid("spec.service.port", port, f"port is not valid: {problem}")
    if skip and bundle:
        errors.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def _status(errors: FieldErrors, new: Object, old: Object) -> None:
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        at, status = f"status.conditions[{index}]", condition.get("status") or ""
        if status not in _STATUSES:
            errors.not_supported(f"{at}.status", status, _STATUSES)


SERVICE = kind(_service, "ucb", rule_for=_name_rule, cluster=True, status=_status, known_finalizers=False)
