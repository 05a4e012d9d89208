"""PodSecurity: pods must keep to the standard that their namespace's labels enforce; what makes pods is only warned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import forbidden, invalid
from ...api.object import Object, controller_of
from ...api.pod_security import DOMAIN, PRIVILEGED, Level, Policy, policy_of, stricter, violations
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

_TEMPLATES = {
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}
_UNCHECKED = frozenset("exec attach binding eviction log portforward proxy status".split())
_CHECKED_MAX = 3000
_ANYTHING = str(Level())


class PodSecurity(Plugin):
    name = "PodSecurity"
    resources = frozenset({"pods", "namespaces", *_TEMPLATES})

    def validate(self, op: Operation, env: Environment) -> None:
        if op.object is None or op.verb not in ("CREATE", "UPDATE"):
            return
        if op.resource == "namespaces":
            if not op.subresource:
                _namespace(op, env)
        elif op.resource == "pods":
            if op.subresource not in _UNCHECKED:
                _pod(op, env)
        elif not op.subresource:
            _template(op, env)


def _policy(op: Operation, env: Environment) -> Policy:
    namespace = env.lister.get("namespaces", "", op.namespace) or {"metadata": {}}
    return policy_of(namespace["metadata"].get("labels"))[0]


def _pod(op: Operation, env: Environment) -> None:
    policy, pod = _policy(op, env), op.object or {}
    if policy.enforce.name == policy.audit.name == policy.warn.name == PRIVILEGED:
        op.annotations[f"{DOMAIN}enforce-policy"] = _ANYTHING
        return
    if op.old is not None and not _matters(pod["spec"], op.old["spec"]):
        return
    op.annotations[f"{DOMAIN}enforce-policy"] = str(policy.enforce)
    found = violations(policy.enforce, pod["metadata"], pod["spec"])
    _note(op, policy.audit, pod)
    if found:
        listed = ", ".join(map(str, found))
        raise forbidden("pods", "", op.name, f'violates PodSecurity "{policy.enforce}": {listed}')
    _warn(op, policy.warn, pod)


def _matters(new: Object, old: Object) -> bool:
    """Of what may change in a pod only its images and its ephemeral containers count."""

    def images(spec: Object, field: str) -> list[tuple[str, str]]:
        return [(c.get("name") or "", c.get("image") or "") for c in spec.get(field) or ()]

    if any(images(new, field) != images(old, field) for field in ("containers", "initContainers")):
        return True
    return bool(set(images(new, "ephemeralContainers")) - set(images(old, "ephemeralContainers")))


def _template(op: Operation, env: Environment) -> None:
    policy, template = _policy(op, env), op.object or {}
    if policy.audit.name == policy.warn.name == PRIVILEGED:
        return
    for step in _TEMPLATES[op.resource]:
        template = template.get(step) or {}
    if template:
        _note(op, policy.audit, template)
        _warn(op, policy.warn, template)


def _note(op: Operation, level: Level, pod: Object) -> None:
    """For the audit log."""
    if text := _would_violate(level, pod):
        op.annotations[f"{DOMAIN}audit-violations"] = text


def _warn(op: Operation, level: Level, pod: Object) -> None:
    if text := _would_violate(level, pod):
        op.warn(text)


def _would_violate(level: Level, pod: Object) -> str:
    found = violations(level, pod.get("metadata") or {}, pod.get("spec") or {})
    return f'would violate PodSecurity "{level}": {", ".join(map(str, found))}' if found else ""


def _namespace(op: Operation, env: Environment) -> None:
    """Its labels must make sense; pods that it has already are looked at when it becomes stricter."""
    assert op.object is not None
    policy, problems = policy_of(op.object["metadata"].get("labels"))
    before, old_problems = policy_of(op.old["metadata"].get("labels")) if op.old else (None, [])
    if problems and problems != old_problems:
        raise invalid("Namespace", "", op.name, problems)
    level = policy.enforce
    if before is None or level == before.enforce or level.name == PRIVILEGED:
        return
    if level.minor == before.enforce.minor and not stricter(level, before.enforce):
        return
    for text in _existing(op.name, level, env.lister.list("pods", op.name)):
        op.warn(text)


def _existing(namespace: str, level: Level, pods: list[Object]) -> list[str]:
    """One line for all pods that violate the same; of a controller's pods one stands for all as long as there are too many."""
    controllers: set[str] = set()
    first: list[Object] = []
    later: list[Object] = []
    for pod in pods:
        uid = (controller_of(pod) or {}).get("uid")
        (later if uid and uid in controllers else first).append(pod)
        controllers.add(uid or "")
    checked = [*first, *later][:_CHECKED_MAX]
    found: dict[str, list[str]] = {}
    for pod in checked:
        reasons = ", ".join(v.reason for v in violations(level, pod["metadata"], pod["spec"]))
        if reasons:
            found.setdefault(reasons, []).append(pod["metadata"]["name"])
    lines = []
    if len(checked) < len(pods):
        lines.append(
            f"new PodSecurity enforce level only checked against the first {len(checked)} of {len(pods)} existing pods"
        )
    if found:
        what = f'violate the new PodSecurity enforce level "{level}"'
        lines.append(f'existing pods in namespace "{namespace}" {what}')
    return lines + sorted(f"{_some(names)}: {reasons}" for reasons, names in found.items())


def _some(names: list[str]) -> str:
    others = len(names) - 1
    more = f" (and {others} other pod{'' if others == 1 else 's'})" if others else ""
    return f"{min(names)}{more}"
