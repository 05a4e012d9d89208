"""The three patches of the API: JSON patch (RFC 6902), JSON merge patch (RFC 7386), strategic merge patch.

All are pure: the current object is never written to, and what a patch does not touch is shared with the result.
The strategic one is driven by the schema's merge keys; its directives are `$patch` (replace, merge, delete),
`$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`
(kubernetes/community, sig-api-machinery/strategic-merge-patch.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from .decode_values import go_kind
from .errors import ApiError, bad_request
from .object import Object
from .schema import Field, Type

OPERATIONS_MAX = 10_000  # apiserver's maxJSONPatchOperations
COPIED_BYTES_MAX = 3 * 1024 * 1024  # … and JSONPatchMaxCopyBytes: what all `copy` operations may add

# -- JSON patch ----------------------------------------------------------------------------------------


class PatchFailed(Exception):
    """An operation that cannot be done, in the words of Kubernetes' library (gopkg.in/evanphx/json-patch.v4)."""

    tested = False  # a `test` that found something else


class _NoIndex(PatchFailed):
    """Not a number."""


class _Missing(PatchFailed):
    """What the operation is to be done in is not there."""


def refused() -> ApiError:
    """What any failed operation gets, without a word on which (422)."""
    return ApiError(
        422, "Invalid", "the server rejected our request due to an error in our request", details=True
    )


def checked_operations(operations: Any, typed: bool = True) -> list[Object]:
    """Raises ApiError (400 for what is no list of operations, 413 for too many). `typed`: their members must be texts too."""
    for index, operation in enumerate(operations if isinstance(operations, list) else ()):
        if operation is None:
            operations = [*operations[:index], {}, *operations[index + 1 :]]
        elif not isinstance(operation, dict):
            raise _undecodable(
                operation, "Go value of type", typed, "handlers.jsonPatchOp", "jsonpatch.Operation"
            )
        for name in ("op", "path", "from") if typed and operation else ():
            if not isinstance(operation.get(name), str | None):
                raise _undecodable(
                    operation[name], f"Go struct field jsonPatchOp.{name} of type", typed, "string"
                )
    if operations is None:
        return []
    if not isinstance(operations, list):
        raise _undecodable(operations, "Go value of type", typed, "[]handlers.jsonPatchOp", "jsonpatch.Patch")
    if len(operations) > OPERATIONS_MAX:
        message = f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", f"Request entity is too large: {message}", details=False)
    return operations


def _undecodable(value: Any, where: str, typed: bool, type_: str, loose_type: str = "") -> ApiError:
    start = "error decoding patch: " if typed else ""
    return bad_request(
        f"{start}json: cannot unmarshal {go_kind(value)} into {where} {type_ if typed else loose_type}"
    )


def json_patch(obj: Any, operations: list[Object]) -> Any:
    """Applies all operations, or raises ApiError (422)."""
    try:
        return patched(obj, operations)
    except PatchFailed:
        raise refused() from None


def patched(obj: Any, operations: list[Object]) -> Any:
    """Raises PatchFailed."""
    document = _Document(obj)
    for operation in operations:
        document.operate(operation)
    return document.root


@contextmanager
def _told(missing: str, op: str, path: str) -> Iterator[None]:
    """What went wrong, with the operation that it went wrong in."""
    try:
        yield
    except _Missing:
        raise PatchFailed(f"{missing}: missing value") from None
    except PatchFailed as error:
        raise PatchFailed(f"error in {op} for path: '{path}': {error}") from None


