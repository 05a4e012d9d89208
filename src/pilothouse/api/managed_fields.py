"""Who set which field: `metadata.managedFields` through creates and updates (KEP-555; apimachinery's util/managedfields). Applies are in apply.py.

An update takes what it changed from everybody else and adds it to its manager's entry. Entries are kept as the API shows them, and are
never changed, only replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from . import fieldset as sets
from . import merge as merging
from .fieldset import FieldSet
from .merge_types import Shape
from .object import Object

UPDATE_MANAGERS_MAX = 10
SHARED_MAX = 1_024
ANCIENT, UNKNOWN = "ancient-changes", "unknown"
_STRIPPED: FieldSet = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        sets.ITSELF: {},
        **{
            f"f:{field}": {}
            for field in (
                "name namespace creationTimestamp selfLink uid clusterName generation managedFields resourceVersion"
            ).split()
        },
    },
}

Key = tuple[str, str, str, str]
Managers = dict[Key, Object]
"""(manager, operation, apiVersion of an update, subresource) -> its entry."""


class Versions(Protocol):
    """What the versions of a kind look like."""

    def shape(self, api_version: str) -> Shape | None:
        """None: not a version of this kind (any more)."""

    def convert(self, obj: Object, api_version: str) -> Object:
        """`obj`, which says of what version it is, in another."""


@dataclass(slots=True)
class Request:
    """Whose write, in which version, through which door."""

    manager: str
    api_version: str
    subresource: str
    now: str
    reset: sets.FieldSet | None = None  # fields that this door does not let through

    def filtered(self, fields: FieldSet) -> FieldSet:
        return fields if self.reset is None else sets.without(fields, self.reset)

    def key(self, operation: str) -> Key:
        version = "" if operation == "Apply" else self.api_version
        return self.manager or UNKNOWN, operation, version, self.subresource

    def entry(self, operation: str, fields: FieldSet, time: str) -> Object:
        entry: Object = {"manager": self.manager or UNKNOWN, "operation": operation}
        entry["apiVersion"] = self.api_version
        if time:
            entry["time"] = time
        entry["fieldsType"], entry["fieldsV1"] = "FieldsV1", shared(fields, _in_order)
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


_shared: dict[bytes, FieldSet] = {}


def shared(fields: FieldSet, made: Callable[[FieldSet], FieldSet] = lambda fields: fields) -> FieldSet:
    """What `made` makes of the fields, once for all that are equal: objects made alike have owners alike, and would be a third larger."""
    key = orjson.dumps(fields)
    known = _shared.get(key)
    if known is None:
        if len(_shared) >= SHARED_MAX:
            _shared.clear()
        known = _shared[key] = made(fields)
    return known


def _in_order(fields: FieldSet) -> FieldSet:
    """As Kubernetes writes a set: `.` first, then by name."""
    return {name: _in_order(fields[name]) if fields[name] else fields[name] for name in sorted(fields)}


# -- entries -------------------------------------------------------------------------------------------------


def _key(entry: Object) -> Key:
    operation = entry.get("operation") or ""
    version = "" if operation == "Apply" else entry.get("apiVersion") or ""
    return entry.get("manager") or "", operation, version, entry.get("subresource") or ""


def problem(entries: Any) -> str:
    """What is wrong with a client's managedFields; "" if nothing."""
    for index, entry in enumerate(entries or ()):
        if entry.get("operation") not in ("Apply", "Update"):
            return "operation must be `Apply` or `Update`"
        if not entry.get("apiVersion"):
            return "apiVersion must not be empty"
        fields_type = entry.get("fieldsType")
        if not fields_type:
            return f"missing fieldsType in managed fields entry {index}"
        if fields_type != "FieldsV1":
            return f'invalid fieldsType "{fields_type}" in managed fields entry {index}'
        if not sets.is_valid(entry.get("fieldsV1") or {}):
            return f"error decoding versioned set from {entry}: error decoding set"
    return ""


def decode(entries: Any) -> Managers:
    return {_key(entry): entry for entry in entries or ()}


