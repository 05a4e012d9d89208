"""Generic ephemeral volumes: each gets a claim of its own, made of the pod's template and owned by the pod (KEP-1698)."""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import (
    Object,
    controller_of,
    is_deleting,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from . import pods as podlib
from .plan import NOTHING, Action, Controller, Create, Event, Plan, Source, Tell, View, own
from .volume_protection import claims_of


class EphemeralVolumeController(Controller):
    name = "ephemeral-volume"
    component = "ephemeral_volume"
    account = "ephemeral-volume-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"pods": _with_ephemeral, "persistentvolumeclaims": _owner}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace, name = split_key(key)
        pod = view.of("pods").get(namespace, name)
        if pod is None or is_deleting(pod) or podlib.is_terminal(pod):
            return NOTHING
        actions: list[Action] = []
        for volume in pod["spec"].get("volumes") or ():
            if "ephemeral" not in volume:
                continue
            claim_name = f"{name}-{volume['name']}"
            claim = view.of("persistentvolumeclaims").get(namespace, claim_name)
            if claim is None:
                actions.append(_create(pod, claim_name, volume))
            elif (controller_of(claim) or {}).get("uid") != uid_of(pod):
                message = (
                    f"ephemeral volume {volume['name']}: PVC {namespace}/{claim_name} was not created for pod "
                    f"{namespace}/{name} (pod is not owner)"
                )
                actions.append(Event(pod, "Warning", "FailedBinding", message))
        return Plan(actions)


def _create(pod: Object, claim_name: str, volume: Object) -> Create:
    template = volume["ephemeral"]["volumeClaimTemplate"]
    given = template.get("metadata") or {}
    metadata = {
        "name": claim_name,
        "namespace": namespace_of(pod),
        "ownerReferences": [owner_reference(pod, "v1", "Pod")],
        **{part: given[part] for part in ("labels", "annotations") if given.get(part)},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template["spec"],
    }
    why = f"ephemeral volume {volume['name']}: create PVC {claim_name}: {{error}}"
    return Create("persistentvolumeclaims", claim, Tell(pod, failed=("FailedBinding", why)))


def _with_ephemeral(old: Object | None, new: Object | None, view: View) -> list[str]:
    if new is None or not any("ephemeral" in volume for volume in new["spec"].get("volumes") or ()):
        return []
    return own(old, new, view)


def _owner(old: Object | None, new: Object | None, view: View) -> list[str]:
    """A claim that goes is made again while its pod lives."""
    if new is not None or old is None:
        return []
    key = f"{namespace_of(old)}/{name_of(old)}"
    pods = view.of("pods").by_index("claim", key)
    return [f"{namespace_of(pod)}/{name_of(pod)}" for pod in pods if key in claims_of(pod)]
