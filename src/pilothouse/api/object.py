"""A Kubernetes object is a plain dict of its JSON. These are the few helpers to read one."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
"""A whole object, or any part of one, keyed as the API has it."""


def namespace_of(obj: Object) -> str:
    """ "" for a cluster-scoped object."""
    return obj.get("metadata", {}).get("namespace") or ""


def name_of(obj: Object) -> str:
    return obj["metadata"].get("name") or ""


def key_of(obj: Object) -> str:
    """`namespace/name`, or `name` for a cluster-scoped object: what workqueues and caches use."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_key(key: str) -> tuple[str, str]:
    """(namespace, name)."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def uid_of(obj: Object) -> str:
    return obj["metadata"].get("uid") or ""


def labels_of(obj: Object) -> dict[str, str]:
    return obj.get("metadata", {}).get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    return obj.get("metadata", {}).get("annotations") or {}


def is_deleting(obj: Object) -> bool:
    return bool(obj.get("metadata", {}).get("deletionTimestamp"))


def get(obj: Any, path: str, default: Any = None) -> Any:
    """`get(pod, "status.podIP")`: the value at a dotted path through dicts, else `default`. Not for keys with dots."""
    for key in path.split("."):
        if not isinstance(obj, dict) or (obj := obj.get(key)) is None:
            return default
    return obj


def controller_of(obj: Object) -> Object | None:
    """The ownerReference with `controller: true`."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return reference
    return None


def owner_reference(owner: Object, api_version: str, kind: str) -> Object:
    """`metav1.NewControllerRef`."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition_of(obj: Object, type_: str) -> Object | None:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition["type"] == type_:
            return condition
    return None


def with_condition(obj: Object, condition: Object) -> Object:
    """What a strategic patch of the status holds for one condition: a new one comes after those that are there."""
    types = [held["type"] for held in (obj.get("status") or {}).get("conditions") or ()]
    types += [condition["type"]] if condition["type"] not in types else []
    order = [{"type": type_} for type_ in types]
    return {"$setElementOrder/conditions": order, "conditions": [condition]}
