"""What several controllers need to know of objects: selectors, ownership, conditions, semantic equality. All pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..api.object import (
    Object,
    controller_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from ..base.clock import timestamp
from .plan import Action, Batch, Patch, StillThere, View

Labels = dict[str, str]

_OPERATORS: dict[str, Callable[[str | None, list[str]], bool]] = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value is None or value not in values,
    "Exists": lambda value, values: value is not None,
    "DoesNotExist": lambda value, values: value is None,
}


def matches(selector: Object | None, labels: Labels) -> bool:
    """metav1.LabelSelector: absent selects nothing, empty selects everything."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(rule.get("operator", ""))
        if operator is None or not operator(labels.get(rule["key"]), rule.get("values") or []):
            return False
    return True


def selects_everything(selector: Object | None) -> bool:
    return selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions")


def matches_map(selector: Labels | None, labels: Labels) -> bool:
    """The selector of Services and ReplicationControllers: an empty one selects nothing."""
    return bool(selector) and all(labels.get(k) == v for k, v in (selector or {}).items())


def controlled_by(obj: Object, owner: Object) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid_of(owner)


def key_of_controller(obj: Object | None, kind: str, group: str) -> str | None:
    """The key of the controlling `kind`, if it is one of `group` ("" is core)."""
    if obj is None:
        return None
    reference = controller_of(obj)
    if reference is None or reference.get("kind") != kind:
        return None
    api_group = reference.get("apiVersion", "").rpartition("/")[0]
    if api_group != group:
        return None
    namespace = namespace_of(obj)
    return f"{namespace}/{reference['name']}" if namespace else str(reference["name"])


def controllers_and_matching(
    kind: str, group: str, resource: str, selector_of: Callable[[Object, Labels], bool]
) -> Callable[[Object | None, Object | None, View], list[str]]:
    """A source for dependents (pods, ReplicaSets): wakes who controls it, who controlled it, and, for an orphan, all
    who might adopt it."""

    def source(old: Object | None, new: Object | None, view: View) -> list[str]:
        keys = [key for key in (key_of_controller(o, kind, group) for o in (new, old)) if key]
        if new is not None and controller_of(new) is None:
            namespace = namespace_of(new)
            labels = labels_of(new)
            keys += [
                f"{namespace}/{name_of(owner)}"
                for owner in view.of(resource).list(namespace)
                if selector_of(owner, labels)
            ]
        return keys

    return source


def claim(
    owner: Object,
    api_version: str,
    kind: str,
    owner_resource: str,
    dependent_resource: str,
    candidates: Iterable[Object],
    selects: Callable[[Labels], bool],
    finalizer: str = "",
) -> tuple[list[Object], list[Action]]:
    """ControllerRefManager: what the owner controls, after adopting matching orphans and releasing what no longer matches.
    With a `finalizer`, what is adopted gets it, and what is released loses it."""
    claimed: list[Object] = []
    adopt: list[Action] = []
    release: list[Action] = []
    for obj in candidates:
        metadata = obj["metadata"]
        reference = controller_of(obj)
        if reference is not None:
            if reference.get("uid") != uid_of(owner):
                continue
            if selects(labels_of(obj)):
                claimed.append(obj)
            elif not is_deleting(owner):
                drop = [{"$patch": "delete", "uid": uid_of(owner)}]
                patch: Object = {"metadata": {"ownerReferences": drop, "uid": metadata["uid"]}}
                if finalizer:
                    patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = [finalizer]
                release.append(
                    Patch(
                        dependent_resource,
                        namespace_of(obj),
                        name_of(obj),
                        patch,
                        "strategic",
                        ignore=("NotFound", "Invalid"),
                    )
                )
        elif not is_deleting(owner) and not is_deleting(obj) and selects(labels_of(obj)):
            patch = {
                "metadata": {
                    "ownerReferences": [owner_reference(owner, api_version, kind)],
                    "uid": metadata["uid"],
                }
            }
            if finalizer:
                patch["metadata"]["finalizers"] = [finalizer]
            adopt.append(Patch(dependent_resource, namespace_of(obj), name_of(obj), patch, "strategic"))
            claimed.append(obj)
    actions: list[Action] = []
    if adopt:
        actions += [
            StillThere(owner_resource, namespace_of(owner), name_of(owner), uid_of(owner)),
            Batch(tuple(adopt)),
        ]
    if release:
        actions.append(Batch(tuple(release)))
    return claimed, actions


def with_status(obj: Object, status: Object) -> Object:
    """A copy of the object with another status."""
    return {**obj, "status": status}


def with_metadata(obj: Object, **changes: Any) -> Object:
    return {**obj, "metadata": {**obj["metadata"], **changes}}


def without_empty(obj: Object, keep: tuple[str, ...] = ()) -> Object:
    """Drops what Go's `omitempty` drops: zeros, empty text, empty lists and maps, nulls."""
    return {k: v for k, v in obj.items() if k in keep or (v not in (None, 0, "", [], {}) or v is True)}


def prune(value: Any) -> Any:
    """`equality.Semantic`: an absent list or map equals an empty one."""
    if isinstance(value, dict):
        return {k: p for k, v in value.items() if (p := prune(v)) not in (None, [], {})}
    if isinstance(value, list):
        return [prune(v) for v in value]
    return value


def same(a: Any, b: Any) -> bool:
    return bool(a == b or prune(a) == prune(b))


def find_condition(conditions: Iterable[Object] | None, type_: str) -> Object | None:
    return next((c for c in conditions or () if c["type"] == type_), None)


def set_condition(
    conditions: list[Object],
    type_: str,
    status: str,
    reason: str,
    message: str,
    now: float,
    *,
    update_time: bool = False,
    compare: tuple[str, ...] = ("status", "reason"),
) -> list[Object]:
    """A new list: unchanged if nothing in `compare` differs; else the condition moves to its end, as upstream's helpers do."""
    old = find_condition(conditions, type_)
    if old is not None and all(
        old.get(k) == {"status": status, "reason": reason, "message": message}[k] for k in compare
    ):
        return conditions
    time = timestamp(now)
    condition: Object = {"type": type_, "status": status}
    if update_time:
        condition["lastUpdateTime"] = time
    keeps = old is not None and old["status"] == status
    condition["lastTransitionTime"] = old.get("lastTransitionTime", time) if keeps and old else time
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return [c for c in conditions if c["type"] != type_] + [condition]


def fnv32a(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def safe_encode(text: str) -> str:
    """`rand.SafeEncodeString`: no vowels, so that a hash never spells a word."""
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(alphabet[ord(c) % len(alphabet)] for c in text)


def hash_of(template: Object, collision_count: int | None = None) -> str:
    """A stable short name for a pod template (pod-template-hash, controller-revision-hash)."""
    import orjson

    data = orjson.dumps(prune(template), option=orjson.OPT_SORT_KEYS)
    if collision_count is not None:
        data += collision_count.to_bytes(8, "little")
    return safe_encode(str(fnv32a(data)))


def scaled_value(value: int | str | None, total: int, *, round_up: bool, default: int = 0) -> int:
    """`intstr.GetScaledValueFromIntOrPercent`."""
    if value is None:
        return default
    if isinstance(value, int):
        return value
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    percent = int(text[:-1])
    return -(-percent * total // 100) if round_up else percent * total // 100
