"""ControllerRevisions: the past templates of StatefulSets and DaemonSets, so that a rollout can be undone. All pure.

A revision's data is a strategic merge patch that puts the template back. Its name is a hash of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..api.object import Object, name_of, namespace_of, owner_reference
from .common import hash_of, same
from .plan import Action, Create, Delete, Patch, Update

RESOURCE = "controllerrevisions.apps"


@dataclass(frozen=True, slots=True)
class Current:
    """The revision of the template in use, and what must be done so that it exists."""

    revision: Object
    actions: list[Action]
    collision_count: int


def data_of(template: Object) -> Object:
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def template_of(revision: Object) -> Object:
    template = revision["data"]["spec"]["template"]
    return {k: v for k, v in template.items() if k != "$patch"}


def in_order(revisions: list[Object]) -> list[Object]:
    """Oldest first."""
    return sorted(
        revisions, key=lambda r: (r["revision"], r["metadata"].get("creationTimestamp") or "", name_of(r))
    )


def current_revision(
    owner: Object,
    api_version: str,
    kind: str,
    revisions: list[Object],
    *,
    taken: list[str],
    hash_label: str,
    annotations: dict[str, str],
    collision_count: int,
) -> Current:
    """A template that was there before gets its old revision again, under a new number (a rollback)."""
    template = owner["spec"]["template"]
    data = data_of(template)
    ordered = in_order(revisions)
    next_number = ordered[-1]["revision"] + 1 if ordered else 1
    equal = [r for r in ordered if same(r["data"], data)]
    if equal:
        found = equal[-1]
        if found is ordered[-1]:
            return Current(found, [], collision_count)
        renumbered = {**found, "revision": next_number}
        return Current(renumbered, [Update(RESOURCE, renumbered)], collision_count)
    while True:
        digest = hash_of(data, collision_count)
        name = f"{name_of(owner)}-{digest}"
        if name not in taken:
            break
        collision_count += 1
    labels = (template.get("metadata") or {}).get("labels") or {}
    revision: Object = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": namespace_of(owner),
            "labels": {**labels, hash_label: digest},
            "ownerReferences": [owner_reference(owner, api_version, kind)],
        },
        "data": data,
        "revision": next_number,
    }
    if annotations:
        revision["metadata"]["annotations"] = annotations
    return Current(revision, [Create(RESOURCE, revision)], collision_count)


def truncate(
    revisions: list[Object], live: set[str], limit: int | None, *, live_count: bool = False
) -> list[Action]:
    """Forgets the oldest of those that nobody uses, beyond the limit (towards which the live ones may count)."""
    unused = [r for r in in_order(revisions) if name_of(r) not in live]
    surplus = len(revisions if live_count else unused) - (10 if limit is None else limit)
    return [
        Delete(RESOURCE, namespace_of(r), name_of(r), r["metadata"].get("uid", ""))
        for r in unused[: max(0, surplus)]
    ]


def adopt(revision: Object, owner: Object, api_version: str, kind: str) -> Patch:
    metadata = {
        "ownerReferences": [owner_reference(owner, api_version, kind)],
        "uid": revision["metadata"]["uid"],
    }
    return Patch(RESOURCE, namespace_of(revision), name_of(revision), {"metadata": metadata}, "strategic")
