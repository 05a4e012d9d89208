"""Who makes a policy or a binding that reads parameters must be allowed to read them (registry/admissionregistration/*/authz.go)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import invalid
from ...api.fielderrors import FieldErrors
from ...api.object import Object
from ..authorization import SUPERUSERS, Attributes
from ..request import User

if TYPE_CHECKING:
    from .generic import Registry
    from .operation import Operation


def check_policy(registry: Registry, op: Operation) -> None:
    kind, was = (_spec(obj).get("paramKind") for obj in (op.object, op.old))
    if kind is None or kind == was or SUPERUSERS in op.user.groups:
        return
    if not _allowed(registry, op, "get", kind, "*", "*"):
        shown = f"kind={kind.get('kind') or ''}, apiVersion={kind.get('apiVersion') or ''}"
        why = f'user {_shown(op.user)} must have "get" permission on all objects of the referenced paramKind ({shown})'
        _refuse(op, "spec.paramKind", why)


def check_binding(registry: Registry, op: Operation) -> None:
    spec, before = _spec(op.object), _spec(op.old)
    reference, policy_name = spec.get("paramRef"), spec.get("policyName") or ""
    fields = ("paramRef", "policyName")
    if reference is None or SUPERUSERS in op.user.groups or all(spec.get(f) == before.get(f) for f in fields):
        return
    name, namespace = reference.get("name") or "", reference.get("namespace") or ""
    verb, user = "get" if name else "list", _shown(op.user)
    of = op.resource.replace("policybindings", "policies")
    policy = registry.admission.environment.lister.get(of, "", policy_name)
    kind = _spec(policy).get("paramKind")
    if _allowed(registry, op, verb, kind, name, namespace):
        return
    why = f'user {user} does not have "{verb}" permission on the object referenced by paramRef'
    if policy is None:
        why = (
            f"unable to get policy {policy_name} to determine minimum required permissions and user {user} does not have "
            f'"{verb}" permission for all groups, versions and resources'
        )
    _refuse(op, "spec.paramRef", why)


def _spec(obj: Object | None) -> Object:
    return (obj or {}).get("spec") or {}


def _allowed(
    registry: Registry, op: Operation, verb: str, kind: Object | None, name: str, namespace: str
) -> bool:
    environment = registry.admission.environment
    group = version = plural = "*"
    if kind is not None:
        group, _, version = (kind.get("apiVersion") or "").rpartition("/")
        found = environment.find_kind(group, version, kind.get("kind") or "")
        plural = "*" if found is None else found.plural
    attributes = Attributes(op.user, verb, group, version, plural, namespace=namespace, name=name)
    return environment.authorizer.allows(attributes)[0]


def _shown(user: User) -> str:
    """As Go prints it."""
    extra = " ".join(f"{key}:[{' '.join(values)}]" for key, values in sorted(user.extra.items()))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"


def _refuse(op: Operation, path: str, why: str) -> None:
    assert op.object is not None
    errors = FieldErrors()
    errors.forbidden(path, why)
    raise invalid(op.kind.kind, op.kind.group, op.object["metadata"].get("name") or "", errors)
