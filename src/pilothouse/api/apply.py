"""Server-side apply (KEP-555): a configuration is merged into the live object, and says what its manager wants of it, no more and no less.

It takes what it sets, and removes what the same manager applied last time and nobody else holds; fields of others that it would change are
conflicts, unless forced. What fits a schema and how parts merge is in merge.py; the entries in managed_fields.py.
"""

from __future__ import annotations

from dataclasses import replace

import orjson

from . import fieldset as sets
from . import merge as merging
from .errors import ApiError, Cause, bad_request
from .fieldset import FieldSet
from .managed_fields import (
    Key,
    Managers,
    Request,
    Versions,
    decode,
    encode,
    fields_of,
    released,
    stripped,
    updated,
)
from .merge_types import Shape
from .object import Object

BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ANNOTATIONS_SIZE_MAX = 256 * 1024


class Conflicts(Exception):
    """Fields that others hold with other values."""

    def __init__(self, found: dict[Key, FieldSet], managers: Managers):
        super().__init__()
        self.found, self.managers = found, managers

    def error(self) -> ApiError:
        of: dict[str, list[str]] = {}
        for key, fields in sorted(self.found.items(), key=lambda item: _identifier(item[0])):
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


def _identifier(key: Key) -> bytes:
    """What upstream calls a manager, and sorts by."""
    names = ("manager", "operation", "apiVersion", "subresource")
    return orjson.dumps({name: part for name, part in zip(names, key, strict=True) if part})


def _described(key: Key) -> str:
    manager, operation, version, subresource = key
    text = orjson.dumps(manager).decode()
    if subresource:
        text += f' with subresource "{subresource}"'
    return f"{text} using {version}" if operation == "Update" else text


_HEAD = ("apiVersion", "kind")


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
    api_version, given_kind = (text if isinstance(text := config.get(f), str) else "" for f in _HEAD)
    if (api_version, given_kind) != (request.api_version, kind):
        raise bad_request(f"invalid object type: {_gvk(api_version, given_kind)}")
    managers = decode(live["metadata"].get("managedFields"))
    if not managers and exists:
        first = replace(request, manager=BEFORE_FIRST_APPLY)
        try:
            managers = decode(updated(None, live, {}, versions, first))
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
    managers = released(managers, live, new, versions, request, comparison, key, conflicts)
    if conflicts and not force:
        raise Conflicts(conflicts, managers)
    mine = stripped(mine)
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
    if last is None or not fields_of(last):
        return merged
    version = last["apiVersion"]
    shape = versions.shape(version)
    given_up = version != request.api_version or sets.difference(fields_of(last), fields_of(now))
    if shape is None or not given_up:
        return merged
    at_last = versions.convert(merged, version)
    last_fields = merging.with_named(shape, fields_of(last))
    pruned = {"apiVersion": version, **(merging.remove(shape, at_last, last_fields) or {})}
    held: dict[str, FieldSet] = {version: {}}  # first, so that no conversion misses what it needs
    for entry in managers.values():
        held[entry["apiVersion"]] = sets.union(held.get(entry["apiVersion"], {}), fields_of(entry))
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
