"""What is wrong with the schema of a custom resource: not structural, bad defaults, list types, rules that do not compile.

Three passes in Kubernetes' order (apiextensions/validation and apiserver/schema): is it structural; are its defaults what it allows itself;
and the checks of each keyword, with the CEL rules last and only where everything below is right. `path` is where the schema stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import Cause
from ..fielderrors import FieldErrors, quoted, shown
from ..object import Object
from ..re2 import PatternError
from ..re2 import compile as compile_re2
from . import shaping, values
from .schema import META_FIELDS, Node

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_ROOT, _ITEM, _FIELD = "at the root", "for specified array items", "for specified object fields"
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_LIST_TYPES = ("atomic", "set", "map")
_MAP_TYPES = ("atomic", "granular")
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def not_supported(errors: FieldErrors, path: str, value: Any, allowed: tuple[str, ...]) -> None:
    """With the allowed values in the order given."""
    listed = ", ".join(quoted(one) for one in allowed)
    text = f"Unsupported value: {shown(value)}: supported values: {listed}"
    errors.append(Cause("FieldValueNotSupported", text, path))


# -- is it structural? -------------------------------------------------------------------------------------------------

_UNSTRUCTURED = (
    "definitions",
    "dependencies",
    "$ref",
    "patternProperties",
    "additionalItems",
    "id",
    "$schema",
)


def is_representable(schema: Object) -> bool:
    """False where a schema says something that no structural one can."""
    return (
        not any(schema.get(key) for key in _UNSTRUCTURED)
        and not isinstance(schema.get("items"), list)
        and all(is_representable(inner) for inner in _below(schema))
    )


def _below(schema: Object) -> list[Object]:
    found = list((schema.get("properties") or {}).values())
    for key in ("allOf", "anyOf", "oneOf"):
        found += schema.get(key) or ()
    found += [
        schema[key] for key in ("items", "additionalProperties", "not") if isinstance(schema.get(key), dict)
    ]
    return found


def structural(schema: Object, path: str) -> list[Cause]:
    errors = FieldErrors()
    _invariants(schema, _ROOT, path, errors)
    _completeness(schema, schema, path, path, errors)
    return sorted(errors, key=lambda cause: f"{cause.field}: {cause.message}")


def _invariants(schema: Object, level: str, path: str, errors: FieldErrors) -> None:
    type_ = schema.get("type") or ""
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    either = bool(schema.get("x-kubernetes-int-or-string"))
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    if type_ == "array" and schema.get("items") is None:
        errors.required(f"{path}.items", "must be specified")
    if isinstance(schema.get("items"), dict):
        _invariants(schema["items"], _ITEM, f"{path}.items", errors)
    for name, inner in properties.items():
        _invariants(inner, _FIELD, f"{path}.properties[{name}]", errors)
    if additional is not None:
        if level == _ROOT:
            errors.forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(additional, dict):
            _invariants(additional, _FIELD, f"{path}.additionalProperties", errors)
    if either and preserve:
        errors.invalid(
            f"{path}.x-kubernetes-preserve-unknown-fields",
            True,
            "must be false if x-kubernetes-int-or-string is true",
        )
    if either and embedded:
        errors.invalid(
            f"{path}.x-kubernetes-embedded-resource",
            True,
            "must be false if x-kubernetes-int-or-string is true",
        )
    any_of, all_of = schema.get("anyOf") or [], schema.get("allOf") or []
    first = (all_of[0].get("anyOf") or []) if all_of else []
    _value_validation(
        schema, any_of == _INT_OR_STRING and either, first == _INT_OR_STRING and either, level, path, errors
    )
    if embedded and type_ != "object":
        why = "must be object if x-kubernetes-embedded-resource is true"
        errors.invalid(f"{path}.type", type_, why) if type_ else errors.required(f"{path}.type", why)
    elif not type_ and not either and not preserve:
        errors.required(f"{path}.type", f"must not be empty {level}")
    if embedded and additional is not None:
        errors.forbidden(
            f"{path}.additionalProperties", "must not be used if x-kubernetes-embedded-resource is set"
        )
    if level == _ROOT and type_ and type_ != "object":
        errors.invalid(f"{path}.type", type_, "must be object at the root")
    resource = level == _ROOT or embedded
    for name in ("kind", "apiVersion"):
        if resource and name in properties and (found := properties[name].get("type") or "") != "string":
            errors.invalid(f"{path}.properties[{name}].type", found, "must be string")
    if "metadata" in properties:
        _metadata(properties["metadata"], resource, level, f"{path}.properties[metadata]", errors)
    if embedded and not preserve and not properties:
        why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        errors.required(f"{path}.properties", why)


def _metadata(schema: Object, resource: bool, level: str, path: str, errors: FieldErrors) -> None:
    if resource and schema.get("type") != "object":
        errors.invalid(f"{path}.type", schema.get("type") or "", "must be object")
    if level == _ROOT:
        said = {k for k, v in schema.items() if v not in (None, False, "", [], {})} - {"type", "default"}
        properties = schema.get("properties") or {}
        if properties and set(properties) <= {"name", "generateName"}:
            said.discard("properties")
        if said:
            errors.forbidden(
                path,
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            )


def _value_validation(
    schema: Object, skip_any_of: bool, skip_all_of: bool, level: str, path: str, errors: FieldErrors
) -> None:
    if not skip_any_of:
        for i, inner in enumerate(schema.get("anyOf") or ()):
            _nested(inner, False, level, f"{path}.anyOf[{i}]", errors)
    for i, inner in enumerate(schema.get("allOf") or ()):
        _nested(inner, skip_all_of and i == 0, level, f"{path}.allOf[{i}]", errors)
    for i, inner in enumerate(schema.get("oneOf") or ()):
        _nested(inner, False, level, f"{path}.oneOf[{i}]", errors)
    if schema.get("not") is not None:
        _nested(schema["not"], False, level, f"{path}.not", errors)
    if schema.get("pattern"):
        try:
            compile_re2(schema["pattern"])
        except PatternError as error:
            errors.invalid(
                f"{path}.pattern",
                schema["pattern"],
                f"must be a valid regular expression, but isn't: {error}",
            )


_NESTED_FORBIDDEN = (
    ("type", "empty"), ("additionalProperties", "undefined"), ("default", "undefined"), ("title", "empty"), ("description", "empty"),
    ("nullable", "false"), ("x-kubernetes-preserve-unknown-fields", "false"), ("x-kubernetes-embedded-resource", "false"),
    ("x-kubernetes-int-or-string", "false"), ("x-kubernetes-list-map-keys", "empty"), ("x-kubernetes-list-type", "undefined"),
    ("x-kubernetes-map-type", "undefined"), ("x-kubernetes-validations", "empty"),
)  # fmt: skip


def _nested(schema: Object, skip_any_of: bool, level: str, path: str, errors: FieldErrors) -> None:
    """A schema under a junctor may only restrict values."""
    _value_validation(schema, skip_any_of, False, level, path, errors)
    if isinstance(schema.get("items"), dict):
        _nested(schema["items"], False, level, f"{path}.items", errors)
    for name, inner in (schema.get("properties") or {}).items():
        _nested(inner, False, _FIELD, f"{path}.properties[{name}]", errors)
    for key, wanted in _NESTED_FORBIDDEN:
        value = schema.get(key)
        if value is not None and (wanted == "undefined" or value not in (False, "", [])):
            errors.forbidden(f"{path}.{key}", f"must be {wanted} to be structural")
    if "metadata" in (schema.get("properties") or {}):
        errors.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _completeness(
    part: Object, whole: Object | None, whole_path: str, path: str, errors: FieldErrors
) -> None:
    """What is restricted under a junctor must exist outside of it."""
    nested = [(f"{path}.not", part["not"])] if part.get("not") is not None else []
    for key in ("allOf", "anyOf", "oneOf"):
        nested += [(f"{path}.{key}[{i}]", inner) for i, inner in enumerate(part.get(key) or ())]
    for below, inner in nested:
        _nested_completeness(inner, whole, whole_path, below, errors)


def _nested_completeness(
    part: Object, whole: Object | None, whole_path: str, path: str, errors: FieldErrors
) -> None:
    if whole is None:
        errors.required(whole_path, f"because it is defined in {path}")
        return
    _completeness(part, whole, whole_path, path, errors)
    if isinstance(part.get("items"), dict):
        items = whole.get("items")
        _nested_completeness(
            part["items"],
            items if isinstance(items, dict) else None,
            f"{whole_path}.items",
            f"{path}.items",
            errors,
        )
    for name, inner in (part.get("properties") or {}).items():
        place = f"properties[{name}]"
        _nested_completeness(
            inner,
            (whole.get("properties") or {}).get(name),
            f"{whole_path}.{place}",
            f"{path}.{place}",
            errors,
        )


# -- defaults ----------------------------------------------------------------------------------------------------------


def defaults(node: Node, path: str, *, resource: bool = False) -> list[Cause]:
    """That each default is as its schema says, makes valid metadata, and has no fields that would be pruned."""
    return _defaults(node, path, _Resource(node, resource), node.embedded or resource, ())


@dataclass(frozen=True, slots=True)
class _Resource:
    """The resource, embedded or not, that a part of the schema belongs to."""

    node: Node
    whole: bool  # its type and metadata count

    def around(self, steps: tuple[str | None, ...], value: Any) -> Object:
        """The least resource with that value there; a step None is into a list."""
        for step in reversed(steps):
            value = [value] if step is None else {step: value}
        return {"kind": "Validation", "apiVersion": "validation/v1", **value}


def _defaults(
    node: Node, path: str, resource: _Resource, is_resource: bool, inside: tuple[str | None, ...]
) -> list[Cause]:
    """`inside`: the steps to here from the resource's root, where that is within its type or metadata."""
    found = FieldErrors()
    if node.embedded and node is not resource.node:
        resource, is_resource, inside = _Resource(node, True), True, ()
    if node.default is not None:
        found += _default(node, f"{path}.default", resource, is_resource, inside)
    if node.items is not None:
        below = (*inside, None) if inside else ()
        found += _defaults(node.items, f"{path}.items", resource, False, below)
    for name, inner in node.properties.items():
        below = (*inside, name) if inside or (is_resource and name in META_FIELDS) else ()
        found += _defaults(inner, f"{path}.properties[{name}]", resource, False, below)
    return found


