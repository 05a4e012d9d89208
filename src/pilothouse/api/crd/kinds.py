"""A served version of a CustomResourceDefinition as a row of the table of kinds, with all that its objects go through.

Everything that the general code asks a custom kind for is here: `incoming` (from a client), `from_stored` (from the store), `created` and
`updated` (validation), `columns` and `cells` (Tables), `field` (selectable fields). Built from the definition when that changes; the CEL rules
are compiled when the first object is checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from .. import names
from ..duration import age
from ..errors import Cause
from ..fielderrors import FieldErrors
from ..fielderrors import shown as as_text
from ..kinds import CUSTOM_VERBS, Kind, Subresource
from ..object import Object
from ..openapi_descriptions import describe
from ..validation import metadata
from . import paths, shaping, values
from .conversion import GO_TYPES, Conversions, NeedsConversion
from .definition import is_true, storage_version
from .schema import Node

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d?\d:[0-5]\d:[0-5]\d([.,]\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_GET_UPDATE = ("get", "patch", "update")
_TERMINATING_VERBS = tuple(verb for verb in CUSTOM_VERBS if verb not in ("patch", "create", "update"))
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
NOT_CHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)
_INT32_MAX = 2**31 - 1


class Definition:
    """What all versions of one CustomResourceDefinition share."""

    def __init__(self, crd: Object):
        self.crd = crd
        spec = crd["spec"]
        self.edition = f"{crd['metadata']['uid']}/{crd['metadata'].get('generation')}"
        self.storage = storage_version(crd) or ""
        self.terminating = bool(crd["metadata"].get("deletionTimestamp")) or is_true(crd, "Terminating")
        self.versions: dict[str, Object] = {version["name"]: version for version in spec["versions"]}
        self.conversions: Conversions | None = None
        if spec["conversion"].get("strategy") == "Webhook":
            self.conversions = Conversions(spec["conversion"].get("webhook") or {})
        self.unchanged = crd["metadata"].get("generation") == 1
        """What is stored was written under this very definition."""
        self.ends: set[Callable[[], None]] = set()
        """What ends the watches that are open under it."""
        self._nodes: dict[str, Node | None] = {}

    def schema(self, version: str) -> Node | None:
        if version not in self._nodes:
            found = ((self.versions.get(version) or {}).get("schema") or {}).get("openAPIV3Schema")
            self._nodes[version] = Node(found) if found else None
        return self._nodes[version]


@dataclass(frozen=True)
class CustomKind(Kind):
    definition: Definition = field(default=cast(Definition, None), compare=False, repr=False)
    edition: str = ""
    """Which state of the definition this comes from: what was drawn from an older one is not taken for this."""

    def of_subresource(self, name: str) -> Kind:
        if name == "scale" and self.subresource(name):
            return Kind(
                "autoscaling",
                "v1",
                "Scale",
                self.plural,
                self.singular,
                verbs=_GET_UPDATE,
                list_kind="ScaleList",
            )
        return super().of_subresource(name)

    @cached_property
    def node(self) -> Node:
        return self.definition.schema(self.version) or Node(
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        )

    @cached_property
    def spec(self) -> Object:
        """The version's own part of the definition."""
        return self.definition.versions[self.version]

    @cached_property
    def verbatim(self) -> bool:
        return self.is_storage_version and self.definition.unchanged

    @cached_property
    def scale(self) -> Object | None:
        return (self.spec.get("subresources") or {}).get("scale")

    @cached_property
    def deprecation(self) -> str:
        """The warning that every request in this version gets; "" for none."""
        if not self.spec.get("deprecated"):
            return ""
        if self.spec.get("deprecationWarning"):
            return str(self.spec["deprecationWarning"])
        from ..discovery import version_priority

        text = f"{self.api_version} {self.kind} is deprecated"
        others = [
            name
            for name, version in self.definition.versions.items()
            if version.get("served")
            and not version.get("deprecated")
            and version_priority(name) < version_priority(self.version)
        ]
        better = min(others, key=version_priority, default="")
        return f"{text}; use {self.group}/{better} {self.kind}" if better else text

    def sibling(self, version: str) -> CustomKind | None:
        """The same kind in another version; None: there is none (any more)."""
        return replace(self, version=version) if version in self.definition.versions else None

    # -- in and out ------------------------------------------------------------------------------------------------

    def incoming(self, obj: Object, version: str = "") -> list[str]:
        """Shapes what a client sent, in place: what strict decoding objects to. Raises shaping.BadMetadata."""
        return [
            f'unknown field "{path}"'
            for path in shaping.shape(obj, self.definition.schema(version or self.version))
        ]

    def from_stored(self, obj: Object) -> Object:
        """An object of the store as this version shows it: with the defaults of the version that it was stored in."""
        if self.verbatim and obj.get("apiVersion") == self.api_version:
            return obj
        shown, stored_in = self._shaped(obj)
        if stored_in != self.version:
            self._as_version(shown, self.version)
        return shown

    def _shaped(self, obj: Object) -> tuple[Object, str]:
        shown = cast(Object, shaping.copied(obj))
        stored_in = str(obj.get("apiVersion") or "").rpartition("/")[2]
        shaping.shape_stored(shown, self.definition.schema(stored_in), defaults=True)
        return shown, stored_in

    def unconverted(self, obj: Object) -> Object | None:
        """An object of the store that a webhook has to convert before this version can show it, as the webhook is to get it."""
        conversions = self.definition.conversions
        if conversions is None:
            return None
        shown, stored_in = self._shaped(obj)
        known = stored_in == self.version or conversions.known(shown, self.version) is not None
        return None if known else shown

    def stored_form(self, obj: Object) -> tuple[Kind, Object]:
        """The object as it is kept, and the kind to say of it."""
        storage = self.definition.storage
        if storage == self.version:
            return self, obj
        kept = cast(Object, shaping.copied(obj))
        self._as_version(kept, storage)
        if (
            self.definition.conversions is not None
        ):  # the answer shows what is stored: that must not fail then
            self.from_stored(kept)
        return replace(self, version=storage), kept

    def _as_version(self, obj: Object, version: str) -> None:
        """Without a webhook, conversion changes nothing but the name of the version: what that does not know is lost."""
        conversions = self.definition.conversions
        if conversions is not None:
            converted = conversions.known(obj, version)
            if converted is None:
                raise NeedsConversion(self, obj, version)
            obj.clear()
            obj.update(converted)
        obj["apiVersion"], obj["kind"] = f"{self.group}/{version}", self.kind
        shaping.shape_stored(obj, self.definition.schema(version), defaults=False)

    # -- validation ------------------------------------------------------------------------------------------------

    def created(self, obj: Object) -> list[Cause]:
        errors = FieldErrors()
        metadata.created(
            errors,
            obj["metadata"],
            names.dns1123_subdomain,
            namespaced=self.namespaced,
            known_finalizers=False,
        )
        errors += values.validate(self.node, obj)
        errors += self._scale_problems(obj, spec=True)
        errors += values.validate_embedded(self.node, obj)
        errors += values.validate_lists(self.node, obj)
        return self._with_rules(errors, obj, None, None)

    def updated(
        self, new: Object, old: Object, subresource: str, warnings: list[str] | None = None
    ) -> list[Cause]:
        errors = FieldErrors()
        metadata.before_update(errors, new, old, namespaced=self.namespaced)
        if errors:
            metadata.updated(errors, new["metadata"], old["metadata"], known_finalizers=False)
        correlation = values.Correlation(new, old, self.node)
        if subresource == "status":
            status = self.node.properties.get("status")
            if "status" in new and status is not None:
                errors += values.validate(status, new["status"], "status", correlation.key("status"))
        else:
            errors += values.validate(self.node, new, "", correlation)
        errors += self._scale_problems(new, spec=subresource != "status")
        if subresource != "status":
            errors += values.validate_embedded(self.node, new)
        wrong_lists = values.validate_lists(self.node, new)
        if wrong_lists and not values.validate_lists(self.node, old):
            errors += wrong_lists
        return self._with_rules(errors, new, old, correlation, warnings)

    def _with_rules(
        self,
        errors: list[Cause],
        new: Object,
        old: Object | None,
        correlation: values.Correlation | None,
        warnings: list[str] | None = None,
    ) -> list[Cause]:
        if not self.has_rules:
            return errors
        if any(cause.reason in _BLOCKING for cause in errors):
            return [*errors, Cause("FieldValueInvalid", NOT_CHECKED, values.NO_PATH)]
        return [*errors, *self.rules.validate(new, old, "", correlation, warnings=warnings)]

    @cached_property
    def has_rules(self) -> bool:
        return self.node.any(lambda node: bool(node.rules))

    @cached_property
    def rules(self) -> Any:
        from . import cel

        return cel.compiled(self.node, resource=True)

    def _scale_problems(self, obj: Object, *, spec: bool) -> FieldErrors:
        errors = FieldErrors()
        if self.scale is None:
            return errors
        wanted: list[tuple[str, type]] = [(self.scale["specReplicasPath"], int)] if spec else []
        wanted.append((self.scale["statusReplicasPath"], int))
        if self.scale.get("labelSelectorPath"):
            wanted.append((self.scale["labelSelectorPath"], str))
        for path, type_ in wanted:
            try:
                found = nested(obj, path, type_)
            except WrongNesting as error:
                errors.invalid(path, 0 if type_ is int else "", str(error))
                continue
            if type_ is int and found is not None:
                if found < 0:
                    errors.invalid(path, found, "should be a non-negative integer")
                elif found > _INT32_MAX:
                    errors.invalid(path, found, f"should be less than or equal to {_INT32_MAX}")
        return errors

    def finalizer_warnings(self, new: Object, old: Object | None) -> list[str]:
        before = set(((old or {}).get("metadata") or {}).get("finalizers") or ())
        found = []
        for name in sorted(set(new["metadata"].get("finalizers") or ()) - before):
            prefix = f'metadata.finalizers: "{name}": '
            found += [prefix + why for why in names.qualified_name(name)]
            if "/" not in name and name not in ("orphan", "foregroundDeletion", "kubernetes"):
                path = " including a path (/)" if "." in name else ""
                found.append(
                    f"{prefix}prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
                )
        return found

    # -- tables and selectors ----------------------------------------------------------------------------------------

    @cached_property
    def _columns(self) -> list[Object]:
        own = self.spec.get("additionalPrinterColumns")
        created = describe("meta.v1.ObjectMeta")[1].get("creationTimestamp", "")
        age_column = {
            "name": "Age",
            "type": "date",
            "jsonPath": ".metadata.creationTimestamp",
            "description": created,
        }
        return own or [age_column]

    @cached_property
    def columns(self) -> list[Object]:
        found = [_column("Name", "string", "name", describe("meta.v1.ObjectMeta")[1].get("name", ""), 0)]
        for column in self._columns:
            text = (
                column.get("description")
                or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
            )
            found.append(
                _column(
                    column["name"],
                    column["type"],
                    column.get("format") or "",
                    text,
                    column.get("priority") or 0,
                )
            )
        return found

    @cached_property
    def _finders(self) -> list[tuple[str, paths.Find]]:
        return [(column["type"], paths.compile(column["jsonPath"])) for column in self._columns]

    def cells(self, obj: Object, now: float) -> list[Any]:
        found = [obj["metadata"].get("name") or ""]
        for type_, find in self._finders:
            here = find(obj)
            found.append(_cell(type_, here[0], now) if here else None)
        return found

    def field(self, name: str) -> Callable[[Object], str] | None:
        """How a field that this version declares selectable is read."""
        if not any(one["jsonPath"] == f".{name}" for one in self.spec.get("selectableFields") or ()):
            return None
        find = paths.compile(f".{name}")

        def read(obj: Object) -> str:
            found = find(self.from_stored(obj))
            return (
                ""
                if not found or found[0] is None
                else found[0]
                if type(found[0]) is str
                else as_text(found[0])
            )

        return read

    @cached_property
    def published(self) -> Object | None:
        """The schema for OpenAPI."""
        schema = (self.spec.get("schema") or {}).get("openAPIV3Schema")
        selectable = self.spec.get("selectableFields")
        if schema and selectable:
            listed = [{"fieldPath": one["jsonPath"].removeprefix(".")} for one in selectable]
            schema = {**schema, "x-kubernetes-selectable-fields": listed}
        return schema or None


