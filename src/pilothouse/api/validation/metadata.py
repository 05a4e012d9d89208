"""Object metadata and label selectors, as every kind has them (apimachinery/pkg/api/validation/objectmeta.go).

A kind names its rule for names; the rest is the same for all. On an update `before_update` runs for every kind before the kind's own
validator, which in Kubernetes checks the same once more: a client sees such a cause several times.
"""

import functools
from collections.abc import Callable
from typing import Any

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from ..schema import Type, type_of
from .go_struct import as_go

ANNOTATIONS_SIZE_MAX = 256 << 10
IMMUTABLE = "field is immutable"
_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"

NameRule = Callable[[str], list[str]]

qualified_name = functools.lru_cache(maxsize=8192)(names.qualified_name)
label_value = functools.lru_cache(maxsize=8192)(names.label_value)
namespace_name = functools.lru_cache(maxsize=8192)(names.dns1123_label)


def created(
    errors: FieldErrors,
    meta: Object,
    rule: NameRule = names.dns1123_subdomain,
    *,
    namespaced: bool = True,
    path: str = "metadata",
    known_finalizers: bool = True,
) -> None:
    """`rule`: what names of this kind may look like (names.py). `known_finalizers`: all kinds but custom ones, definitions, webhooks and
    admission policies insist on a finalizer with a domain, or a standard one."""
    generate, name = meta.get("generateName"), meta.get("name")
    if generate:
        masked = generate[:-2] + "a" if len(generate) > 1 and generate[-1] == "-" else generate
        errors.messages(f"{path}.generateName", generate, rule(masked))
    if not name:
        errors.required(f"{path}.name", "name or generateName is required")
    elif problems := rule(name):
        errors.messages(f"{path}.name", name, problems)
    namespace = meta.get("namespace")
    if namespaced:
        if not namespace:
            errors.required(f"{path}.namespace")
        elif problems := namespace_name(namespace):
            errors.messages(f"{path}.namespace", namespace, problems)
    elif namespace:
        errors.forbidden(f"{path}.namespace", "not allowed on this type")
    if "generation" in meta:
        not_negative(errors, meta["generation"], f"{path}.generation")
    _common(errors, meta, path)
    if meta.get("finalizers"):
        _finalizers(errors, meta["finalizers"], f"{path}.finalizers")
    if known_finalizers:
        _known_finalizers(errors, meta, path)


def before_update(errors: FieldErrors, new: Object, old: Object, *, namespaced: bool) -> None:
    """What is checked on an update of any kind before the kind's own checks: as on a create, then against the old ones."""
    created(errors, new["metadata"], names.path_segment, namespaced=namespaced, known_finalizers=False)
    updated(errors, new["metadata"], old["metadata"], known_finalizers=False, found_well=not errors)


def updated(
    errors: FieldErrors,
    new: Object,
    old: Object,
    path: str = "metadata",
    *,
    known_finalizers: bool = True,
    found_well: bool = False,
) -> None:
    """The resourceVersion is the registry's to check. `found_well`: labels and the like have just been looked at."""
    if old.get("deletionTimestamp"):
        extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if extra:
            listed = ", ".join(f'"{name}"' for name in extra)
            errors.forbidden(
                f"{path}.finalizers",
                "no new finalizers can be added if the object is being deleted, found new finalizers "
                f"[]string{{{listed}}}",
            )
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        errors.invalid(f"{path}.generation", new.get("generation") or 0, "must not be decremented")
    for field in (
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ):
        if new.get(field) != old.get(field):
            immutable(errors, new.get(field), old.get(field), f"{path}.{field}")
    if not found_well:
        _common(errors, new, path)
    if known_finalizers:
        _known_finalizers(errors, new, path)


def _common(errors: FieldErrors, meta: Object, path: str) -> None:
    if meta.get("labels"):
        labels(errors, meta["labels"], f"{path}.labels")
    if meta.get("annotations"):
        annotations(errors, meta["annotations"], f"{path}.annotations")
    if meta.get("ownerReferences"):
        _owner_references(errors, meta["ownerReferences"], f"{path}.ownerReferences")


def labels(errors: FieldErrors, values: dict[str, str] | None, path: str) -> None:
    for key, value in (values or {}).items():
        if problems := qualified_name(key):
            errors.messages(path, key, problems)
        if problems := label_value(value):
            errors.messages(path, value, problems)


def annotations(errors: FieldErrors, values: dict[str, str] | None, path: str) -> None:
    size = 0
    for key, value in (values or {}).items():
        errors.messages(path, key, qualified_name(key.lower()))
        size += len(key) + len(value)
    if size > ANNOTATIONS_SIZE_MAX // 4:  # only then may the bytes be more than allowed
        size = sum(len(key.encode()) + len(value.encode()) for key, value in (values or {}).items())
        if size > ANNOTATIONS_SIZE_MAX:
            errors.too_long(path, ANNOTATIONS_SIZE_MAX)


