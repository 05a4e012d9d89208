"""Containers of a pod: plain ones, init containers (and sidecars), ephemeral ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import resources, security_contexts
from .field_refs import ENV_FIELDS, field_ref, resource_ref
from .metadata import not_negative
from .pod_volumes import Volumes, mounts
from .volume_sources import PULL_POLICIES, no_backsteps

PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_RULES_MAX, _CODES_MAX = 20, 255
_ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"
_NOT_EPHEMERAL = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)
_MANY = "may not have more than one field specified at a time"
_REFERENCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


@dataclass(slots=True)
class Surroundings:
    """What a container's checks need to know of its pod."""

    volumes: Volumes
    claims: Collection[str]
    grace_period_s: int | None
    restart_policy: str
    host_users: bool


def containers(errors: FieldErrors, spec: Object, path: str, pod: Surroundings) -> None:
    if not spec.get("containers"):
        errors.required(f"{path}.containers")
    else:
        _plain(errors, spec["containers"], f"{path}.containers", pod)
    if spec.get("initContainers"):
        _init(errors, spec, f"{path}.initContainers", pod)
    if spec.get("ephemeralContainers"):
        _ephemeral(errors, spec, f"{path}.ephemeralContainers", pod)


def _plain(errors: FieldErrors, listed: list[Object], path: str, pod: Surroundings) -> None:
    seen: set[str] = set()
    for index, container in enumerate(listed):
        at, name = f"{path}[{index}]", container.get("name") or ""
        _common(errors, container, at, pod)
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
        _life(errors, container, at, pod)
        _restart_policy(errors, container, at)
    _host_ports(errors, listed, path)


def _init(errors: FieldErrors, spec: Object, path: str, pod: Surroundings) -> None:
    seen = {container.get("name") or "" for container in spec.get("containers") or ()}
    for index, container in enumerate(spec["initContainers"]):
        at, name = f"{path}[{index}]", container.get("name") or ""
        _common(errors, container, at, pod)
        if container.get("restartPolicy") is not None:
            _restart_policy(errors, container, at)
        elif container.get("restartPolicyRules"):
            errors.required(f"{at}.restartPolicy", _RULES_NEED_A_POLICY)
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        elif name:
            seen.add(name)
        _host_ports(errors, [container], path)
        if container.get("restartPolicy") == "Always":
            _life(errors, container, at, pod)
            continue
        for field in ("lifecycle", *_PROBES):
            if container.get(field) is not None:
                errors.forbidden(f"{at}.{field}", _ONLY_SIDECARS)
        for number, policy in enumerate(container.get("resizePolicy") or ()):
            if policy.get("restartPolicy") == "RestartContainer":
                why = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                errors.invalid(f"{at}.resizePolicy[{number}].restartPolicy", "RestartContainer", why)


def _ephemeral(errors: FieldErrors, spec: Object, path: str, pod: Surroundings) -> None:
    others = {
        c.get("name") or "" for field in ("containers", "initContainers") for c in spec.get(field) or ()
    }
    seen = set(others)
    for index, container in enumerate(spec["ephemeralContainers"]):
        at, name, target = (
            f"{path}[{index}]",
            container.get("name") or "",
            container.get("targetContainerName"),
        )
        _common(errors, container, at, pod)
        image_without_blanks(errors, container, at)
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
        if target and target not in others:
            errors.not_found(f"{at}.targetContainerName", target)
        for field in _NOT_EPHEMERAL:
            if container.get(field) or (
                container.get(field) is not None and field not in ("resources", "ports")
            ):
                errors.forbidden(f"{at}.{field}", "cannot be set for an Ephemeral Container")
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    why = "cannot be set for an Ephemeral Container"
                    errors.forbidden(f"{at}.volumeMounts[{number}].{field}", why)


def image_without_blanks(errors: FieldErrors, container: Object, path: str) -> None:
    image = container.get("image") or ""
    if image != image.strip():
        errors.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")


def _common(errors: FieldErrors, container: Object, path: str, pod: Surroundings) -> None:
    name = container.get("name")
    if not name:
        errors.required(f"{path}.name")
    elif problems := names.dns1123_label(name):
        errors.messages(f"{path}.name", name, problems)
    if not container.get("image"):
        errors.required(f"{path}.image")
    policy = container.get("terminationMessagePolicy")
    if policy not in _MESSAGE_POLICIES:
        errors.choice(f"{path}.terminationMessagePolicy", policy, _MESSAGE_POLICIES)
    if container.get("ports"):
        _ports(errors, container["ports"], f"{path}.ports")
    if container.get("env"):
        _env(errors, container["env"], f"{path}.env")
    if container.get("envFrom"):
        _env_from(errors, container["envFrom"], f"{path}.envFrom")
    mounts(errors, container, pod.volumes, path)
    pull = container.get("imagePullPolicy")
    if pull not in PULL_POLICIES:
        errors.choice(f"{path}.imagePullPolicy", pull, PULL_POLICIES)
    if container.get("resources"):
        resources.requirements(errors, container["resources"], f"{path}.resources", pod.claims)
    if container.get("resizePolicy"):
        _resize_policy(errors, container["resizePolicy"], f"{path}.resizePolicy", pod.restart_policy)
    if container.get("securityContext"):
        context = container["securityContext"]
        security_contexts.of_container(errors, context, f"{path}.securityContext", pod.host_users)


