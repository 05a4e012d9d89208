"""Pods: what the server itself says in a new pod's status, and what counts as a change of its spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.managed_fields import set_entries
from ...api.object import Object
from ...api.pod_warnings import app_armor
from ...api.qos import qos_class
from ...api.validation.security_contexts import APPARMOR_CONTAINER, all_containers, app_armor_profile

if TYPE_CHECKING:
    from .generic import Registry
    from .operation import Operation


def generation_changed(new: Object, old: Object) -> bool:
    """Binding is no change that a kubelet has to observe; everything else in the spec is."""
    a, b = new.get("spec") or {}, old.get("spec") or {}
    if a == b:
        return False
    return {k: v for k, v in a.items() if k != "nodeName"} != {k: v for k, v in b.items() if k != "nodeName"}


def prepare_create(registry: Registry, op: Operation) -> None:
    pod = op.object
    assert pod is not None
    spec = pod.get("spec") or {}
    status: Object = {"phase": "Pending", "qosClass": qos_class({"spec": spec})}
    if spec.get("schedulingGates"):
        status["conditions"] = [
            {
                "lastProbeTime": None,
                "lastTransitionTime": registry.now(),
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "reason": "SchedulingGated",
                "status": "False",
                "type": "PodScheduled",
            }
        ]
    pod["status"] = status
    noted = pod["metadata"].get("annotations")
    if noted:
        _app_armor_fields(op, spec, noted)
    pod["spec"] = _merge_match_label_keys(spec, pod["metadata"].get("labels") or {})


def _app_armor_fields(op: Operation, spec: Object, noted: dict[str, str]) -> None:
    """Annotations from before the field fill it (KEP-24); nothing goes the other way any more."""
    if (spec.get("os") or {}).get("name") == "windows":
        return
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container, _ in all_containers(spec, ""):
        key = f"{APPARMOR_CONTAINER}{container.get('name')}"
        value, context = noted.get(key), container.get("securityContext") or {}
        if value is None or context.get("appArmorProfile") is not None:
            continue
        profile = app_armor_profile(value)
        if profile is None or profile != of_pod:
            op.warn(app_armor(f"metadata.annotations[{key}]"))
        if profile is not None and profile != of_pod:
            container["securityContext"] = {**context, "appArmorProfile": profile}


def prepare_update(registry: Registry, op: Operation) -> None:
    new, old = op.object, op.old
    assert new is not None and old is not None
    if op.subresource in ("ephemeralcontainers", "resize"):
        new["status"] = old.get("status") or {}
        given = new["metadata"]
        new["metadata"] = {**old["metadata"], "resourceVersion": given.get("resourceVersion", "")}
        set_entries(new, given.get("managedFields") or [])
    if op.subresource == "ephemeralcontainers":
        ephemeral = (new.get("spec") or {}).get("ephemeralContainers")
        new["spec"] = {k: v for k, v in (old.get("spec") or {}).items() if k != "ephemeralContainers"}
        if ephemeral:
            new["spec"]["ephemeralContainers"] = ephemeral
    if op.subresource == "resize":
        new["spec"] = _resized(new.get("spec") or {}, old.get("spec") or {})
    status = new.get("status") or {}
    if not status.get("qosClass") and (old.get("status") or {}).get("qosClass"):
        new["status"] = {**status, "qosClass": old["status"]["qosClass"]}
    if op.subresource == "status":
        _restore_meta(new, old)
        new["status"] = dict(new.get("status") or {})
        new["status"].pop("nodeAllocatableResourceClaimStatuses", None)  # DRANodeAllocatableResources is off
        _keep_observed_generations(new["status"], old.get("status") or {})
        containers = new["status"].get("containerStatuses")
        if containers:
            new["status"]["containerStatuses"] = sorted(containers, key=lambda s: s.get("name", ""))
        ephemeral = new["status"].get("ephemeralContainerStatuses")
        if ephemeral:
            new["status"]["ephemeralContainerStatuses"] = sorted(ephemeral, key=lambda s: s.get("name", ""))


def _keep_observed_generations(new: Object, old: Object) -> None:
    """Who does not know `observedGeneration` does not take it away (KEP-5067)."""
    before = [old, *(old.get("conditions") or ())]
    if not any(holder.get("observedGeneration") for holder in before):
        return
    if not new.get("observedGeneration") and old.get("observedGeneration"):
        new["observedGeneration"] = old["observedGeneration"]
    conditions = []
    known = list(old.get("conditions") or ())
    for condition in new.get("conditions") or ():
        was = next((c for c in known if c.get("type") == condition.get("type")), None)
        if was is not None:
            known.remove(was)
            if was.get("observedGeneration") and not condition.get("observedGeneration"):
                condition = {**condition, "observedGeneration": was["observedGeneration"]}
        conditions.append(condition)
    if conditions:
        new["conditions"] = conditions


def _resized(new: Object, old: Object) -> Object:
    """The old spec with the resources (and resize policies) of the new one; everything else in a resize is dropped in silence (KEP-1287).

    What adds, removes or renames containers is left as it is: validation's to refuse.
    """
    fields = ("containers", "initContainers")
    if any(len(new.get(field) or ()) != len(old.get(field) or ()) for field in fields):
        return new
    spec = {name: value for name, value in old.items() if name != "resources"}
    for field in fields:
        pairs = list(zip(new.get(field) or (), old.get(field) or (), strict=True))
        if any(container.get("name") != was.get("name") for container, was in pairs):
            spec[field] = new[field]
        elif pairs:
            spec[field] = [_with_new_resources(*pair) for pair in pairs]
    if new.get("resources") is not None:
        spec["resources"] = new["resources"]
    return spec


def _with_new_resources(new: Object, old: Object) -> Object:
    container = {**old, "resources": new.get("resources") or {}, "resizePolicy": new.get("resizePolicy")}
    if not container["resizePolicy"]:
        del container["resizePolicy"]
    return container


def _restore_meta(new: Object, old: Object) -> None:
    """A status write cannot change owners."""
    owners = old["metadata"].get("ownerReferences")
    if owners:
        new["metadata"]["ownerReferences"] = owners
    else:
        new["metadata"].pop("ownerReferences", None)


def _merge_match_label_keys(spec: Object, labels: dict[str, str]) -> Object:
    """matchLabelKeys of topology spread constraints and affinity terms become requirements of the label selector (KEP-3243, KEP-3633)."""
    constraints = spec.get("topologySpreadConstraints")
    if constraints and any(c.get("matchLabelKeys") for c in constraints):
        spec = {**spec, "topologySpreadConstraints": [_with_keys(c, labels) for c in constraints]}
    affinity = spec.get("affinity")
    if affinity:
        new_affinity = dict(affinity)
        for which in ("podAffinity", "podAntiAffinity"):
            part = affinity.get(which)
            if not part:
                continue
            new_part = dict(part)
            required = part.get("requiredDuringSchedulingIgnoredDuringExecution")
            if required:
                new_part["requiredDuringSchedulingIgnoredDuringExecution"] = [
                    _with_keys(t, labels) for t in required
                ]
            preferred = part.get("preferredDuringSchedulingIgnoredDuringExecution")
            if preferred:
                new_part["preferredDuringSchedulingIgnoredDuringExecution"] = [
                    {**p, "podAffinityTerm": _with_keys(p.get("podAffinityTerm") or {}, labels)}
                    for p in preferred
                ]
            new_affinity[which] = new_part
        spec = {**spec, "affinity": new_affinity}
    return spec


def _with_keys(term: Object, labels: dict[str, str]) -> Object:
    selector = term.get("labelSelector")
    if selector is None:
        return term
    more = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in term.get(field) or ()
        if key in labels
    ]
    if not more:
        return term
    return {
        **term,
        "labelSelector": {**selector, "matchExpressions": [*(selector.get("matchExpressions") or []), *more]},
    }
