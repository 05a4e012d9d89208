"""Namespaces: born with the finalizer `kubernetes` in their spec, deleted in two steps.

A DELETE only marks (phase Terminating); the namespace controller empties it and then takes the finalizer out by `/finalize`; the one that
takes the last away removes the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.object import Object

if TYPE_CHECKING:
    from ..options import DeleteOptions
    from .generic import Registry
    from .operation import Operation

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


def prepare_create(registry: Registry, op: Operation) -> None:
    obj = op.object
    assert obj is not None
    spec = obj["spec"] = dict(obj.get("spec") or {})
    finalizers = list(spec.get("finalizers") or [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    spec["finalizers"] = finalizers
    _label(obj)


def prepare_update(registry: Registry, op: Operation) -> None:
    new, old = op.object, op.old
    assert new is not None and old is not None
    if op.subresource == "finalize":
        new["status"] = old.get("status") or {}
    else:
        spec = dict(new.get("spec") or {})
        finalizers = (old.get("spec") or {}).get("finalizers")
        if finalizers:
            spec["finalizers"] = finalizers
        else:
            spec.pop("finalizers", None)
        new["spec"] = spec
    _label(new)


def _label(obj: Object) -> None:
    """The label that selectors of namespaces rely on is forced back on every write (KEP-2161)."""
    meta = obj["metadata"]
    if meta.get("name"):
        meta["labels"] = {**(meta.get("labels") or {}), NAME_LABEL: meta["name"]}


def finalizing(obj: Object) -> bool:
    return bool((obj.get("spec") or {}).get("finalizers"))


def mark(registry: Registry, old: Object, options: DeleteOptions) -> Object | None:
    """The namespace as it is once its deletion has begun; None if it has."""
    if old["metadata"].get("deletionTimestamp"):
        return None
    metadata = {**old["metadata"], "deletionTimestamp": registry.now()}
    policy = options.propagation
    if options.orphan_dependents is not None:
        policy = "Orphan" if options.orphan_dependents else "Foreground"
    if policy:
        wanted = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])
        others = [f for f in metadata.get("finalizers") or () if f not in (ORPHAN, FOREGROUND)]
        metadata["finalizers"] = others + wanted
    return {**old, "metadata": metadata, "status": {**(old.get("status") or {}), "phase": "Terminating"}}
