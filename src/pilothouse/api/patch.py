"""The three patches of the API: JSON patch (RFC 6902), JSON merge patch (RFC 7386), strategic merge patch.

All are pure: the current object is never written to, and what a patch does not touch is shared with the result.
The strategic one is driven by the schema's merge keys; its directives are `$patch` (replace, merge, delete),
`$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`
(kubernetes/community, sig-api-machinery/strategic-merge-patch.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from .errors import ApiError, bad_request
from .object import Object
from .schema import Field, Type

OPERATIONS_MAX = 10_000  # apiserver's maxJSONPatchOperations
COPIED_BYTES_MAX = 3 * 1024 * 1024  # … and JSONPatchMaxCopyBytes: what all `copy` operations may add

# -- JSON patch ----------------------------------------------------------------------------------------


class PatchFailed(Exception):
    """An operation that cannot be done, in the words of Kubernetes' library (gopkg.in/evanphx/json-patch.v4)."""

    tested = False  # a `test` that found something else


class _Missing(PatchFailed):
    """What the operation is to be done in is not there."""


def refused() -> ApiError:
    """What any failed operation gets, without a word on which (422)."""
    return ApiError(
        422, "Invalid", "the server rejected our request due to an error in our request", details=True
    )


def checked_operations(operations: Any) -> list[Object]:
    """Raises ApiError (400 for what is no list of operations, 413 for too many)."""
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    if len(operations) > OPERATIONS_MAX:
        message = f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", f"Request entity is too large: {message}", details=False)
    return operations


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


_RAISE = object()


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
            raise PatchFailed(f"Unexpected kind: {op or 'unknown'}")
        if not isinstance(path, str) or (op in ("add", "replace") and "value" not in operation):
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
                    self._set(tokens, operation["value"], insert=True)
                case "remove":
                    self._remove(tokens)
                case "replace":  # of a key that is not there it adds one, as Kubernetes' library does
                    self._set(tokens, operation["value"], insert=False)
                case "test":
                    if self._get(tokens, missing=None) == operation.get("value"):
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
            value = self._get(_tokens(origin))
            if op == "move":
                self._remove(_tokens(origin))
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

    def _get(self, tokens: list[str], missing: Any = _RAISE) -> Any:
        value = self.root
        for position, token in enumerate(tokens):
            if isinstance(value, dict):
                if token not in value:
                    if position < len(tokens) - 1:
                        raise _Missing
                    if missing is _RAISE:
                        raise _absent(token)
                    return missing
                value = value[token]
            elif isinstance(value, list):
                value = value[
                    _step(token, value) if position < len(tokens) - 1 else _index(token, len(value) - 1)
                ]
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
            self.root = value
            return
        here, token = self._container(tokens), tokens[-1]
        if isinstance(here, dict):
            here[token] = value
        elif insert:
            here.insert(len(here) if token == "-" else _index(token, len(here)), value)
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
    if path == "":
        return []
    if path[0] != "/":
        raise _Missing
    return [token.replace("~1", "/").replace("~0", "~") for token in path[1:].split("/")]


def _step(token: str, items: list[Any]) -> int:
    """On the way to where something is to be done."""
    try:
        return _index(token, len(items) - 1)
    except PatchFailed:
        raise _Missing from None


def _index(token: str, last: int) -> int:
    """A position in a list; negative ones count from the end."""
    digits = token.removeprefix("-")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 10:
        raise PatchFailed(f'strconv.Atoi: parsing "{token}": invalid syntax')
    index = int(token)
    if index < 0:
        index += last + 1
    if not 0 <= index <= last or (digits[0] == "0" and len(digits) > 1):
        raise PatchFailed(f"Unable to access invalid index: {int(token)}: invalid index referenced")
    return index


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
            merged[key] = value
    return merged


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
        raise _broken(f"unknown patch type found: {directive}")
    merged = dict(_retain(obj, patch))
    ordered = set()
    for key, order in patch.items():
        if key.startswith(_ORDER):
            name = key[len(_ORDER) :]
            ordered.add(name)
            _in_order(_field(type_, name), name, merged, patch.get(name), order)
    for key, value in patch.items():
        if key == "$retainKeys" or key.startswith(_ORDER) or key in ordered:
            continue
        if key.startswith(_DELETE_FROM):
            name = key[len(_DELETE_FROM) :]
            if isinstance(merged.get(name), list) and isinstance(value, list):
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


def _in_order(field: Field | None, name: str, merged: Object, patch: Any, order: Any) -> None:
    """A list with `$setElementOrder`, with or without changes to it."""
    if not isinstance(order, list):
        raise _broken(f"bad argument type: expected a list, got {orjson.dumps(order).decode()}")
    there = merged.get(name)
    if field is None and (there is not None or patch is not None):
        raise _broken(f'unable to find api field for the json field "{name}"')
    if field is None or not (isinstance(there, list) or isinstance(patch, list)):
        return
    key = field.merge_key
    if isinstance(patch, list):
        wanted = [_rank(entry, key) for entry in order]
        given = [_rank(item, key) for item in patch if not _deletes(item)]
        if [value for value in wanted if value in given] != given:
            raise _broken("the order in patch list doesn't match $setElementOrder list")
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
            raise _broken(f"map: {orjson.dumps(item).decode()} is not a map")
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
            raise _broken(f"unknown patch type found: {directive}")
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
        raise _broken(f"map: {_go_map(item)} does not contain declared merge key: {key}")
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


def _go_map(item: Object) -> str:
    return "map[" + " ".join(f"{key}:{value}" for key, value in sorted(item.items())) + "]"