def _column(name: str, type_: str, format_: str, description: str, priority: int) -> Object:
    return {"name": name, "type": type_, "format": format_, "description": description, "priority": priority}


def _cell(type_: str, value: Any, now: float) -> Any:
    number = type(value) is int or type(value) is float
    match type_:
        case "string":
            return value if type(value) is str else "" if value is None else as_text(value)
        case "integer":
            return int(value) if number else None
        case "number":
            return value if number else None
        case "boolean":
            return value if type(value) is bool else None
        case "date" if type(value) is str:
            if value in ("", "null"):
                return "<unknown>"
            try:
                return age(value, now) if _TIME.fullmatch(value) else "<invalid>"
            except ValueError:
                return "<invalid>"
    return None


class WrongNesting(ValueError):
    """A path leads through what is no object, or to a value of another type; in Go's words."""


def nested(obj: Object, path: str, type_: type) -> Any:
    """`unstructured.NestedInt64` and its like: None where there is nothing."""
    value: Any = obj
    walked = ""
    for name in path.removeprefix(".").split("."):
        walked += f".{name}"
        if type(value) is not dict:
            raise WrongNesting(
                f"{walked} accessor error: {_of_type(value)}, expected map[string]interface{{}}"
            )
        if name not in value:
            return None
        value = value[name]
    if type(value) is not type_:
        raise WrongNesting(f"{walked} accessor error: {_of_type(value)}, expected {GO_TYPES[type_]}")
    return value