class _Document:
    """What is patched: containers are copied when they are first changed, and then changed in place, so that many operations cost little."""

    def __init__(self, root: Any):
        self.root = root
        self._ours: dict[int, Any] = {}  # the containers that are ours to change, by id
        self._copied_bytes = 0

    def operate(self, operation: Object) -> None:
        op, path, origin = operation.get("op"), operation.get("path"), operation.get("from")
        if op not in ("add", "remove", "replace", "test", "move", "copy"):
            raise PatchFailed(f"Unexpected kind: {'unknown' if op is None else op}")
        value = operation.get("value")
        if not isinstance(path, str):
            raise PatchFailed(f"{op} operation failed to decode path: missing value")
        tokens = _tokens(path)
        if op in ("move", "copy"):
            if not isinstance(origin, str):
                raise PatchFailed(f"{op} operation failed to decode from: missing value")
            value = self._taken(op, origin)
            with _told(
                f"{op} operation does not apply: doc is missing destination path: {path}", "move", path
            ):
                self._set(tokens, value, insert=True)
            return
        shown = path if op in ("replace", "test") else f'"{path}"'
        missing = f"{op} operation does not apply: {'' if op == 'test' else 'doc '}is missing path: {shown}"
        with _told(missing, "remove" if op == "replace" else str(op), path):
            match op:
                case "add":
                    self._set(tokens, value, insert=True)
                case "remove":
                    self._remove(tokens)
                case "replace":  # of a key that is not there it adds one, as Kubernetes' library does
                    self._set(tokens, value, insert=False)
                case "test":
                    if _same(self._get(tokens), value):
                        return
        if op == "test":
            failed = PatchFailed(f"testing value {path} failed: test failed")
            failed.tested = True
            raise failed

    def _taken(self, op: str, origin: str) -> Any:
        """What is to be moved or copied."""
        missing, last = (
            f"{op} operation does not apply: doc is missing from path: {origin}",
            origin.rpartition("/")[2],
        )
        with _told(missing, op, last):
            tokens = _tokens(origin)
            if not tokens:
                raise _Missing
            value = self._get(tokens)  # what is not there is copied as null
            if op == "move":
                self._remove(tokens)
        return value if op == "move" else self._copy(value)

    def _copy(self, value: Any) -> Any:
        try:
            data = orjson.dumps(value)
        except orjson.JSONEncodeError:
            raise PatchFailed("error while performing deep copy") from None
        self._copied_bytes += len(data)
        if self._copied_bytes > COPIED_BYTES_MAX:
            raise PatchFailed("Unable to complete the copy, the accumulated size increase is too large")
        return orjson.loads(data)

    def _get(self, tokens: list[str]) -> Any:
        """None for a member that is not there."""
        value = self.root
        for position, token in enumerate(tokens):
            last = position == len(tokens) - 1
            if isinstance(value, dict):
                if token not in value and not last:
                    raise _Missing
                value = value.get(token)
            elif isinstance(value, list):
                value = value[_index(token, len(value) - 1) if last else _step(token, value)]
            else:
                raise _Missing
        return value

    def _ours_of(self, value: Any) -> Any:
        if id(value) in self._ours:
            return value
        if not isinstance(value, dict | list):
            raise _Missing
        copy = value.copy()
        self._ours[id(copy)] = copy
        return copy

    def _container(self, tokens: list[str]) -> Any:
        """What the last token is to be looked up in, ours to change."""
        self.root = here = self._ours_of(self.root)
        for token in tokens[:-1]:
            place: Any = token
            if isinstance(here, list):
                place = _step(token, here)
            elif token not in here:
                raise _Missing
            here[place] = inner = self._ours_of(here[place])
            here = inner
        return here

    def _set(self, tokens: list[str], value: Any, *, insert: bool) -> None:
        if not tokens:
            if insert or not isinstance(value, dict | list):
                raise _Missing
            self.root = value
            return
        here, token = self._container(tokens), tokens[-1]
        if isinstance(here, dict):
            here[token] = value
        elif insert:
            try:
                place = len(here) if token == "-" else _index(token, len(here))
            except _NoIndex as error:
                raise PatchFailed(f"value was not a proper array index: '{token}': {error}") from None
            here.insert(place, value)
        else:
            here[_index(token, len(here) - 1)] = value

    def _remove(self, tokens: list[str]) -> None:
        if not tokens:
            raise _Missing
        here, token = self._container(tokens), tokens[-1]
        if isinstance(here, list):
            del here[_index(token, len(here) - 1)]
        elif token in here:
            del here[token]
        else:
            raise _absent(token)


def _absent(key: str) -> PatchFailed:
    return PatchFailed(f"Unable to remove nonexistent key: {key}: missing value")


def _tokens(path: str) -> list[str]:
    """What stands before the first slash is not looked at, as in Kubernetes' library."""
    tokens = path.split("/")[1:]
    if path and not tokens:
        raise _Missing
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def _step(token: str, items: list[Any]) -> int:
    """On the way to where something is to be done."""
    try:
        return _index(token, len(items) - 1)
    except PatchFailed:
        raise _Missing from None