def encode(managers: Managers) -> list[Object]:
    return in_order(list(managers.values()))


def in_order(entries: list[Object]) -> list[Object]:
    """Applies before updates, then by time."""
    if len(entries) < 2:
        return entries
    return sorted(
        entries,
        key=lambda e: (
            e["operation"],
            e.get("time") or "",
            e.get("manager") or "",
            e["apiVersion"],
            e.get("subresource") or "",
        ),
    )


def _withfields_of(entry: Object, fields: FieldSet) -> Object:
    return {**entry, "fieldsV1": fields}


def fields_of(entry: Object) -> FieldSet:
    return entry.get("fieldsV1") or {}


def set_entries(obj: Object, entries: list[Object]) -> None:
    """On an object whose metadata is ours to change."""
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


# -- update --------------------------------------------------------------------------------------------------


def update(live: Object | None, new: Object, versions: Versions, request: Request) -> list[Object]:
    """The entries after a create (`live` is None) or an update. What the new object itself says of them counts, if it is sound."""
    asked = new["metadata"].get("managedFields")
    if live is None and asked is None:
        return _of_new(new, versions, request)
    before = (live or {}).get("metadata", {}).get("managedFields") or []
    if asked is not None and asked != before and not request.subresource:
        if asked in ([], [{}]):
            before = []
        elif not problem(asked):
            before = asked
    if live is not None and not before:
        return []  # nobody is tracked until the first apply
    try:
        return updated(live, new, decode(before), versions, request) or []
    except merging.Mismatch:
        return (live or {}).get("metadata", {}).get("managedFields") or []


def _of_new(new: Object, versions: Versions, request: Request) -> list[Object]:
    """A plain create, the most frequent: all of it is its manager's."""
    shape = versions.shape(request.api_version)
    if shape is None:
        return []
    try:
        made = (
            new
            if new.get("apiVersion") == request.api_version
            else versions.convert(new, request.api_version)
        )
        fields = merging.initial(shape, made)
        if request.reset:
            fields = request.filtered(fields)
    except merging.Mismatch:
        return []
    mine = stripped(fields)
    return [request.entry("Update", mine, request.now)] if mine else []


def updated(
    live: Object | None, new: Object, managers: Managers, versions: Versions, request: Request
) -> list[Object]:
    shape = versions.shape(request.api_version)
    if shape is None:
        return encode(managers)
    made = versions.convert(new, request.api_version)
    removed: FieldSet = {}
    if live is None:
        changed = merging.initial(shape, made)
    else:
        changed, removed = merging.compare(shape, versions.convert(live, request.api_version), made)
    changed, removed = request.filtered(changed), request.filtered(removed)
    if managers:
        managers = released(managers, live or {}, new, versions, request, (changed, removed))
    mine = stripped(changed)
    if mine:
        key = request.key("Update")
        previous = managers.get(key)
        fields = mine if previous is None else sets.union(mine, fields_of(previous))
        managers = {**managers, key: request.entry("Update", fields, request.now)}
        if len(managers) > UPDATE_MANAGERS_MAX:
            managers = _capped(managers)
    return encode(managers)


def stripped(fields: FieldSet) -> FieldSet:
    """Without what nobody owns."""
    if "f:apiVersion" in fields or "f:kind" in fields:
        fields = {element: below for element, below in fields.items() if element not in _STRIPPED or below}
    meta = fields.get("f:metadata")
    if meta is None:
        return fields
    nobodys = _STRIPPED["f:metadata"]
    kept = {element: below for element, below in meta.items() if element not in nobodys}
    if kept:
        return {**fields, "f:metadata": kept}
    return {element: below for element, below in fields.items() if element != "f:metadata"}