def _of_type(value: Any) -> str:
    return f"{_go(value)} is of the type {GO_TYPES.get(type(value), '<nil>')}"


def _go(value: Any) -> str:
    """Go's %v."""
    if value is None:
        return "<nil>"
    if type(value) is dict:
        return f"map[{' '.join(f'{key}:{_go(inner)}' for key, inner in sorted(value.items()))}]"
    if type(value) is list:
        return f"[{' '.join(map(_go, value))}]"
    return value if type(value) is str else as_text(value)


def rows(crd: Object) -> list[CustomKind]:
    """The kinds that a definition serves now, in the order of its versions."""
    if not is_true(crd, "Established") or not (is_true(crd, "NamesAccepted") or is_true(crd, "Established")):
        return []
    definition = Definition(crd)
    spec, accepted = crd["spec"], crd["status"]["acceptedNames"]
    found = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        kind = accepted["kind"]
        subresources = version.get("subresources") or {}
        listed = [Subresource("status", kind, _GET_UPDATE)] if "status" in subresources else []
        if subresources.get("scale"):
            listed.append(Subresource("scale", "Scale", _GET_UPDATE, "autoscaling", "v1"))
        found.append(
            CustomKind(
                group=spec["group"],
                version=version["name"],
                kind=kind,
                plural=accepted["plural"],
                singular=accepted.get("singular") or "",
                short_names=tuple(accepted.get("shortNames") or ()),
                categories=tuple(accepted.get("categories") or ()),
                namespaced=spec["scope"] == "Namespaced",
                verbs=_TERMINATING_VERBS if definition.terminating else CUSTOM_VERBS,
                subresources=tuple(listed),
                storage_group=spec["group"],
                storage_version=definition.storage,
                list_kind=accepted.get("listKind") or f"{kind}List",
                custom=True,
                definition=definition,
                edition=definition.edition,
            )
        )
    return found