_INDEX = re.compile(r"[-+]?[0-9]{1,10}")


def _index(token: str, last: int) -> int:
    """A position in a list; negative ones count from the end."""
    if not _INDEX.fullmatch(token):
        raise _NoIndex(f'strconv.Atoi: parsing "{token}": invalid syntax')
    index = int(token)
    if index < 0:
        index += last + 1
    if not 0 <= index <= last:
        raise PatchFailed(f"Unable to access invalid index: {int(token)}: invalid index referenced")
    return index


def _same(one: Any, other: Any) -> bool:
    """1 is neither 1.0 nor true."""
    return one == other and (
        orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
    )


# -- merge patch ---------------------------------------------------------------------------------------


def merge_patch(obj: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(obj) if isinstance(obj, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge_patch(merged.get(key), value)
        else:
            merged[key] = _without_nulls(value)
    return merged


def _without_nulls(value: Any) -> Any:
    """A list that is set has no nulls in its objects; among its items they stay."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


# -- strategic merge patch -----------------------------------------------------------------------------

_ORDER, _DELETE_FROM, _DIRECTIVE = "$setElementOrder/", "$deleteFromPrimitiveList/", "$patch"


def _broken(message: str) -> ApiError:
    return ApiError(500, "", message, details=False)


def strategic_merge_patch(type_: Type, obj: Object, patch: Object) -> Object:
    """Raises ApiError: 500 for a bad directive or a missing merge key, 400 for `$retainKeys` out of shape."""
    return _maps(type_, obj, patch)


def _field(type_: Type | None, key: str) -> Field | None:
    return type_.fields.get(key) if type_ is not None and type_.kind == "struct" else None


def _inner(type_: Type | None, key: str) -> Type | None:
    if type_ is not None and type_.kind == "map":
        return type_.element
    field = _field(type_, key)
    return field.type if field else None


def _strategies(field: Field | None) -> list[str]:
    return field.patch_strategy.split(",") if field else []


def _maps(type_: Type | None, obj: Object, patch: Object) -> Object:
    directive = patch.get(_DIRECTIVE)
    if directive is not None:
        if directive == "replace":
            return {key: value for key, value in patch.items() if key != _DIRECTIVE}
        if directive == "delete":
            return {}
        raise _broken(f"unknown patch type: {go_text(directive)} in map: {go_text(patch)}")
    merged = dict(_retain(obj, patch))
    ordered = set()
    for key, order in patch.items():
        if key.startswith(_ORDER[:-1]):
            name = _listed(key, _ORDER, "setElementOrder")
            ordered.add(name)
            _in_order(type_, name, merged, patch.get(name), order)
    for key, value in patch.items():
        if key == "$retainKeys" or key.startswith(_ORDER) or key in ordered:
            continue
        if key.startswith(_DELETE_FROM[:-1]):
            name = _listed(key, _DELETE_FROM, "primitive")
            if value is None:
                merged.pop(name, None)
            elif isinstance(merged.get(name), list) and isinstance(value, list):
                merged[name] = [item for item in merged[name] if item not in value]
            continue
        there = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif there is None or type(there) is not type(value):
            clean = _clean(value)
            if clean is None:
                merged.pop(key, None)
            else:
                merged[key] = clean
        elif isinstance(value, dict):
            whole = "replace" in _strategies(_field(type_, key))
            merged[key] = value if whole else _maps(_inner(type_, key), there, value)
        elif isinstance(value, list):
            merged[key] = _lists(_field(type_, key), there, value)
        else:
            merged[key] = value
    return merged


def _retain(obj: Object, patch: Object) -> Object:
    if "$retainKeys" not in patch:
        return obj
    keep = patch["$retainKeys"]
    if not isinstance(keep, list):
        raise bad_request("invalid patch format of retainKeys")
    for key, value in patch.items():
        if not key.startswith("$") and value is not None and key not in keep:
            raise bad_request("invalid patch format of retainKeys")
    return {key: value for key, value in obj.items() if key in keep}


def _clean(value: Any) -> Any:
    """What a patch adds where there was nothing: without keys that it says are gone, and without maps that hold a directive (None)."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return None
        return {k: inner for k, v in value.items() if (inner := _clean(v)) is not None}
    if isinstance(value, list):
        return [item if item is None else inner for item in value if (inner := _clean(item)) is not None]
    return value


def _listed(key: str, directive: str, what: str) -> str:
    """The list that a directive is about."""
    if not key.startswith(directive):
        raise bad_request(f"invalid patch format of {what} list")
    return key[len(directive) :]


def _in_order(type_: Type | None, name: str, merged: Object, patch: Any, order: Any) -> None:
    """A list with `$setElementOrder`, with or without changes to it."""
    field, there = _field(type_, name), merged.get(name)
    for value in (order, there, patch):
        if value is not None and not isinstance(value, list):
            raise _broken(f"expected a []interface {{}}, but received a {_GO_TYPES[type(value)]}")
    if field is None:
        struct = type_.name.rpartition(".")[2] if type_ is not None else ""
        raise _broken(f'unable to find api field in struct {struct} for the json field "{name}"')
    if there is None and patch is None:
        return
    if not there and not patch:
        raise _broken("no elements in any of the given slices")
    key = field.merge_key
    if isinstance(patch, list):
        wanted = [_rank(entry, key) for entry in order]
        given = [_rank(item, key) for item in patch if not _deletes(item)]
        if wanted and given and [value for value in wanted if value in given] != given:
            shown = f"{go_text(patch)}\n doesn't match $setElementOrder list:\n{go_text(order)}\n"
            raise _broken(f"The order in patch list:\n{shown}")
        before = there if isinstance(there, list) else []
        result = _lists(field, before, patch) if isinstance(there, list) else _clean(patch)
    else:
        before = result = there if isinstance(there, list) else []
    merged[name] = _ordered(result, order, before, key)


def _deletes(item: Any) -> bool:
    return isinstance(item, dict) and item.get(_DIRECTIVE) == "delete"


def _lists(field: Field | None, there: list[Any], patch: list[Any]) -> list[Any]:
    if field is None or "merge" not in _strategies(field):
        return patch
    key = field.merge_key
    if not key:
        return _ordered(list(dict.fromkeys([*there, *patch])), patch, there, key)
    element = field.type.element
    replace, before, changes = False, list(there), []
    for item in patch:
        if not isinstance(item, dict):
            raise _broken(f"list element types are not identical: {go_text([there, patch])}")
        directive = item.get(_DIRECTIVE)
        if directive is None:
            changes.append(item)
        elif directive == "replace":
            replace = True
        elif directive == "delete":
            gone = _merge_key(item, key)
            before = [old for old in before if not (isinstance(old, dict) and old.get(key) == gone)]
        elif directive == "merge":
            raise _broken("merging lists cannot yet be specified in the patch")
        else:
            raise _broken(f"unknown patch type: {go_text(directive)} in map: {go_text(item)}")
    if replace:
        return changes
    merged = list(before)
    for item in changes:
        value = _merge_key(item, key)
        at = next(
            (i for i, old in enumerate(merged) if isinstance(old, dict) and old.get(key) == value), None
        )
        if at is None:
            merged.append(_clean(item))
        else:
            merged[at] = _maps(element, merged[at], item)
    return _ordered(merged, changes, before, key)


def _merge_key(item: Object, key: str) -> Any:
    if key not in item:
        raise _broken(f"map: {go_text(item)} does not contain declared merge key: {key}")
    return item[key]


def _rank(item: Any, key: str) -> Any:
    value = item.get(key) if key and isinstance(item, dict) else item
    return orjson.dumps(value) if isinstance(value, dict | list) else value


def _ordered(items: list[Any], patch: list[Any], there: list[Any], key: str) -> list[Any]:
    """What the patch names in its order; each of the others before the first of those that came after it on the server."""
    rank = {_rank(item, key): position for position, item in enumerate(patch)}
    place = {_rank(item, key): position for position, item in enumerate(there)}
    named = sorted((i for i in items if _rank(i, key) in rank), key=lambda i: rank[_rank(i, key)])
    others = [item for item in items if _rank(item, key) not in rank]
    result: list[Any] = []
    for item in named:
        at = place.get(_rank(item, key), -1)
        while others and place.get(_rank(others[0], key), at) < at:
            result.append(others.pop(0))
        result.append(item)
    return result + others


_GO_TYPES = {
    dict: "map[string]interface {}",
    list: "[]interface {}",
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
}


def go_text(value: Any) -> str:
    """Go's %v of plain values."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(inner)}" for key, inner in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)