def _ports(errors: FieldErrors, ports: list[Object], path: str) -> None:
    seen = set()
    for index, port in enumerate(ports):
        at, name, number = f"{path}[{index}]", port.get("name"), port.get("containerPort") or 0
        if name:
            problems = names.port_name(name)
            errors.messages(f"{at}.name", name, problems)
            if not problems:
                if name in seen:
                    errors.duplicate(f"{at}.name", name)
                seen.add(name)
        if not number:
            errors.required(f"{at}.containerPort")
        else:
            errors.messages(f"{at}.containerPort", number, names.port_number(number))
        if port.get("hostPort"):
            errors.messages(f"{at}.hostPort", port["hostPort"], names.port_number(port["hostPort"]))
        errors.choice(f"{at}.protocol", port.get("protocol"), PROTOCOLS)


def _host_ports(errors: FieldErrors, listed: list[Object], path: str) -> None:
    seen = set()
    for index, container in enumerate(listed):
        for number, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{port['hostPort']}"
                if key in seen:
                    errors.duplicate(f"{path}[{index}].ports[{number}].hostPort", key)
                seen.add(key)


# -- environment -------------------------------------------------------------------------------------------------------


def _env(errors: FieldErrors, variables: list[Object], path: str) -> None:
    for index, variable in enumerate(variables):
        name = variable.get("name")
        if not name:
            errors.required(f"{path}[{index}].name")
        elif problems := names.env_var_name(name):
            errors.messages(f"{path}[{index}].name", name, problems)
        if variable.get("valueFrom") is not None:
            _value_from(errors, variable, f"{path}[{index}].valueFrom")


def _value_from(errors: FieldErrors, variable: Object, path: str) -> None:
    source, count = variable["valueFrom"], 0
    for field in _REFERENCES:
        ref = source.get(field)
        if ref is None:
            continue
        count += 1
        at = f"{path}.{field}"
        match field:
            case "fieldRef":
                field_ref(errors, ref, at, ENV_FIELDS)
            case "resourceFieldRef":
                resource_ref(errors, ref, at)
            case "fileKeyRef":
                _file_key(errors, ref, at)
            case _:
                _key_ref(errors, ref, at)
    if not count:
        sources = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.invalid(path, "", f"must specify one of: {sources}")
    elif variable.get("value"):
        errors.invalid(path, "", "may not be specified when `value` is not empty")
    elif count > 1:
        errors.invalid(path, "", _MANY)


def _key_ref(errors: FieldErrors, ref: Object, path: str) -> None:
    name, key = ref.get("name") or "", ref.get("key") or ""
    errors.messages(f"{path}.name", name, names.dns1123_subdomain(name))
    if not key:
        errors.required(f"{path}.key")
    else:
        errors.messages(f"{path}.key", key, names.config_map_key(key))


def _file_key(errors: FieldErrors, ref: Object, path: str) -> None:
    for field, rule in (("key", names.env_var_name), ("volumeName", names.dns1123_label)):
        if not ref.get(field):
            errors.required(f"{path}.{field}")
        else:
            errors.messages(f"{path}.{field}", ref[field], rule(ref[field]))
    if not ref.get("path"):
        errors.required(f"{path}.path")
    else:
        no_backsteps(errors, ref["path"], f"{path}.path")


def file_key_volumes(errors: FieldErrors, spec: Object, path: str) -> None:
    """Variables from files need a volume that is there, and empty at first (KEP-3721)."""
    volumes = {volume.get("name") or "": volume for volume in spec.get("volumes") or ()}
    for container, where in security_contexts.all_containers(spec, path):
        for index, variable in enumerate(container.get("env") or ()):
            ref = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if ref is None:
                continue
            at, name = f"{where}.env[{index}].valueFrom.fileKeyRef.volumeName", ref.get("volumeName") or ""
            if name not in volumes:
                errors.not_found(at, name)
            elif volumes[name].get("emptyDir") is None:
                errors.invalid(at, name, "referenced volume must be of type emptyDir")