def _default(
    node: Node, at: str, resource: _Resource, is_resource: bool, inside: tuple[str | None, ...]
) -> list[Cause]:
    from . import cel

    found, value = FieldErrors(), node.default
    if inside:
        whole = resource.around(inside, shaping.copied(value))
        wrong = _uncoercible(whole, resource.node, "", True) or values.validate_embedded(
            resource.node, whole, root=True
        )
        if wrong:
            told = [f"{cause.field.removeprefix('.')}: {cause.message}" for cause in wrong]
            text = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
            found.invalid(at, value, f"must result in valid metadata: {text}")
            return found
    elif shaping.prune_value(shaping.copied(value), node):
        found.invalid(at, value, "must not have unknown fields")
    wrong = (
        []
        if inside
        else _uncoercible(value, node, at, is_resource)
        or values.validate_embedded(node, value, at, root=is_resource)
    )
    wrong = wrong or values.validate(Node(node.raw, loose=True), value, at)
    if not wrong and cel.has_rules(node):
        checked = cel.compiled(node, resource=is_resource)
        wrong = checked.validate(value, value, at) or checked.validate(value, None, at)
    return [*found, *wrong]


def _uncoercible(value: Any, node: Node, path: str, embedded: bool) -> list[Cause]:
    """The first thing that cannot be read as type or metadata of a resource."""
    found = FieldErrors()
    if type(value) is list and node.items is not None:
        for index, inner in enumerate(value):
            found += _uncoercible(inner, node.items, f"{path}[{index}]", node.items.embedded)
    for name, inner in value.items() if type(value) is dict else ():
        at = f"{path}.{name}" if path else name
        if embedded and name in ("apiVersion", "kind") and type(inner) is not str:
            found.invalid(at, inner, "must be a string")
        elif embedded and name == "metadata":
            try:
                shaping.object_meta(value, "", [])
            except shaping.BadMetadata as error:
                found.invalid(at, inner, str(error))
        below = node.properties.get(name) or node.additional_node
        if below is not None:
            found += _uncoercible(inner, below, at, below.embedded)
    return found[:1]


