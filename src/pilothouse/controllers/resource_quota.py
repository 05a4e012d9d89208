"""ResourceQuota: `status.used`, recounted from what is there. Admission counts ahead; this is what makes it true again."""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import Object, get, is_deleting, name_of, namespace_of, split_key
from ..api.quantity import ZERO, Quantity
from ..api.quota import DEVICES_SUFFIX, Usage, applies, usage_of
from .common import same, with_status
from .plan import NOTHING, Controller, Environment, Plan, Source, Update, View
from .resources import is_namespaced, owned_resources

_QUOTAS = "resourcequotas"


class ResourceQuotaController(Controller):
    name = "resourcequota"
    component = "resourcequota-controller"

    def __init__(self, env: Environment):
        super().__init__(env)
        self._resources = {r for r in owned_resources() if is_namespaced(r)}

    @property
    def sources(self) -> Mapping[str, Source]:
        return {resource: _source(resource) for resource in sorted(self._resources)}

    def custom_source(self, resource: str, namespaced: bool) -> Source | None:
        if not namespaced:
            return None
        self._resources.add(resource)
        return _source(resource)

    def custom_gone(self, resource: str) -> None:
        self._resources.discard(resource)

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace, _ = split_key(key)
        quota = view.of(_QUOTAS).get(*split_key(key))
        if quota is None or is_deleting(quota):
            return NOTHING
        hard = get(quota, "spec.hard", {})
        # what counts a kind that is not known (yet) is not told of
        known = [n for n in hard if not n.startswith("count/") or n.removeprefix("count/") in self._resources]
        used: Usage = dict.fromkeys(known, ZERO)
        for resource in _needed(hard, self._resources):
            for obj in view.of(resource).list(namespace):
                if applies(quota, resource, obj):
                    for name, amount in usage_of(resource, obj).items():
                        if name in used:
                            used[name] += amount
        status = {"hard": hard, "used": {name: str(amount) for name, amount in used.items()}}
        if _equal(status, quota.get("status") or {}):
            return NOTHING
        return Plan([Update(_QUOTAS, with_status(quota, status), "status")])


def _needed(hard: Object, resources: set[str]) -> list[str]:
    """Which kinds must be counted for these limits."""
    needed = set()
    for name in hard:
        if name.startswith("count/"):
            needed.add(name.removeprefix("count/"))
        elif "storageclass.storage.k8s.io/" in name or name == "requests.storage":
            needed.add("persistentvolumeclaims")
        elif name.endswith(DEVICES_SUFFIX):
            needed.add("resourceclaims.resource.k8s.io")
        elif name.startswith("services"):
            needed.add("services")
        elif name in resources:
            needed.add(name)
        else:
            needed.add("pods")
    return sorted(needed & resources)


def _equal(status: Object, before: Object) -> bool:
    """By value: 1000m is 1."""
    if not same(status["hard"], before.get("hard") or {}):
        return False
    used = before.get("used") or {}
    return status["used"].keys() == used.keys() and all(
        Quantity.of(used[name]).number == Quantity.of(value).number for name, value in status["used"].items()
    )


def _source(resource: str) -> Source:
    def source(old: Object | None, new: Object | None, view: View) -> list[str]:
        obj = new or old or {}
        namespace = namespace_of(obj)
        if resource == _QUOTAS and old is not None and new is not None:
            return [f"{namespace}/{name_of(new)}"]
        quotas = view.of(_QUOTAS).list(namespace)
        if not quotas or (
            old is not None and new is not None and usage_of(resource, old) == usage_of(resource, new)
        ):
            return []
        return [f"{namespace}/{name_of(quota)}" for quota in quotas]

    return source
