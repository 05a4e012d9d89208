"""The three patches of the API: JSON patch (RFC 6902), JSON merge patch (RFC 7386), strategic merge patch.

All are pure: the current object is never written to, and what a patch does not touch is shared with the result.
The strategic one is driven by the schema's merge keys; its directives are `$patch` (replace, merge, delete),
`$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`
(kubernetes/community, sig-api-machinery/strategic-merge-patch.md).
"""

from __future__ import annotations

from typing import Any

import orjson

from .errors import ApiError, bad_request
from .object import Object
from .schema import Field, Type

OPERATIONS_MAX = 10_000  # apiserver's maxJSONPatchOperations

# -- JSON patch ----------------------------------------------------------------------------------------


class _Failed(Exception):
    """An operation that cannot be done."""


def refused() -> ApiError:
    """What any failed operation gets, without a word on which (422)."""
    return ApiError(
        422, "Invalid", "the server rejected our request due to an error in our request", details=True
    )


def parse_json_patch(body: bytes) -> list[Object]:
    """Raises ApiError (400 for what is no list of operations, 413 for too many)."""
    try:
        operations = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {error}") from None
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
    if len(operations) > OPERATIONS_MAX:
        parse_json_patch(orjson.dumps(operations))
    try:
        for operation in operations:
            obj = _operate(obj, operation)
    except _Failed:
        raise refused() from None
    return obj


def _operate(obj: Any, operation: Object) -> Any:
    op, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str):
        raise _Failed
    if op in ("add", "replace", "test") and "value" not in operation and op != "test":
        raise _Failed
    match op:
        case "add":
            return _set(obj, _tokens(path), operation["value"], insert=True)
        case "remove":
            return _remove(obj, _tokens(path))
        case "replace":  # of a key that is not there it adds one, as Kubernetes' library does
            return _set(obj, _tokens(path), operation["value"], insert=False)
        case "test":
            if _get(obj, _tokens(path), missing=None) != operation.get("value"):
                raise _Failed
            return obj
        case "move" | "copy":
            origin = operation.get("from")
            if not isinstance(origin, str):
                raise _Failed
            value = _get(obj, _tokens(origin))
            if op == "move":
                obj = _remove(obj, _tokens(origin))
            return _set(obj, _tokens(path), value, insert=True)
    raise _Failed


def _tokens(path: str) -> list[str]:
    if path == "":
        return []
    if path[0] != "/":
        raise _Failed
    return [token.replace("~1", "/").replace("~0", "~") for token in path[1:].split("/")]


_RAISE = object()


def _get(obj: Any, tokens: list[str], missing: Any = _RAISE) -> Any:
    for position, token in enumerate(tokens):
        if isinstance(obj, dict):
            if token not in obj:
                if missing is _RAISE or position < len(tokens) - 1:
                    raise _Failed
                return missing
            obj = obj[token]
        elif isinstance(obj, list):
            obj = obj[_index(token, len(obj) - 1)]
        else:
            raise _Failed
    return obj


def _index(token: str, last: int) -> int:
    """A position in a list; negative ones count from the end."""
    try:
        index = int(token)
    except ValueError:
        raise _Failed from None
    if index < 0:
        index += last + 1
    if not 0 <= index <= last or (token[0] == "0" and len(token) > 1):
        raise _Failed
    return index


def _set(obj: Any, tokens: list[str], value: Any, *, insert: bool) -> Any:
    if not tokens:
        return value
    token, rest = tokens[0], tokens[1:]
    if isinstance(obj, dict):
        if rest and token not in obj:
            raise _Failed
        return {**obj, token: _set(obj.get(token), rest, value, insert=insert) if rest else value}
    if isinstance(obj, list):
        if rest:
            index = _index(token, len(obj) - 1)
            return [*obj[:index], _set(obj[index], rest, value, insert=insert), *obj[index + 1 :]]
        if insert:
            index = len(obj) if token == "-" else _index(token, len(obj))
            return [*obj[:index], value, *obj[index:]]
        index = _index(token, len(obj) - 1)
        return [*obj[:index], value, *obj[index + 1 :]]
    raise _Failed


def _remove(obj: Any, tokens: list[str]) -> Any:
    if not tokens:
        raise _Failed
    token, rest = tokens[0], tokens[1:]
    if isinstance(obj, dict):
        if token not in obj:
            raise _Failed
        if rest:
            return {**obj, token: _remove(obj[token], rest)}
        return {key: value for key, value in obj.items() if key != token}
    if isinstance(obj, list):
        index = _index(token, len(obj) - 1)
        if rest:
            return [*obj[:index], _remove(obj[index], rest), *obj[index + 1 :]]
        return [*obj[:index], *obj[index + 1 :]]
    raise _Failed


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

_ORDER, _DELETE_FROM = "$setElementOrder/", "$deleteFromPrimitiveList/"


def _broken(message: str) -> ApiError:
    return ApiError(500, "", message, details=False)


def strategic_merge_patch(type_: Type, obj: Object, patch: Object) -> Object:
    """Raises ApiError: 500 for a bad directive or a missing merge key, 400 for `$retainKeys` out of shape."""
    merged = _maps(type_, obj, patch)
    return {} if merged is None else merged


def _field(type_: Type | None, key: str) -> Field | None:
    return type_.fields.get(key) if type_ is not None and type_.kind == "struct" else None