def _owner_references(errors: FieldErrors, references: list[Object], path: str) -> None:
    controller = ""
    for reference in references:
        kind, version = reference.get("kind") or "", reference.get("apiVersion") or ""
        if not version.rpartition("/")[2] or version.count("/") > 1:
            errors.invalid(f"{path}.apiVersion", version, "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not reference.get(field):
                errors.invalid(f"{path}.{field}", "", "must not be empty")
        if kind == "Event" and version == "v1":
            errors.invalid(path, _owner(reference), "/v1, Kind=Event is disallowed from being an owner")
        if reference.get("controller"):
            this = f"{kind}/{reference.get('name')}"
            if controller:
                errors.invalid(
                    path,
                    [_owner(one) for one in references],
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {this}",
                )
            else:
                controller = this


def _owner(reference: Object) -> Object:
    """As Go's JSON shows it."""
    shown: Object = {field: reference.get(field) or "" for field in ("apiVersion", "kind", "name", "uid")}
    return shown | {f: reference[f] for f in ("controller", "blockOwnerDeletion") if f in reference}


def _finalizers(errors: FieldErrors, finalizers: list[str], path: str) -> None:
    for name in finalizers:
        errors.messages(path, name, qualified_name(name))
    if _ORPHAN in finalizers and _FOREGROUND in finalizers:
        errors.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set")


def _known_finalizers(errors: FieldErrors, meta: Object, path: str) -> None:
    for index, name in enumerate(meta.get("finalizers") or ()):
        if "/" not in name and name not in (_ORPHAN, _FOREGROUND, "kubernetes"):
            errors.invalid(
                f"{path}.finalizers[{index}]",
                name,
                "name is neither a standard finalizer name nor is it fully qualified",
            )


def label_selector(
    errors: FieldErrors, selector: Object | None, path: str, *, any_value: bool = False
) -> None:
    """`any_value`: values that are no label values are let through (an old object has some)."""
    if not selector:
        return
    if selector.get("matchLabels"):
        labels(errors, selector["matchLabels"], f"{path}.matchLabels")
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        at = f"{path}.matchExpressions[{index}]"
        values, operator = requirement.get("values") or [], requirement.get("operator") or ""
        if operator in ("In", "NotIn"):
            if not values:
                errors.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.forbidden(
                    f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                )
        else:
            errors.invalid(f"{at}.operator", operator, "not a valid selector operator")
        key = requirement.get("key") or ""
        errors.messages(f"{at}.key", key, qualified_name(key))
        if not any_value:
            for number, value in enumerate(values):
                errors.messages(f"{at}.values[{number}]", value, label_value(value))


# -- what many fields share ------------------------------------------------------------------------------------


def not_negative(errors: FieldErrors, value: int | None, path: str) -> None:
    if value is not None and value < 0:
        errors.invalid(path, value, "must be greater than or equal to 0")


def immutable(errors: FieldErrors, new: Any, old: Any, path: str, shown: Any = ..., type_: str = "") -> None:
    """Absent and empty are the same, as in Go. `shown`: what the message shows, if not `new`; `type_`: what `new` is in the schema."""
    if new != old and not same(new, old, type_):
        given = new if shown is ... else shown
        if given is None and type_ == "s":  # which is no pointer
            given = ""
        errors.invalid(path, as_go(type_, given) if type_ else given, IMMUTABLE)


def same(new: Any, old: Any, type_: Type | str = "") -> bool:
    """`apiequality.Semantic.DeepEqual`: absent, null and empty lists, maps and strings are one; with `type_`, what it has as
    pointers and as the keys of maps counts even if it is empty."""
    if new == old:
        return True
    if type_:
        return _same(new, old, type_of(type_) if isinstance(type_, str) else type_)
    if not new and not old and new != 0 != old:  # a zero or a false is not absent
        return True
    if isinstance(new, dict) and isinstance(old, dict):
        return all(same(new.get(key), old.get(key)) for key in new.keys() | old.keys())
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return all(same(a, b) for a, b in zip(new, old, strict=True))
    return False


def _same(new: Any, old: Any, type_: Type) -> bool:
    if type_.kind == "list":
        new, old = new or [], old or []
        return len(new) == len(old) and all(_same(a, b, type_.element) for a, b in zip(new, old, strict=True))
    if type_.kind == "map":
        new, old = new or {}, old or {}
        return new.keys() == old.keys() and all(_same(new[key], old[key], type_.element) for key in new)
    if type_.kind != "struct":
        return bool(new == old or (not new and not old))
    new, old = new or {}, old or {}
    for field in type_.fields.values():
        a, b = new.get(field.name), old.get(field.name)
        if field.presence == "k" and (a is None) is not (b is None) or not _same(a, b, field.type):
            return False
    return True
