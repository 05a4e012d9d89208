"""What plugins may ask for beside nodes and pods: claims, volumes, classes, budgets, and whom a pod belongs to."""

from __future__ import annotations

from ..api.object import Object, is_deleting, labels_of, name_of, namespace_of, uid_of
from ..api.selectors import Matcher, from_object
from ..client.informer import Informers
from .snapshot import amount

STORAGE = (
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "csidrivers.storage.k8s.io",
    "csistoragecapacities.storage.k8s.io",
)


# what a volume and its claim have alike, and what it is when not given
_ALIKE = (("storageClassName", ""), ("volumeMode", "Filesystem"), ("volumeAttributesClassName", ""))


class View:
    def __init__(self, informers: Informers):
        self.storage = {resource: informers.of(resource) for resource in STORAGE}
        self._budgets = informers.of("poddisruptionbudgets.policy")
        self._services = informers.of("services")
        self._owners = [
            informers.of(resource)
            for resource in ("replicasets.apps", "statefulsets.apps", "replicationcontrollers")
        ]
        self.reserved: dict[str, str] = {}  # volume -> key of the claim that is being bound to it

    def claim(self, namespace: str, name: str) -> Object | None:
        return self.storage["persistentvolumeclaims"].get(namespace, name)

    def volume(self, name: str) -> Object | None:
        return self.storage["persistentvolumes"].get("", name)

    def storage_class(self, name: str) -> Object | None:
        return self.storage["storageclasses.storage.k8s.io"].get("", name)

    def csi_node(self, name: str) -> Object | None:
        return self.storage["csinodes.storage.k8s.io"].get("", name)

    def csi_driver(self, name: str) -> Object | None:
        return self.storage["csidrivers.storage.k8s.io"].get("", name)

    def capacities(self, class_name: str) -> list[Object]:
        """What the CSI drivers report to have left for a class (KEP-1472)."""
        found = self.storage["csistoragecapacities.storage.k8s.io"].list()
        return [capacity for capacity in found if capacity.get("storageClassName") == class_name]

    def budgets(self) -> list[Object]:
        return self._budgets.list()

    def volumes_for(self, claim: Object) -> list[Object]:
        """Volumes that would do for this claim: kept for it, else free, the smallest first."""
        spec, key = claim["spec"], f"{namespace_of(claim)}/{name_of(claim)}"
        selector = from_object(spec["selector"]) if spec.get("selector") else None
        wanted = amount("storage", ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))
        found = []
        for volume in self.storage["persistentvolumes"].list():
            of, reference = volume["spec"], volume["spec"].get("claimRef")
            size = amount("storage", (of.get("capacity") or {}).get("storage", "0"))
            if (
                any((of.get(field) or usual) != (spec.get(field) or usual) for field, usual in _ALIKE)
                or size < wanted
                or is_deleting(volume)
                or self.reserved.get(name_of(volume), key) != key
            ):
                continue
            if not (_is_for(reference, claim) if reference else _is_free(volume, claim, selector)):
                continue
            found.append((not reference, size, name_of(volume), volume))
        return [volume for *_, volume in sorted(found, key=lambda entry: entry[:3])]

    def selectors_for(self, pod: Object) -> list[Object]:
        """Label selectors of the Services and the owner of a pod: the kind that it is spread among."""
        labels, namespace = labels_of(pod), namespace_of(pod)
        selectors: list[Object] = []
        for service in self._services.list(namespace) if labels else ():
            selector = (service.get("spec") or {}).get("selector")
            if selector and all(labels.get(key) == value for key, value in selector.items()):
                selectors.append({"matchLabels": selector})
        for reference in pod["metadata"].get("ownerReferences") or ():
            if not reference.get("controller"):
                continue
            for owners in self._owners:
                owner = owners.get(namespace, reference["name"])
                if owner is None or uid_of(owner) != reference["uid"]:
                    continue
                selector = (owner.get("spec") or {}).get("selector") or {}
                plain = owner.get("kind") == "ReplicationController"
                selectors.append({"matchLabels": selector} if plain else selector)
        return selectors


def _is_for(reference: Object, claim: Object) -> bool:
    """Whether somebody has set a volume aside for this claim: modes and labels no longer matter."""
    if reference.get("uid") and reference["uid"] != uid_of(claim):
        return False
    return (reference.get("namespace"), reference.get("name")) == (namespace_of(claim), name_of(claim))


def _is_free(volume: Object, claim: Object, selector: Matcher | None) -> bool:
    return (
        (volume.get("status") or {}).get("phase") == "Available"
        and set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())
        and (selector is None or selector(labels_of(volume)))
    )