def released(
    managers: Managers,
    live: Object,
    new: Object,
    versions: Versions,
    request: Request,
    comparison: tuple[FieldSet, FieldSet],
    applying: Key | None = None,
    conflicts: dict[Key, FieldSet] | None = None,
) -> Managers:
    """The managers without what a change took from them, and without those of versions that are gone.

    `conflicts` collects what was taken by changing it. The one who applies keeps what it has.
    """
    compared = {request.api_version: comparison}
    left: Managers = {}
    for key, entry in managers.items():
        if key == applying:
            left[key] = entry
            continue
        version = entry["apiVersion"]
        if version not in compared:
            shape = versions.shape(version)
            if shape is None:
                continue
            old, now = versions.convert(live, version), versions.convert(new, version)
            changed, removed = merging.compare(shape, old, now)
            compared[version] = (request.filtered(changed), request.filtered(removed))
        changed, removed = compared[version]
        fields = fields_of(entry)
        taken = sets.intersection(fields, changed) if changed else {}
        if taken and conflicts is not None:
            conflicts[key] = taken
        kept = sets.difference(sets.difference(fields, taken), removed)
        if kept:
            left[key] = entry if kept == fields else _withfields_of(entry, kept)
    return left


def _capped(managers: Managers) -> Managers:
    """At most ten entries of updates: of each version, the oldest become one."""
    updates = [key for key, entry in managers.items() if entry["operation"] == "Update"]
    updates.sort(key=lambda key: (managers[key].get("time") or "", key))
    count = len(updates)
    managers = dict(managers)
    first: dict[str, Key] = {}
    for key in updates:
        if count <= UPDATE_MANAGERS_MAX:
            break
        entry = managers[key]
        version = entry["apiVersion"]
        if version not in first:
            first[version] = key
            continue
        bucket: Key = (ANCIENT, "Update", version, "")
        if bucket not in managers:
            managers[bucket] = {**managers.pop(first[version]), "manager": ANCIENT}
            managers[bucket].pop("subresource", None)
        merged = _withfields_of(managers[bucket], sets.union(fields_of(entry), fields_of(managers[bucket])))
        managers[bucket] = {**merged, "time": entry.get("time")}
        if key != bucket:
            del managers[key]
        count -= 1
    return managers


# -- scale -----------------------------------------------------------------------------------------------------

SCALE_VERSION = "autoscaling/v1"
REPLICAS = ("f:spec", "f:replicas")


def to_scale(entries: Any, paths: Mapping[str, tuple[str, ...]]) -> list[Object]:
    """The entries of an object, as far as they are about its replicas, as those of its scale. `paths`: by apiVersion, where the replicas are."""
    found = []
    for entry in entries or ():
        path = paths.get(entry["apiVersion"])
        if path and sets.has(fields_of(entry), *path):
            found.append({**entry, "apiVersion": SCALE_VERSION, "fieldsV1": sets.of_path(*REPLICAS)})
    return found


def from_scale(
    entries: Any, scale_entries: list[Object], paths: Mapping[str, tuple[str, ...]], api_version: str
) -> list[Object]:
    """The object's entries after a write to its scale left these.

    Who applied keeps its entry. Who updated gets a new one for the replicas, without a time, beside its old one without them: an update is
    told by its version too, and a scale has another.
    """
    scale = {_scale_key(entry): entry for entry in scale_entries}
    kept: list[Object] = []
    for entry in decode(entries).values():
        if entry["apiVersion"] not in paths:
            continue
        path = paths[entry["apiVersion"]]
        if (
            not path
            or not sets.has(fields_of(entry), *path)
            or (entry.get("operation") == "Apply" and scale.pop(_scale_key(entry), None) is not None)
        ):
            kept.append(entry)
            continue
        rest = sets.difference(fields_of(entry), sets.of_path(*path))
        if rest:
            kept.append(_withfields_of(entry, rest))
    for entry in scale.values():
        if sets.has(fields_of(entry), *REPLICAS):
            made = {
                **entry,
                "apiVersion": api_version,
                "fieldsV1": sets.of_path(*(paths.get(api_version) or REPLICAS)),
            }
            made.pop("time", None)
            kept.append(made)
    return in_order(kept)


def _scale_key(entry: Object) -> Key:
    manager, operation, _, subresource = _key(entry)
    return manager, operation, "", subresource
