"""Who set which field: `metadata.managedFields` through creates, updates and server-side applies (KEP-555; apimachinery's util/managedfields).

An update takes what it changed from everybody else and adds it to its manager's entry. An apply merges a configuration into the live object,
takes what the configuration sets, and removes what the same manager applied last time and nobody else holds; fields of others that it would
change are conflicts, unless forced. Entries are kept as the API shows them, and are never changed, only replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from . import fieldset as sets
from . import merge as merging
from .errors import ApiError, Cause, bad_request
from .fieldset import FieldSet
from .merge_types import Shape
from .object import Object

UPDATE_MANAGERS_MAX = 10
ANCIENT, BEFORE_FIRST_APPLY, UNKNOWN = "ancient-changes", "before-first-apply", "unknown"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ANNOTATIONS_SIZE_MAX = 256 * 1024
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


@dataclass(frozen=True, slots=True)
class Request:
    """Whose write, in which version, through which door."""

    manager: str
    api_version: str
    subresource: str
    now: str
    reset: sets.FieldSet | None = None  # fields that this door does not let through
    only: sets.FieldSet | None = None  # … or the only ones that it does

    def filtered(self, fields: FieldSet) -> FieldSet:
        if self.reset is not None:
            fields = sets.without(fields, self.reset)
        return fields if self.only is None else sets.below(fields, self.only)

    def key(self, operation: str) -> Key:
        version = "" if operation == "Apply" else self.api_version
        return self.manager or UNKNOWN, operation, version, self.subresource

    def entry(self, operation: str, fields: FieldSet, time: str) -> Object:
        entry: Object = {"manager": self.manager or UNKNOWN, "operation": operation}
        entry["apiVersion"] = self.api_version
        if time:
            entry["time"] = time
        entry["fieldsType"], entry["fieldsV1"] = "FieldsV1", fields
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


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
    """Applies before updates, then by time."""
    if len(managers) == 1:
        return list(managers.values())
    return sorted(
        managers.values(),
        key=lambda e: (
            e["operation"],
            e.get("time") or "",
            e.get("manager") or "",
            e["apiVersion"],
            e.get("subresource") or "",
        ),
    )


def _with_fields(entry: Object, fields: FieldSet) -> Object:
    return {**entry, "fieldsV1": fields}


def _fields(entry: Object) -> FieldSet:
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
    before = (live or {}).get("metadata", {}).get("managedFields") or []
    asked = new["metadata"].get("managedFields")
    if asked is not None and asked != before and not request.subresource:
        if asked in ([], [{}]):
            before = []
        elif not problem(asked):
            before = asked
    if live is not None and not before:
        return []  # nobody is tracked until the first apply
    try:
        return _updated(live, new, decode(before), versions, request) or []
    except merging.Mismatch:
        return (live or {}).get("metadata", {}).get("managedFields") or []


def _updated(
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
        managers = _released(managers, live or {}, new, versions, request, (changed, removed))
    mine = _stripped(changed)
    if mine:
        key = request.key("Update")
        previous = managers.get(key)
        fields = mine if previous is None else sets.union(mine, _fields(previous))
        managers = {**managers, key: request.entry("Update", fields, request.now)}
        if len(managers) > UPDATE_MANAGERS_MAX:
            managers = _capped(managers)
    return encode(managers)


def _stripped(fields: FieldSet) -> FieldSet:
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


def _released(
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
        fields = _fields(entry)
        taken = sets.intersection(fields, changed) if changed else {}
        if taken and conflicts is not None:
            conflicts[key] = taken
        kept = sets.difference(sets.difference(fields, taken), removed)
        if kept:
            left[key] = entry if kept == fields else _with_fields(entry, kept)
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
        merged = _with_fields(managers[bucket], sets.union(_fields(entry), _fields(managers[bucket])))
        managers[bucket] = {**merged, "time": entry.get("time")}
        if key != bucket:
            del managers[key]
        count -= 1
    return managers


# -- apply ---------------------------------------------------------------------------------------------------


class Conflicts(Exception):
    """Fields that others hold with other values."""

    def __init__(self, found: dict[Key, FieldSet], managers: Managers):
        super().__init__()
        self.found, self.managers = found, managers

    def error(self) -> ApiError:
        of: dict[str, list[str]] = {}
        for key, fields in sorted(self.found.items(), key=lambda item: _described(item[0])):
            of[_described(key)] = list(sets.paths(fields))
        causes = [
            Cause("FieldManagerConflict", f"conflict with {who}", path) for who in of for path in of[who]
        ]
        if len(causes) == 1:
            message = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
        else:
            lines = [
                line for who in of for line in (f"conflicts with {who}:", *(f"- {path}" for path in of[who]))
            ]
            message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
        error = ApiError(409, "Conflict", message)
        error.causes = causes
        return error


def _described(key: Key) -> str:
    manager, operation, version, subresource = key
    text = orjson.dumps(manager).decode()
    if subresource:
        text += f' with subresource "{subresource}"'
    return f"{text} using {version}" if operation == "Update" else text


def apply(
    live: Object,
    config: Object,
    versions: Versions,
    request: Request,
    kind: str,
    *,
    force: bool,
    exists: bool,
) -> tuple[Object | None, list[Object]]:
    """(the new object in the request's version, or None if nothing changes; the entries). Raises ApiError for what cannot be applied.

    `live` is in the request's version too; for an object to be created it is the kind's empty one.
    """
    api_version, given_kind = config.get("apiVersion") or "", config.get("kind") or ""
    if (api_version, given_kind) != (request.api_version, kind):
        raise bad_request(f"invalid object type: {_gvk(api_version, given_kind)}")
    managers = decode(live["metadata"].get("managedFields"))
    if not managers and exists:
        first = replace(request, manager=BEFORE_FIRST_APPLY)
        try:
            managers = decode(_updated(None, live, {}, versions, first))
        except merging.Mismatch as error:
            text = f"failed to create manager for existing fields: {error}"
            raise ApiError(500, "", text, details=False) from None
    meta = config.get("metadata")
    if isinstance(meta, dict) and meta.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    shape = versions.shape(request.api_version)
    assert shape is not None
    try:
        merging.check(shape, config)
    except merging.Mismatch as error:
        text = f"failed to create typed patch object ({described(config)}): {error}"
        raise ApiError(500, "", text, details=False) from None
    try:
        return _applied(live, config, managers, versions, request, shape, force)
    except merging.Mismatch as error:
        text = f"failed to merge config: {error}"
        raise ApiError(500, "", text, details=False) from None


def described(obj: Object) -> str:
    """`namespace/name; group/version, Kind=kind`."""
    meta = obj.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    gvk = _gvk(obj.get("apiVersion") or "", obj.get("kind") or "")
    return f"{meta.get('namespace') or ''}/{meta.get('name') or ''}; {gvk}"


def _gvk(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    return f"{group}/{version}, Kind={kind}"


def _applied(
    live: Object,
    config: Object,
    managers: Managers,
    versions: Versions,
    request: Request,
    shape: Shape,
    force: bool,
) -> tuple[Object | None, list[Object]]:
    try:
        new, after = _merged(live, config, managers, versions, request, shape, force)
    except Conflicts as conflicts:
        allowed = _allowed_by_last_applied(live, versions, request, shape)
        if allowed is None:
            raise conflicts.error() from None
        rest = {
            key: found
            for key, fields in conflicts.found.items()
            if (found := sets.difference(fields, allowed))
        }
        if rest:
            raise Conflicts(rest, conflicts.managers).error() from None
        new, after = _merged(live, config, managers, versions, request, shape, True)
    if request.manager == "kubectl":
        new = _with_last_applied(new, live, config)
    return new, encode(after)


def _merged(
    live: Object,
    config: Object,
    managers: Managers,
    versions: Versions,
    request: Request,
    shape: Shape,
    force: bool,
) -> tuple[Object | None, Managers]:
    merged = merging.merge(shape, live, config)
    key = request.key("Apply")
    last = managers.get(key)
    mine = request.filtered(merging.field_set(shape, config))
    entry = request.entry("Apply", mine, (last or {}).get("time") or "")
    managers = {**managers, key: entry}
    new = _pruned(merged, managers, versions, request, last, entry)
    comparison = merging.compare(shape, live, new)
    comparison = (request.filtered(comparison[0]), request.filtered(comparison[1]))
    conflicts: dict[Key, FieldSet] = {}
    managers = _released(managers, live, new, versions, request, comparison, key, conflicts)
    if conflicts and not force:
        raise Conflicts(conflicts, managers)
    mine = _stripped(mine)
    unchanged = _same(live, new)
    if mine:
        time = ((last or {}).get("time") or "") if unchanged else request.now
        managers[key] = request.entry("Apply", mine, time)
    else:
        managers.pop(key)
    return None if unchanged else new, managers


def _same(live: Object, new: Object) -> bool:
    return live is new or live == new


def _pruned(
    merged: Object, managers: Managers, versions: Versions, request: Request, last: Object | None, now: Object
) -> Object:
    """Without the fields, list items and map entries that the manager applied last time, does not apply now, and nobody else holds."""
    if last is None or not _fields(last):
        return merged
    version = last["apiVersion"]
    shape = versions.shape(version)
    given_up = version != request.api_version or sets.difference(_fields(last), _fields(now))
    if shape is None or not given_up:
        return merged
    at_last = versions.convert(merged, version)
    last_fields = merging.with_named(shape, _fields(last))
    pruned = {"apiVersion": version, **(merging.remove(shape, at_last, last_fields) or {})}
    held: dict[str, FieldSet] = {version: {}}  # first, so that no conversion misses what it needs
    for entry in managers.values():
        held[entry["apiVersion"]] = sets.union(held.get(entry["apiVersion"], {}), _fields(entry))
    whole = at_last
    for at, fields in held.items():
        there = versions.shape(at)
        if there is None or not fields:
            continue
        whole, pruned = versions.convert(whole, at), versions.convert(pruned, at)
        everything = merging.with_named(there, merging.field_set(there, whole))
        kept = merging.with_named(there, merging.field_set(there, pruned))
        kept = sets.union(kept, merging.with_named(there, fields))
        pruned = merging.remove(there, whole, sets.difference(everything, kept)) or {}
    kept = merging.with_named(shape, merging.field_set(shape, versions.convert(pruned, version)))
    everything = merging.with_named(shape, merging.field_set(shape, at_last))
    gone = sets.intersection(sets.difference(everything, kept), last_fields)
    if not gone:
        return merged
    return versions.convert(merging.remove(shape, at_last, gone) or {}, request.api_version)


# -- kubectl's own apply, before and after ---------------------------------------------------------------------


def _allowed_by_last_applied(
    live: Object, versions: Versions, request: Request, shape: Shape
) -> FieldSet | None:
    """What client-side apply set and is still so: `kubectl apply --server-side` may take that over. None: this is not that."""
    if request.manager != "kubectl":
        return None
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return None
    try:
        config = orjson.loads(text)
        if not isinstance(config, dict) or config.get("apiVersion") != request.api_version:
            return None
        merging.check(shape, config)
        changed, removed = merging.compare(shape, config, live)
        fields = merging.field_set(shape, config)
    except (orjson.JSONDecodeError, merging.Mismatch):
        return None
    return sets.difference(sets.difference(fields, changed), removed)


def _with_last_applied(new: Object | None, live: Object, config: Object) -> Object | None:
    """Where the annotation of client-side apply is, it follows what is applied here."""
    base = live if new is None else new
    annotations = base["metadata"].get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return new
    meta = dict(config.get("metadata") or {})
    if LAST_APPLIED in (meta.get("annotations") or {}):
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k != LAST_APPLIED}
    text = orjson.dumps({**config, "metadata": meta}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    annotations = {**annotations, LAST_APPLIED: text}
    if sum(len(k) + len(v) for k, v in annotations.items()) > ANNOTATIONS_SIZE_MAX:
        del annotations[LAST_APPLIED]
    if annotations == base["metadata"].get("annotations"):
        return new
    return {**base, "metadata": {**base["metadata"], "annotations": annotations}}


# -- scale -----------------------------------------------------------------------------------------------------

SCALE_VERSION = "autoscaling/v1"
REPLICAS = ("f:spec", "f:replicas")


def to_scale(entries: Any, paths: Mapping[str, tuple[str, ...]]) -> list[Object]:
    """The entries of an object, as far as they are about its replicas, as those of its scale. `paths`: by apiVersion, where the replicas are."""
    found = []
    for entry in entries or ():
        path = paths.get(entry["apiVersion"])
        if path and sets.has(_fields(entry), *path):
            found.append({**entry, "apiVersion": SCALE_VERSION, "fieldsV1": sets.of_path(*REPLICAS)})
    return found


def from_scale(
    entries: Any, scale_entries: list[Object], paths: Mapping[str, tuple[str, ...]], api_version: str
) -> list[Object]:
    """The object's entries after a write to its scale left these."""
    scale = {_scale_key(entry): entry for entry in scale_entries}
    managers: Managers = {}
    for key, entry in decode(entries).items():
        if entry["apiVersion"] not in paths:
            continue
        path = paths[entry["apiVersion"]]
        if not path or not sets.has(_fields(entry), *path) or scale.pop(_scale_key(entry), None) is not None:
            managers[key] = entry
            continue
        rest = sets.difference(_fields(entry), sets.of_path(*path))
        if rest:
            managers[key] = _with_fields(entry, rest)
    for entry in scale.values():
        if sets.has(_fields(entry), *REPLICAS):
            made = {
                **entry,
                "apiVersion": api_version,
                "fieldsV1": sets.of_path(*(paths.get(api_version) or REPLICAS)),
            }
            made.pop("time", None)
            managers[_key(made)] = made
    return encode(managers)


def _scale_key(entry: Object) -> Key:
    manager, operation, _, subresource = _key(entry)
    return manager, operation, "", subresource