# -- each keyword ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """What holds where the walk is."""

    forbid_defaults: str = ""  # why; "" where they are allowed
    inside_metadata: bool = False
    uncorrelatable: str = ""  # the path from which on old and new cannot be matched
    root: bool = False


@dataclass(slots=True)
class Found:
    """`schema` errors keep CEL rules above them from being compiled."""

    schema: FieldErrors = field(default_factory=FieldErrors)
    cel: FieldErrors = field(default_factory=FieldErrors)


def keywords(
    schema: Object, path: str, context: Any, *, known: frozenset[str] = frozenset(), strict: bool = True
) -> list[Cause]:
    """`context`: cel.Context, None where no rule is to be compiled. `known`: expressions that were there before. `strict`: whether
    what newer versions of Kubernetes refuse is refused (not on updates of a definition that had it already)."""
    found = Found()
    _keywords(schema, path, _Place(root=True), context, found, strict)
    return [*found.schema, *found.cel]


_UNSUPPORTED = (
    ("id", False), ("additionalItems", True), ("patternProperties", False), ("definitions", False), ("dependencies", True), ("$ref", True),
)  # fmt: skip


def _keywords(schema: Any, path: str, place: _Place, context: Any, found: Found, strict: bool) -> None:
    if not isinstance(schema, dict):
        return
    before = len(found.schema)
    errors, type_ = found.schema, schema.get("type") or ""
    if type_ and type_ not in TYPES:
        not_supported(errors, f"{path}.type", type_, TYPES)
    if schema.get("default") is not None and place.forbid_defaults:
        errors.forbidden(f"{path}.default", f"must not be set {place.forbid_defaults}")
    for key, even_empty in _UNSUPPORTED:
        if schema.get(key) or (even_empty and schema.get(key) is not None):
            errors.forbidden(f"{path}.{key}", f"{key} is not supported")
    if type_ == "null":
        errors.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        errors.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.inside_metadata and schema.get("x-kubernetes-embedded-resource"):
        errors.forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        errors.forbidden(
            f"{path}.uniqueItems",
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )
    _walk(schema, path, place, context, found, strict)
    _extensions(schema, type_, path, errors, strict)
    rules = schema.get("x-kubernetes-validations") or ()
    node = Node(schema) if rules else None
    for i, rule in enumerate(rules):
        _rule(rule, node, f"{path}.x-kubernetes-validations[{i}]", errors)
    if rules and len(errors) == before and context is not None:
        context.check_rules(path, place.uncorrelatable, found.cel)


