"""ResourceQuota: what a write adds must fit into what the namespace's quotas leave (`status.hard` against `status.used`).

The new usage goes into the quota's status in the same transaction as the object, on the condition that the quota has not changed: two
writers cannot both take the last place, and a write that fails takes nothing. The quota controller recounts what is freed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import ApiError, forbidden
from ...api.kinds import kind_of_resource
from ...api.object import Object
from ...api.quantity import ZERO, Quantity
from ...api.quota import applies, counted, usage_of
from ...store.interface import Condition, Put
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

Usage = dict[str, Quantity]

# what an update can take more of; everything else counts at creation only
UPDATES = frozenset({"services", "persistentvolumeclaims"})
# a quota on one of these makes every container say how much it wants
COMPUTE = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


class ResourceQuota(Plugin):
    name = "ResourceQuota"
    configured_by = "resourcequotas"

    def charge(self, op: Operation, env: Environment) -> None:
        if not op.kind.namespaced or op.verb not in ("CREATE", "UPDATE") or op.resource == "events":
            return
        updating = op.verb == "UPDATE"
        if op.subresource and not (op.resource == "pods" and op.subresource == "resize"):
            return
        if updating and op.resource not in UPDATES and op.subresource != "resize":
            return
        kind = kind_of_resource("resourcequotas")
        entries = env.storage.cache.entries(f"{kind.prefix}{op.namespace}/")
        if not entries:
            return
        assert op.object is not None
        concerned = [entry for entry in entries if _is_concerned(op, entry.object)]
        if not concerned:
            return
        after = usage_of(op.resource, op.object)
        before = usage_of(op.resource, op.old) if updating and op.old else {}
        for entry in concerned:
            quota = entry.object
            used = _charged(op, quota, after, before)
            if used is None or op.dry_run:
                continue
            new = {**quota, "status": {**(quota.get("status") or {}), "used": used}}
            op.conditions.append(Condition(entry.key, entry.revision))
            op.puts.append(Put(entry.key, env.storage.encode(kind, new)))


def _is_concerned(op: Operation, quota: Object) -> bool:
    """Raises 403 where the object does not say enough, or nothing is known yet of what is used."""
    assert op.object is not None
    status, name = quota.get("status") or {}, quota["metadata"]["name"]
    hard = counted(op.resource, status.get("hard") or ())
    if not hard or not applies(quota, op.resource, op.object):
        return False
    if op.resource == "pods" and op.verb == "CREATE":
        _check_constraints(op, name, hard)
    if any(resource not in (status.get("used") or {}) for resource in hard):
        raise _refusal(op, f"status unknown for quota: {name}, resources: {','.join(hard)}")
    return True


def _charged(op: Operation, quota: Object, after: Usage, before: Usage) -> dict[str, str] | None:
    """The quota's `used` with this write in it; None if it takes no more. Raises 403."""
    if op.old is not None and not applies(quota, op.resource, op.old):
        before = {}
    hard, used = quota["status"]["hard"], quota["status"]["used"]
    requested: Usage = {}
    for resource in counted(op.resource, hard):
        delta = after.get(resource, ZERO) - before.get(resource, ZERO)
        if delta.number > 0:
            requested[resource] = delta
    totals = {resource: Quantity.of(used[resource]) + delta for resource, delta in requested.items()}
    exceeded = sorted(r for r, total in totals.items() if total.number > Quantity.of(hard[r]).number)
    if exceeded:
        asked = ",".join(f"{r}={requested[r]}" for r in exceeded)
        taken = ",".join(f"{r}={used[r]}" for r in exceeded)
        limit = ",".join(f"{r}={hard[r]}" for r in exceeded)
        name = quota["metadata"]["name"]
        raise _refusal(op, f"exceeded quota: {name}, requested: {asked}, used: {taken}, limited: {limit}")
    if not totals:
        return None
    return {**used, **{resource: str(total) for resource, total in totals.items()}}


def _refusal(op: Operation, why: str) -> ApiError:
    return forbidden(op.kind.plural, op.kind.group, op.name, why)


def _check_constraints(op: Operation, quota: str, hard: list[str]) -> None:
    """Every container must say what the quota limits, or its usage could not be known."""
    required = [resource for resource in COMPUTE if resource in hard]
    assert op.object is not None
    spec = op.object.get("spec") or {}
    if not required or spec.get("resources"):
        return
    missing: dict[str, list[str]] = {}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for resource in required:
            where = limits if resource.startswith("limits.") else requests
            if resource.rpartition(".")[2] not in where:
                missing.setdefault(resource, []).append(container.get("name", ""))
    if missing:
        listed = "; ".join(f"{resource} for: {','.join(missing[resource])}" for resource in sorted(missing))
        raise _refusal(op, f"failed quota: {quota}: must specify {listed}")