def _inner(type_: Type | None, key: str) -> Type | None:
    if type_ is None:
        return None
    if type_.kind == "map":
        return type_.element
    field = _field(type_, key)
    return field.type if field else None


def _maps(type_: Type | None, obj: Object, patch: Object) -> Object | None:
    """The merged map; None when the patch deletes it."""
    directive = patch.get("$patch")
    if directive is not None:
        if directive == "replace":
            return {key: _clean(value) for key, value in patch.items() if key != "$patch"}
        if directive == "delete":
            return None
        if directive != "merge":
            raise _broken(f"unknown patch type found: {directive}")
    obj = _retain(obj, patch)
    merged = dict(obj)
    orders = {key[len(_ORDER) :]: value for key, value in patch.items() if key.startswith(_ORDER)}
    removals = {
        key[len(_DELETE_FROM) :]: value for key, value in patch.items() if key.startswith(_DELETE_FROM)
    }
    for name, gone in removals.items():
        if isinstance(merged.get(name), list):
            merged[name] = [item for item in merged[name] if item not in gone]
    for key, value in patch.items():
        if key in ("$patch", "$retainKeys") or key.startswith((_ORDER, _DELETE_FROM)):
            continue
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            strategy = _strategy(type_, key)
            if "replace" in strategy:
                merged[key] = _clean(value)
                continue
            inner = _maps(_inner(type_, key), merged[key], value)
            if inner is None:
                merged[key] = {}
            else:
                merged[key] = inner
        elif isinstance(value, list):
            merged[key] = _lists(_field(type_, key), key, merged.get(key), value, orders.pop(key, None))
        else:
            merged[key] = _clean(value)
    for name, order in orders.items():  # an order without changes
        if isinstance(merged.get(name), list) and isinstance(order, list):
            merged[name] = _lists(_field(type_, name), name, merged[name], [], order)
    return merged


def _strategy(type_: Type | None, key: str) -> list[str]:
    field = _field(type_, key)
    return field.patch_strategy.split(",") if field else []


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
    """What a patch adds, without directives and without keys that it says are gone."""
    if isinstance(value, dict):
        if value.get("$patch") == "delete":
            return {}
        return {key: _clean(v) for key, v in value.items() if v is not None and not key.startswith("$")}
    if isinstance(value, list):
        return [
            _clean(item)
            for item in value
            if not (isinstance(item, dict) and item.get("$patch") in ("delete", "replace") and len(item) <= 2)
        ]
    return value


def _lists(field: Field | None, key: str, current: Any, patch: list[Any], order: Any) -> list[Any]:
    merges = field is not None and "merge" in field.patch_strategy.split(",")
    there = current if isinstance(current, list) else []
    if not merges or field is None:
        return [_clean(item) for item in patch if not _is_directive(item)]
    if not field.merge_key:
        merged = [*there, *[item for item in patch if item not in there]]
        merged = list(dict.fromkeys(merged))
        return _by_order(merged, order, lambda item: item)
    name = field.merge_key
    if any(_is_directive(item) and item["$patch"] == "replace" for item in patch):
        return [_clean(item) for item in patch if not _is_directive(item)]
    element = field.type.element
    merged = list(there)
    for item in patch:
        if not isinstance(item, dict):
            raise _broken(f"map: {orjson.dumps(item).decode()} is not a map")
        if name not in item:
            raise _broken(f"map: {_go_map(item)} does not contain declared merge key: {name}")
        directive = item.get("$patch")
        if directive not in (None, "merge", "delete", "replace"):
            raise _broken(f"unknown patch type found: {directive}")
        at = next(
            (i for i, old in enumerate(merged) if isinstance(old, dict) and old.get(name) == item[name]), None
        )
        if directive == "delete":
            merged = [old for old in merged if not (isinstance(old, dict) and old.get(name) == item[name])]
        elif at is None:
            merged.append(_clean(item))
        else:
            result = _maps(element, merged[at], item)
            merged[at] = result if result is not None else {}
    if order is not None:
        wanted = [entry.get(name) for entry in order if isinstance(entry, dict)]
        for item in patch:
            if item.get("$patch") != "delete" and item[name] not in wanted:
                raise _broken("the order in patch list doesn't match $setElementOrder list")
        return _by_order(merged, wanted, lambda item: item.get(name))
    return merged


def _is_directive(item: Any) -> bool:
    """`- $patch: replace`: an element that says how the list is to be taken."""
    return isinstance(item, dict) and set(item) == {"$patch"}


def _by_order(items: list[Any], order: Any, key: Any) -> list[Any]:
    """Those that the order names, in its order; the others stay behind the one that they stood behind."""
    if not isinstance(order, list):
        return items
    rank = {value: index for index, value in enumerate(order)}
    named = sorted((item for item in items if key(item) in rank), key=lambda item: rank[key(item)])
    if len(named) == len(items):
        return named
    result: list[Any] = []
    others = [(index, item) for index, item in enumerate(items) if key(item) not in rank]
    position = {id(item): index for index, item in enumerate(items)}
    waiting = list(others)
    for item in named:
        while waiting and waiting[0][0] < position[id(item)]:
            result.append(waiting.pop(0)[1])
        result.append(item)
    return result + [item for _, item in waiting]


def _go_map(item: Object) -> str:
    return "map[" + " ".join(f"{key}:{value}" for key, value in sorted(item.items())) + "]"