def _walk(schema: Object, path: str, place: _Place, context: Any, found: Found, strict: bool) -> None:
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    inner_place = replace(place, root=False)
    member = inner_place
    if schema.get("x-kubernetes-map-type") not in (None, *_MAP_TYPES) and not place.uncorrelatable:
        member = replace(inner_place, uncorrelatable=path)
    if additional is not None:
        if properties and additional is not True:
            found.schema.forbidden(
                f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive"
            )
        below = member
        if place.inside_metadata:
            below = replace(below, forbid_defaults="inside additionalProperties applying to object metadata")
        child = context.child("additionalProperties") if context else None
        _keywords(additional, f"{path}.additionalProperties", below, child, found, strict)
    for name, inner in properties.items():
        below = member
        if (place.root or schema.get("x-kubernetes-embedded-resource")) and name in META_FIELDS:
            below = replace(below, inside_metadata=True)
            if place.root:
                below = replace(below, forbid_defaults=f"in top-level {name}")
        child = context.child("properties", name) if context else None
        _keywords(inner, f"{path}.properties[{name}]", below, child, found, strict)
    _keywords(schema.get("not"), f"{path}.not", inner_place, None, found, strict)
    for key in ("allOf", "oneOf", "anyOf"):
        for i, inner in enumerate(schema.get(key) or ()):
            _keywords(inner, f"{path}.{key}[{i}]", inner_place, None, found, strict)
    for name, inner in (schema.get("definitions") or {}).items():
        _keywords(inner, f"{path}.definitions[{name}]", inner_place, None, found, strict)
    below = inner_place
    if schema.get("x-kubernetes-list-type") != "map" and not below.uncorrelatable:
        below = replace(below, uncorrelatable=path)
    items = schema.get("items")
    child = context.child("items") if context and isinstance(items, dict) else None
    _keywords(items, f"{path}.items", below, child, found, strict)
    for i, inner in enumerate(items if isinstance(items, list) else ()):
        _keywords(inner, f"{path}.items[{i}]", below, None, found, strict)


