"""LimitRanger: a namespace's LimitRanges give containers defaults, and refuse what is out of bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...api import quantity
from ...api.errors import forbidden
from ...api.object import Object, is_deleting
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name = "LimitRanger"
    resources = frozenset({"pods", "persistentvolumeclaims"})

    def admit(self, op: Operation, env: Environment) -> None:
        if op.resource != "pods" or op.verb != "CREATE" or op.subresource:
            return
        for limit_range in _ranges(op, env):
            _set_defaults(op.object or {}, limit_range)

    def validate(self, op: Operation, env: Environment) -> None:
        if op.verb not in ("CREATE", "UPDATE"):
            return
        changes = op.subresource == "resize" if op.resource == "pods" else not op.subresource
        if op.subresource if op.verb == "CREATE" else not changes or is_deleting(op.old or {"metadata": {}}):
            return
        for limit_range in _ranges(op, env):
            errors = list(_violations(op, op.object or {}, limit_range))
            if errors:
                listed = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
                raise forbidden(op.kind.plural, op.kind.group, op.name, listed)


def _ranges(op: Operation, env: Environment) -> list[Object]:
    found = env.lister.list("limitranges", op.namespace)
    return sorted(found, key=lambda r: str(r["metadata"]["name"])) if len(found) > 1 else found


def _items(limit_range: Object, type_: str) -> Iterable[Object]:
    return (item for item in (limit_range.get("spec") or {}).get("limits") or () if item.get("type") == type_)


def _set_defaults(pod: Object, limit_range: Object) -> None:
    limits: dict[str, Any] = {}
    requests: dict[str, Any] = {}
    for item in _items(limit_range, "Container"):
        limits.update(item.get("default") or {})
        requests.update(item.get("defaultRequest") or {})
    if not limits and not requests:
        return
    notes = []
    spec = pod["spec"] = dict(pod.get("spec") or {})
    for field, word in (("containers", "container"), ("initContainers", "init container")):
        containers = []
        for container in spec.get(field) or ():
            resources = dict(container.get("resources") or {})
            set_requests = _merge(resources, "requests", requests)
            set_limits = _merge(resources, "limits", limits)
            if set_requests:
                notes.append(f"{', '.join(set_requests)} request for {word} {container.get('name', '')}")
            if set_limits:
                notes.append(f"{', '.join(set_limits)} limit for {word} {container.get('name', '')}")
            containers.append({**container, "resources": resources})
        if containers:
            spec[field] = containers
    if notes:
        meta = pod["metadata"]
        annotations = dict(meta.get("annotations") or {})
        annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)
        meta["annotations"] = annotations


def _merge(resources: Object, field: str, defaults: dict[str, Any]) -> list[str]:
    mine = resources.get(field) or {}
    missing = sorted(name for name in defaults if name not in mine)
    if missing:
        resources[field] = {**mine, **{name: defaults[name] for name in missing}}
    return missing


def _violations(op: Operation, obj: Object, limit_range: Object) -> Iterable[str]:
    spec = obj.get("spec") or {}
    if op.resource == "persistentvolumeclaims":
        requests = (spec.get("resources") or {}).get("requests") or {}
        for item in _items(limit_range, "PersistentVolumeClaim"):
            for name, bound in (item.get("min") or {}).items():
                yield from _min("PersistentVolumeClaim", name, bound, requests, {})
            for name, bound in (item.get("max") or {}).items():
                yield from _max("PersistentVolumeClaim", name, bound, requests, requests, "request")
        return
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
                resources = container.get("resources") or {}
                yield from _check(
                    "Container", item, resources.get("requests") or {}, resources.get("limits") or {}
                )
        elif item.get("type") == "Pod":
            yield from _check("Pod", item, _sum(spec, "requests"), _sum(spec, "limits"))


def _check(type_: str, item: Object, requests: Object, limits: Object) -> Iterable[str]:
    for name, bound in sorted((item.get("min") or {}).items()):
        yield from _min(type_, name, bound, requests, limits)
    for name, bound in sorted((item.get("max") or {}).items()):
        yield from _max(type_, name, bound, requests, limits)
    for name, bound in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio(type_, name, bound, requests, limits)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _min(type_: str, name: str, bound: Any, requests: Object, limits: Object) -> Iterable[str]:
    low = quantity.Quantity.of(bound).number
    if name not in requests:
        yield f"minimum {name} usage per {type_} is {bound}.  No request is specified"
    elif quantity.Quantity.of(requests[name]).number < low:
        yield f"minimum {name} usage per {type_} is {bound}, but request is {requests[name]}"
    elif name in limits and quantity.Quantity.of(limits[name]).number < low:
        yield f"minimum {name} usage per {type_} is {bound}, but limit is {limits[name]}"


def _max(
    type_: str, name: str, bound: Any, requests: Object, limits: Object, what: str = "limit"
) -> Iterable[str]:
    high = quantity.Quantity.of(bound).number
    if name not in limits:
        yield f"maximum {name} usage per {type_} is {bound}.  No {what} is specified"
    elif quantity.Quantity.of(limits[name]).number > high:
        yield f"maximum {name} usage per {type_} is {bound}, but {what} is {limits[name]}"
    elif name in requests and quantity.Quantity.of(requests[name]).number > high:
        yield f"maximum {name} usage per {type_} is {bound}, but request is {requests[name]}"


def _ratio(type_: str, name: str, bound: Any, requests: Object, limits: Object) -> Iterable[str]:
    highest = quantity.Quantity.of(bound).number
    if name not in requests:
        yield f"{name} max limit to request ratio per {type_} is {bound}, but no request is specified or request is 0"
        return
    request = quantity.Quantity.of(requests[name]).number
    if request == 0:
        yield f"{name} max limit to request ratio per {type_} is {bound}, but no request is specified or request is 0"
    elif name not in limits:
        yield f"{name} max limit to request ratio per {type_} is {bound}, but no limit is specified or limit is 0"
    else:
        ratio = quantity.Quantity.of(limits[name]).number / request
        if ratio > highest:
            yield f"{name} max limit to request ratio per {type_} is {bound}, but provided ratio is {float(ratio):.6f}"


def _sum(spec: Object, field: str) -> Object:
    """Of all containers; of init containers, the largest. A resource that one container lacks still counts for the others."""
    total: dict[str, quantity.Quantity] = {}
    sidecars: dict[str, quantity.Quantity] = {}
    for container in spec.get("containers") or ():
        for name, value in ((container.get("resources") or {}).get(field) or {}).items():
            total[name] = total.get(name, quantity.ZERO) + quantity.Quantity.of(value)
    for container in spec.get("initContainers") or ():
        for name, value in ((container.get("resources") or {}).get(field) or {}).items():
            amount, beside = quantity.Quantity.of(value), sidecars.get(name, quantity.ZERO)
            if container.get("restartPolicy") == "Always":
                sidecars[name] = beside + amount
                total[name] = total.get(name, quantity.ZERO) + amount
            else:
                total[name] = max(total.get(name, quantity.ZERO), amount + beside, key=lambda q: q.number)
    return {name: str(value) for name, value in total.items()}
