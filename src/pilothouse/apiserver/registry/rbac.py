"""Roles and bindings: nobody can grant what they do not hold, unless they may `escalate` or `bind` (RBAC docs, "Privilege escalation
prevention")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...api.errors import ApiError, forbidden, not_found
from ...api.fielderrors import quoted
from ...api.object import Object
from ..authorization import SUPERUSERS, Attributes, Rule, aggregate, rule_of

if TYPE_CHECKING:
    from .generic import Registry
    from .operation import Operation

GROUP = "rbac.authorization.k8s.io"
# one thing a rule grants: (group, resource, name, url, verb)
Grant = tuple[str, str, str, str, str]


_EVERYTHING: list[Object] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


def _kept(new: Object, old: Object | None) -> bool:
    """Only what leads to an object's end has changed: its owners and finalizers."""
    return old is not None and _without_ends(new) == _without_ends(old)


def _without_ends(obj: Object) -> Object:
    left = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k not in left}}


def check_role(registry: Registry, op: Operation) -> None:
    new = op.object
    assert new is not None
    if SUPERUSERS in op.user.groups or _kept(new, op.old):
        return
    authorizer = registry.admission.environment.authorizer
    attributes = Attributes(
        op.user, "escalate", GROUP, "v1", op.kind.plural, namespace=op.namespace, name=op.name
    )
    if authorizer.allows(attributes)[0]:
        return
    _confirm(registry, op, new.get("rules") or [], op.namespace)
    if any(((role or {}).get("aggregationRule") or {}).get("clusterRoleSelectors") for role in (new, op.old)):
        try:
            _confirm(registry, op, _EVERYTHING, "")
        except ApiError:
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise forbidden(op.kind.plural, op.kind.group, op.name, why) from None


def check_binding(registry: Registry, op: Operation) -> None:
    new = op.object
    assert new is not None
    if SUPERUSERS in op.user.groups:
        return
    if _kept(new, op.old):
        return
    reference = new.get("roleRef") or {}
    authorizer = registry.admission.environment.authorizer
    plural = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
    attributes = Attributes(
        op.user, "bind", GROUP, "v1", plural, namespace=op.namespace, name=reference.get("name") or ""
    )
    if authorizer.allows(attributes)[0]:
        return
    role = authorizer.role(reference, op.namespace)
    if role is None:
        raise not_found(op.kind.plural, op.kind.group, reference.get("name") or "")
    _confirm(registry, op, role.get("rules") or [], op.namespace)


def _confirm(registry: Registry, op: Operation, rules: list[Object], namespace: str) -> None:
    held, absent = registry.admission.environment.authorizer.resolve(op.user, namespace)
    missing: dict[Grant, list[str]] = {}
    for rule in rules:
        for grant in _grants(rule):
            if not any(_covers(rule_held, grant) for rule_held in held):
                # the verbs of a resource are told together, those of a URL one by one
                verbs = missing.setdefault(grant if grant[3] else (*grant[:4], ""), [])
                if grant[4] not in verbs:
                    verbs.append(grant[4])
    if not missing:
        return
    lines = sorted({_shown(g, r, n, u, verbs) for (g, r, n, u, _), verbs in missing.items()})
    who = f"user {quoted(op.user.name)} (groups=[{' '.join(map(quoted, op.user.groups))}])"
    why = f"{who} is attempting to grant RBAC permissions not currently held:\n" + "\n".join(lines)
    if absent:  # they are looked up in the name of the request
        names = [f"{op.kind.resource} {line.split(' ', 1)[1]}" for line in absent]
        why += f"; resolution errors: [{aggregate(names)}]"
    raise forbidden(op.kind.plural, op.kind.group, op.name, why)


def _grants(rule: Object) -> Iterator[Grant]:
    verbs = rule.get("verbs") or ()
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in verbs:
                for name in rule.get("resourceNames") or ("",):
                    yield group, resource, name, "", verb
    for url in rule.get("nonResourceURLs") or ():
        for verb in verbs:
            yield "", "", "", url, verb


def _covers(held: Rule, grant: Grant) -> bool:
    group, resource, name, url, verb = grant
    if verb not in held.verbs and "*" not in held.verbs:
        return False
    if url:
        return any(u == "*" or u == url or (u.endswith("*") and url.startswith(u[:-1])) for u in held.urls)
    if group not in held.groups and "*" not in held.groups:
        return False
    subresource = resource.partition("/")[2]
    if not (
        resource in held.resources
        or "*" in held.resources
        or (subresource and f"*/{subresource}" in held.resources)
    ):
        return False
    return not held.names or name in held.names


def _shown(group: str, resource: str, name: str, url: str, verbs: list[str]) -> str:
    listed = " ".join(f'"{verb}"' for verb in verbs)
    if url:
        return f'{{NonResourceURLs:["{url}"], Verbs:[{listed}]}}'
    names = f', ResourceNames:["{name}"]' if name else ""
    return f'{{APIGroups:["{group}"], Resources:["{resource}"]{names}, Verbs:[{listed}]}}'


AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def protected(existing: Object) -> bool:
    return (existing["metadata"].get("annotations") or {}).get(AUTO_UPDATE) == "false"


def reconciled(existing: Object, wanted: Object) -> Object | None:
    """A default role or binding with what it lacks of its labels, rules or subjects; None: it lacks nothing, or wants to be left alone."""
    if protected(existing):
        return None
    meta = dict(existing["metadata"])
    for field in ("annotations", "labels"):
        merged = {**(wanted["metadata"].get(field) or {}), **(meta.get(field) or {})}
        if merged:
            meta[field] = merged
    new = {**existing, "metadata": meta}
    if "roleRef" in wanted:
        _add(new, "subjects", wanted.get("subjects") or ())
        return None if new == existing else new
    held = [rule_of(rule, "") for rule in existing.get("rules") or ()]
    missing = [
        _rule(grant)
        for rule in wanted.get("rules") or ()
        for grant in _grants(rule)
        if not any(_covers(rule_held, grant) for rule_held in held)
    ]
    if missing:
        new["rules"] = [*(existing.get("rules") or ()), *missing]
    if "aggregationRule" in wanted:
        aggregation = dict(new.get("aggregationRule") or {})
        _add(aggregation, "clusterRoleSelectors", wanted["aggregationRule"]["clusterRoleSelectors"])
        new["aggregationRule"] = aggregation
    else:
        new.pop("aggregationRule", None)
    return None if new == existing else new


def _add(holder: Object, field: str, wanted: Iterable[Object]) -> None:
    held = holder.get(field) or []
    missing = [each for each in wanted if each not in held]
    if missing:
        holder[field] = [*held, *missing]


def _rule(grant: Grant) -> Object:
    group, resource, name, url, verb = grant
    if url:
        return {"verbs": [verb], "nonResourceURLs": [url]}
    rule: Object = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
    return {**rule, "resourceNames": [name]} if name else rule