def _must_be(errors: FieldErrors, path: str, type_: str, why: str) -> None:
    if type_:
        errors.invalid(f"{path}.type", type_, why)
    else:
        errors.required(f"{path}.type", why)


def _extensions(schema: Object, type_: str, path: str, errors: FieldErrors, strict: bool) -> None:
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        errors.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    map_type, list_type = schema.get("x-kubernetes-map-type"), schema.get("x-kubernetes-list-type")
    keys: list[str] = schema.get("x-kubernetes-list-map-keys") or []
    items = schema.get("items")
    item: Object | None = items if isinstance(items, dict) else None
    if map_type is not None and type_ != "object":
        _must_be(errors, path, type_, "must be object if x-kubernetes-map-type is specified")
    if map_type is not None and map_type not in _MAP_TYPES:
        not_supported(errors, f"{path}.x-kubernetes-map-type", map_type, _MAP_TYPES)
    if list_type is not None and type_ != "array":
        _must_be(errors, path, type_, "must be array if x-kubernetes-list-type is specified")
    elif list_type == "set" and item is not None and strict:
        why = "must be atomic as item of a list with x-kubernetes-list-type=set"
        if item.get("type") == "array" and item.get("x-kubernetes-list-type") not in (None, "atomic"):
            errors.invalid(f"{path}.items.x-kubernetes-list-type", item["x-kubernetes-list-type"], why)
        if item.get("type") == "object" and item.get("x-kubernetes-map-type") != "atomic":
            errors.invalid(f"{path}.items.x-kubernetes-map-type", item.get("x-kubernetes-list-type"), why)
    if list_type is not None and list_type not in _LIST_TYPES:
        not_supported(errors, f"{path}.x-kubernetes-list-type", list_type, _LIST_TYPES)
    if keys and list_type != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        at = f"{path}.x-kubernetes-list-type"
        errors.required(at, why) if list_type is None else errors.invalid(at, list_type, why)
    if list_type == "map":
        _map_list(items, item, keys, path, errors)
    if list_type in ("set", "map") and item is not None and strict:
        if item.get("nullable"):
            errors.forbidden(
                f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}"
            )
        for key in keys if list_type == "map" else ():
            _map_key(item, key, f"{path}.items.properties[{key}]", errors)


def _map_list(items: Any, item: Object | None, keys: list[str], path: str, errors: FieldErrors) -> None:
    if not keys:
        errors.required(
            f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"
        )
    if items is None:
        errors.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
    elif item is None:
        errors.invalid(
            f"{path}.items", items, "must only have a single schema if x-kubernetes-list-type is map"
        )
    elif item.get("type") != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        errors.invalid(f"{path}.items.type", item.get("type") or "", why)
    else:
        at = f"{path}.x-kubernetes-list-map-keys"
        for i, key in enumerate(keys):
            schema = (item.get("properties") or {}).get(key)
            if schema is None:
                errors.invalid(at, keys, "entries must all be names of item properties")
            elif schema.get("type") in ("array", "object"):
                why = "must be a scalar type if parent array's x-kubernetes-list-type is map"
                errors.invalid(f"{path}.items.properties[{key}].type", item["type"], why)
            if key in keys[:i]:
                errors.invalid(at, keys, "must not contain duplicate entries")