def _env_from(errors: FieldErrors, sources: list[Object], path: str) -> None:
    for index, source in enumerate(sources):
        at, count = f"{path}[{index}]", 0
        if source.get("prefix"):
            errors.messages(f"{at}.prefix", source["prefix"], names.env_var_name(source["prefix"]))
        for field in ("configMapRef", "secretRef"):
            ref = source.get(field)
            if ref is None:
                continue
            count += 1
            if not ref.get("name"):
                errors.required(f"{at}.{field}.name")
            else:
                errors.messages(f"{at}.{field}.name", ref["name"], names.dns1123_subdomain(ref["name"]))
        if not count:
            errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif count > 1:
            errors.invalid(path, "", _MANY)


# -- restarts ----------------------------------------------------------------------------------------------------------


def _resize_policy(errors: FieldErrors, policies: list[Object], path: str, restart_policy: str) -> None:
    seen = set()
    for index, policy in enumerate(policies):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            errors.duplicate(f"{path}[{index}]", name)
        seen.add(name)
        errors.choice(path, name, ("cpu", "memory"))
        errors.choice(path, restart, ("NotRequired", "RestartContainer"))
        if restart_policy == "Never" and restart != "NotRequired":
            errors.invalid(path, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")


_RULES_NEED_A_POLICY = "must specify restartPolicy when restart rules are used"


def _restart_policy(errors: FieldErrors, container: Object, path: str) -> None:
    """A container's own restart policy, and its rules (KEP-5307)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is None and not rules:
        return
    if policy is None:
        errors.required(f"{path}.restartPolicy", _RULES_NEED_A_POLICY)
    elif policy not in _RESTART_POLICIES:
        errors.not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES)
    if len(rules) > _RULES_MAX:
        errors.too_many(f"{path}.restartPolicyRules", len(rules), _RULES_MAX)
    for index, rule in enumerate(rules):
        at, action, codes = (
            f"{path}.restartPolicyRules[{index}]",
            rule.get("action") or "",
            rule.get("exitCodes"),
        )
        if action not in ("Restart", "RestartAllContainers"):
            errors.not_supported(f"{at}.action", action, ("Restart", "RestartAllContainers"))
        if codes is None:
            errors.required(f"{at}.exitCodes", "must be specified")
            continue
        if (codes.get("operator") or "") not in ("In", "NotIn"):
            errors.not_supported(f"{at}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn"))
        if len(codes.get("values") or ()) > _CODES_MAX:
            errors.too_many(f"{at}.exitCodes.values", len(codes["values"]), _CODES_MAX)


# -- probes and hooks --------------------------------------------------------------------------------------------------


def _life(errors: FieldErrors, container: Object, path: str, pod: Surroundings) -> None:
    for hook in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(hook)
        if handler is not None:
            _handler(errors, handler, f"{path}.lifecycle.{hook}", pod.grace_period_s)
    for which in _PROBES:
        if container.get(which) is not None:
            _probe(errors, container[which], f"{path}.{which}", which)


def _probe(errors: FieldErrors, probe: Object, path: str, which: str) -> None:
    _handler(errors, probe, path, None)
    for field in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        not_negative(errors, probe.get(field), f"{path}.{field}")
    grace, successes = probe.get("terminationGracePeriodSeconds"), probe.get("successThreshold") or 0
    if grace is not None and grace <= 0:
        errors.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")
    if which == "readinessProbe":
        if grace is not None:
            why = "must not be set for readinessProbes"
            errors.invalid(f"{path}.terminationGracePeriodSeconds", grace, why)
    elif successes != 1:
        errors.invalid(f"{path}.successThreshold", successes, "must be 1")


def _handler(errors: FieldErrors, handler: Object, path: str, grace_period_s: int | None) -> None:
    given = [kind for kind in _HANDLERS if handler.get(kind) is not None]
    if not given:
        errors.required(path, "must specify a handler type")
    for index, kind in enumerate(given):
        action, at = handler[kind], f"{path}.{kind}"
        if index:
            errors.forbidden(at, "may not specify more than 1 handler type")
        elif kind == "exec":
            if not action.get("command"):
                errors.required(f"{at}.command")
        elif kind == "httpGet":
            _http_get(errors, action, at)
        elif kind == "sleep":
            seconds = action.get("seconds") or 0
            if grace_period_s is not None and not 0 <= seconds <= grace_period_s:
                why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_period_s})"
                errors.invalid(at, seconds, why)
        else:
            port(errors, action.get("port") or 0, f"{at}.port")


def _http_get(errors: FieldErrors, action: Object, path: str) -> None:
    if not action.get("path"):
        errors.required(f"{path}.path")
    port(errors, action.get("port") or 0, f"{path}.port")
    scheme = action.get("scheme") or ""
    if scheme not in ("HTTP", "HTTPS"):
        errors.not_supported(f"{path}.scheme", scheme, ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        errors.messages(f"{path}.httpHeaders", name, names.http_header_name(name))


def port(errors: FieldErrors, value: int | str, path: str) -> None:
    """A number, or the name of one."""
    rule: Any = names.port_name if isinstance(value, str) else names.port_number
    errors.messages(path, value, rule(value))