def _map_key(item: Object, key: str, path: str, errors: FieldErrors) -> None:
    schema = (item.get("properties") or {}).get(key)
    if schema is None:
        return
    if key not in (item.get("required") or ()) and schema.get("default") is None:
        why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
        errors.required(f"{path}.default", why)
    if schema.get("nullable"):
        errors.forbidden(
            f"{path}.nullable", "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
        )


def _rule(rule: Object, node: Node | None, path: str, errors: FieldErrors) -> None:
    """What can be said of a rule without compiling it."""
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        errors.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        errors.invalid(f"{path}.message", message, "must be non-empty if specified")
    elif _has_newline(message.strip()):
        errors.invalid(f"{path}.message", message, "must not contain line breaks")
    elif _has_newline(text) and not message.strip():
        errors.required(f"{path}.message", "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        errors.required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in REASONS:
        not_supported(errors, f"{path}.reason", rule["reason"], REASONS)
    field_path = rule.get("fieldPath") or ""
    if field_path and not field_path.strip():
        errors.invalid(f"{path}.fieldPath", field_path, "must be non-empty if specified")
    if _has_newline(field_path):
        errors.invalid(f"{path}.fieldPath", field_path, "must not contain line breaks")
    if field_path and node is not None:
        try:
            field_at(field_path, node)
        except FieldPathError:
            errors.invalid(f"{path}.fieldPath", field_path, "must be a valid path")


def _has_newline(text: str) -> bool:
    return "\n" in text or "\r" in text


# -- paths of fields ---------------------------------------------------------------------------------------------------


class FieldPathError(ValueError):
    pass


_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def field_at(path: str, node: Node, *, brackets: bool = True) -> tuple[str, Node]:
    """(the path as errors show it, the schema there) of `.spec.map['key']`. Raises FieldPathError."""
    rendered, at, current = "", 0, node
    tokens = _tokens(path)

    def take() -> str:
        nonlocal at
        if at >= len(tokens):
            raise FieldPathError("unexpected end of JSON path")
        at += 1
        return tokens[at - 1]

    while at < len(tokens):
        token = take()
        if token == "[":
            if not brackets:
                raise FieldPathError("array notation is not allowed")
            token = take()
            if len(token) < 2 or token[0] != "'" or token[-1] != "'":
                raise FieldPathError(f"expected single quoted string but got {token}")
            name = re.sub(r"\\(.)", lambda match: _ESCAPED.get(match[1], match[1]), token[1:-1])
            rendered, current = _step(rendered, name, current)
            if (closing := take()) != "]":
                raise FieldPathError(f"expected ] but got {closing}")
        elif token == ".":
            rendered, current = _step(rendered, take(), current)
        else:
            raise FieldPathError(f"expected [ or . but got: {token}")
    return rendered, current


def _step(rendered: str, name: str, node: Node) -> tuple[str, Node]:
    if node.properties:
        if name not in node.properties:
            raise FieldPathError("does not refer to a valid field")
        return f"{rendered}.{name}" if rendered else name, node.properties[name]
    if isinstance(node.additional, Node):
        return f"{rendered}[{name}]", node.additional
    raise FieldPathError("does not refer to a valid field")


def _tokens(path: str) -> list[str]:
    """Split at `.`, `[` and `]`, except inside quotes."""
    tokens, current, quoted_ = [], "", False
    for char in path:
        if char == "'" and not current.endswith("\\"):
            quoted_ = not quoted_
        if char in ".[]" and not quoted_:
            if current:
                tokens.append(current)
            tokens.append(char)
            current = ""
        else:
            current += char
    return [*tokens, current] if current else tokens
