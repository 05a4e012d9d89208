"""A CustomResourceDefinition: what is wrong with it, and what is only odd (apiextensions/validation).

Kubernetes checks its internal form, in which what all versions share (schema, subresources, columns) stands once at the top; the paths of
errors show that.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from .. import names
from ..errors import Cause
from ..fielderrors import FieldErrors, quoted
from ..object import Object
from ..validation import metadata
from . import rules
from .schema import Node, effective_format

COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
REVIEW_VERSIONS = ("v1", "v1beta1")
APPROVED = "api-approved.kubernetes.io"
SELECTABLE_MAX = 8
_SHARED = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "",
    "selectableFields": "",
}
_AT_ROOT = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems "
    "MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations"
)
_ROOT_KEYS = frozenset(
    {word[0].lower() + word[1:] for word in _AT_ROOT.split()}
    | {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"}
)


def storage_version(crd: Object) -> str | None:
    return next((v.get("name") or "" for v in crd["spec"].get("versions") or () if v.get("storage")), None)


def is_true(crd: Object, type_: str) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == type_ and c.get("status") == "True" for c in conditions)


# -- validation --------------------------------------------------------------------------------------------------------


def created(errors: FieldErrors, crd: Object) -> None:
    wanted = f"{crd['spec']['names'].get('plural') or ''}.{crd['spec'].get('group') or ''}"

    def name_rule(name: str) -> list[str]:
        extra = [] if name == wanted else ['must be spec.names.plural+"."+spec.group']
        return [*names.dns1123_subdomain(name), *extra]

    metadata.created(errors, crd["metadata"], name_rule, namespaced=False, known_finalizers=False)
    _spec(errors, crd["spec"], None)
    _rest(errors, crd, None)


def updated(errors: FieldErrors, new: Object, old: Object, subresource: str) -> None:
    metadata.updated(errors, new["metadata"], old["metadata"], known_finalizers=False)
    if subresource == "status":
        _names(errors, (new.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames")
        return
    spec, before = new["spec"], old["spec"]
    _spec(errors, spec, old)
    fixed = [("group", spec.get("group"), before.get("group"))]
    if is_true(old, "Established"):
        fixed = [
            ("scope", spec.get("scope"), before.get("scope")),
            ("names.kind", spec["names"].get("kind"), before["names"].get("kind")),
            *fixed,
        ]
    for name, value, was in [
        *fixed,
        ("names.plural", spec["names"].get("plural"), before["names"].get("plural")),
    ]:
        if value != was:
            errors.invalid(f"spec.{name}", value, "field is immutable")
    _rest(errors, new, old)


def _rest(errors: FieldErrors, crd: Object, old: Object | None) -> None:
    status = crd.get("status") or {}
    _names(errors, status.get("acceptedNames") or {}, "status.acceptedNames")
    _stored_versions(errors, status.get("storedVersions") or [], crd["spec"].get("versions") or [])
    _approval(errors, crd, old)
    if crd["spec"].get("preserveUnknownFields") and not (old and old["spec"].get("preserveUnknownFields")):
        errors.invalid(
            "spec.preserveUnknownFields",
            True,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        )


def _stored_versions(errors: FieldErrors, stored: list[str], versions: list[Object]) -> None:
    path = "status.storedVersions"
    if not stored:
        errors.invalid(path, None, "must have at least one stored version")
        return
    known = [version.get("name") or "" for version in versions]
    for index, version in enumerate(versions):
        name = known[index]
        if version.get("storage") and (name not in stored or name in known[:index]):
            errors.invalid(path, stored, f"must have the storage version {name}")
    for i, name in enumerate(stored):
        if name not in known:
            errors.invalid(
                f"{path}[{i}]",
                name,
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage "
                f"migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions",
            )


def is_protected(group: str) -> bool:
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def approval(crd: Object) -> tuple[str, str]:
    """(state, why): of the annotation that groups of the Kubernetes project must have."""
    value = (crd["metadata"].get("annotations") or {}).get(APPROVED) or ""
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not value:
        return "missing", f'protected groups must have approval annotation "{APPROVED}", {see}'
    if value.startswith("unapproved"):
        return "bypassed", f"not approved: {quoted(value)}"
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/]+", value):
        return "approved", f"approved in {value}"
    why = f'protected groups must have approval annotation "{APPROVED}" with either a URL or a reason starting with "unapproved", {see}'
    return "invalid", why


def _approval(errors: FieldErrors, crd: Object, old: Object | None) -> None:
    if not is_protected(crd["spec"].get("group") or ""):
        return
    state, why = approval(crd)
    if old is not None and approval(old)[0] == state:
        return
    path = f"metadata.annotations[{APPROVED}]"
    if state == "missing":
        errors.required(path, why)
    elif state == "invalid":
        errors.invalid(path, crd["metadata"]["annotations"][APPROVED], why)


def _names(errors: FieldErrors, given: Object, path: str) -> None:
    def label(at: str, value: str, prefix: str = "") -> None:
        wrong = names.dns1035_label(value.lower() if prefix else value)
        if wrong:
            errors.invalid(f"{path}.{at}", value, prefix + ",".join(wrong))

    mixed = "may have mixed case, but should otherwise match: "
    for name, prefix in (("plural", ""), ("singular", ""), ("kind", mixed), ("listKind", mixed)):
        if given.get(name):
            label(name, given[name], prefix)
    for i, short in enumerate(given.get("shortNames") or ()):
        label(f"shortNames[{i}]", short)
    if given.get("kind") and given["kind"] == given.get("listKind"):
        errors.invalid(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same")
    for i, category in enumerate(given.get("categories") or ()):
        label(f"categories[{i}]", category)


def _spec(errors: FieldErrors, spec: Object, old: Object | None) -> None:
    group, versions = spec.get("group") or "", spec.get("versions") or []
    if not group:
        errors.required("spec.group")
    elif wrong := names.dns1123_subdomain(group):
        errors.invalid("spec.group", group, ",".join(wrong))
    elif "." not in group:
        errors.invalid("spec.group", group, "should be a domain with at least one dot")
    if not spec.get("scope"):
        errors.required("spec.scope")
    elif spec["scope"] not in ("Cluster", "Namespaced"):
        rules.not_supported(errors, "spec.scope", spec["scope"], ("Cluster", "Namespaced"))
    for i, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            errors.required(f"spec.versions[{i}].schema.openAPIV3Schema")
    shared = {
        key for key in _SHARED if versions and all(v.get(key) == versions[0].get(key) for v in versions)
    }
    any_status = any("status" in (v.get("subresources") or {}) for v in versions)
    for i, version in enumerate(versions):
        path = f"spec.versions[{i}]"
        if wrong := names.dns1035_label(version.get("name") or ""):
            errors.invalid(f"{path}.name", version.get("name") or "", ",".join(wrong))
        _deprecation(errors, version, path)
        own = {key: version.get(key) for key in _SHARED if key not in shared}
        status = "status" in (version.get("subresources") or {})
        _version(errors, own, path, status, old, version.get("name") or "")
    dumped = [_as_go_has_it(version, shared) for version in versions]
    if len({v.get("name") for v in versions}) != len(versions):
        _invalid_versions(errors, dumped, "must contain unique version names")
    if sum(bool(v.get("storage")) for v in versions) != 1:
        listed = dumped if "versions" in spec else None
        _invalid_versions(errors, listed, "must have exactly one version marked as storage version")
    if versions and (wrong := names.dns1035_label(versions[0].get("name") or "")) and versions[0].get("name"):
        errors.invalid("spec.version", versions[0]["name"], ",".join(wrong))
    for name in ("plural", "singular", "kind", "listKind"):
        if not spec["names"].get(name):
            errors.required(f"spec.names.{name}")
    _names(errors, spec["names"], "spec.names")
    if shared:
        first = versions[0]
        _version(
            errors,
            {key: first.get(key) for key in shared},
            "spec",
            any_status,
            old,
            first.get("name") or "",
        )
    conversion = spec.get("conversion")
    if conversion is not None:
        strategy = conversion.get("strategy") or ""
        if spec.get("preserveUnknownFields") and strategy != "None":
            why = "must be None if spec.preserveUnknownFields is true"
            errors.invalid("spec.conversion.strategy", strategy, why)
        _conversion(errors, conversion, old)


def _invalid_versions(errors: FieldErrors, dumped: Any, why: str) -> None:
    shown = orjson.dumps(dumped).decode()  # in the order of Go's struct
    errors.append(Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "spec.versions"))


def _as_go_has_it(version: Object, shared: set[str]) -> Object:
    def own(key: str) -> Any:
        return None if key in shared else version.get(key)

    return {
        "Name": version.get("name") or "",
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
        "Schema": own("schema"),
        "Subresources": own("subresources"),
        "AdditionalPrinterColumns": own("additionalPrinterColumns"),
        "SelectableFields": own("selectableFields"),
    }


def _deprecation(errors: FieldErrors, version: Object, path: str) -> None:
    warning, at = version.get("deprecationWarning"), f"{path}.deprecationWarning"
    if warning is None:
        return
    if not version.get("deprecated"):
        errors.invalid(at, warning, "can only be set for deprecated versions")
        return
    if len(warning.encode()) > 256:
        errors.invalid(at, warning, "must be <= 256 characters long")
    if not warning:
        errors.invalid(at, warning, "must not be an empty string")
    if (odd := next((i for i, char in enumerate(warning) if not char.isprintable()), None)) is not None:
        why = f"must only contain printable UTF-8 characters; non-printable character found at index {odd}"
        errors.invalid(at, warning, why)


def _version(
    errors: FieldErrors, part: Object, path: str, status: bool, old: Object | None, name: str
) -> None:
    """What a version says, or what all versions say; where they share the schema but not its selectable fields, Kubernetes misses it."""
    schema = (part.get("schema") or {}).get("openAPIV3Schema")
    if schema is not None:
        at = f"{path}.validation.openAPIV3Schema" if path == "spec" else f"{path}.schema.openAPIV3Schema"
        _schema(errors, schema, at, status, old, name)
    _subresources(errors, part.get("subresources") or {}, f"{path}.subresources")
    for i, column in enumerate(part.get("additionalPrinterColumns") or ()):
        _column(errors, column, f"{path}.additionalPrinterColumns[{i}]")
    selectable = part.get("selectableFields") or []
    if selectable and schema is not None:
        _selectable(errors, selectable, Node(schema), f"{path}.selectableFields")
    elif selectable:
        which = (
            "validations.schema is included"
            if path == "spec"
            else "`version.schema.openAPIV3Schema` is not included"
        )
        errors.invalid(f"{path}.selectableFields", "", f"may only be set when {which}")


def _old_schemas(old: Object | None) -> dict[str, Object]:
    if old is None:
        return {}
    found = {
        v.get("name") or "": (v.get("schema") or {}).get("openAPIV3Schema")
        for v in old["spec"].get("versions") or ()
    }
    return {name: schema for name, schema in found.items() if schema}


def _schema(
    errors: FieldErrors, schema: Object, path: str, status: bool, old: Object | None, name: str
) -> None:
    before = len(errors)
    if status:
        odd = [
            key
            for key, value in schema.items()
            if key not in _ROOT_KEYS and value not in (None, False, "", [], {})
        ]
        if schema.get("type") and schema["type"] != "object":
            why = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            errors.invalid(f"{path}.type", schema["type"], why)
        elif odd:
            why = f"only [{_AT_ROOT}] fields are allowed at the root of the schema if the status subresource is enabled"
            errors.invalid(path, schema, why)
    if schema.get("nullable"):
        errors.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    existing = _old_schemas(old)
    strict = not any(_breaks_newer_rules(each, path) for each in existing.values())
    representable = rules.is_representable(schema)
    context = None
    if representable:
        found = rules.structural(schema, path)
        if not found:
            node = Node(schema)
            if node.has_defaults:
                found = rules.defaults(node, path, resource=True)
            if not found and node.any(lambda each: bool(each.rules)):
                from . import cel

                context = cel.Context.root(schema, unchanged=existing.get(name) == schema)
        errors += found
    errors += rules.keywords(schema, path, context, strict=strict)
    if not representable and len(errors) == before:
        errors.invalid(path, "", "OpenAPIV3Schema 'schema' is not supported")
    if context is not None:
        context.check_total(path, errors)


def _breaks_newer_rules(schema: Object, path: str) -> bool:
    """A definition that was accepted before these rules existed may keep what it has."""
    loose, tight = rules.keywords(schema, path, None, strict=False), rules.keywords(schema, path, None)
    return len(tight) > len(loose)


def _subresources(errors: FieldErrors, subresources: Object, path: str) -> None:
    scale = subresources.get("scale")
    if scale is None:
        return
    for name, prefix in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        at, value = f"{path}.scale.{name}", scale.get(name) or ""
        if not value:
            errors.required(at)
        elif value[0] != ".":
            errors.invalid(at, value, "must be a simple json path starting with .")
        elif not value.startswith(f"{prefix}."):
            errors.invalid(at, value, f"should be a json path under {prefix}")
    at, value = f"{path}.scale.labelSelectorPath", scale.get("labelSelectorPath") or ""
    if value and value[0] != ".":
        errors.invalid(at, value, "must be a simple json path starting with .")
    elif value and not value.startswith((".spec.", ".status.")):
        errors.invalid(at, value, "should be a json path under either .spec or .status")


def _column(errors: FieldErrors, column: Object, path: str) -> None:
    if not column.get("name"):
        errors.required(f"{path}.name")
    types = f"must be one of {','.join(COLUMN_TYPES)}"
    if not column.get("type"):
        errors.required(f"{path}.type", types)
    elif column["type"] not in COLUMN_TYPES:
        errors.invalid(f"{path}.type", column["type"], types)
    if column.get("format") and column["format"] not in COLUMN_FORMATS:
        errors.invalid(f"{path}.format", column["format"], f"must be one of {','.join(COLUMN_FORMATS)}")
    json_path = column.get("jsonPath") or ""
    if not json_path:
        errors.required(f"{path}.JSONPath")
    elif json_path[0] != ".":
        errors.invalid(f"{path}.JSONPath", json_path, "must be a simple json path starting with .")


def _selectable(errors: FieldErrors, fields: list[Object], node: Node, path: str) -> None:
    seen: set[str] = set()
    for i, one in enumerate(fields):
        at, json_path = f"{path}[{i}].jsonPath", one.get("jsonPath") or ""
        if not json_path:
            errors.required(at)
            continue
        try:
            rendered, found = rules.field_at(json_path, node, brackets=False)
        except rules.FieldPathError as error:
            errors.invalid(at, json_path, f"is an invalid path: {error}")
            continue
        if rendered.partition(".")[0] == "metadata":
            errors.invalid(at, json_path, "must not point to fields in metadata")
        if found.type not in ("string", "boolean", "integer"):
            why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
            errors.invalid(at, json_path, why)
        if rendered in seen:
            errors.duplicate(at, json_path)
        seen.add(rendered)
    if len(seen) > SELECTABLE_MAX:
        errors.too_many(path, len(seen), SELECTABLE_MAX)


def _conversion(errors: FieldErrors, conversion: Object, old: Object | None) -> None:
    path, strategy, webhook = (
        "spec.conversion",
        conversion.get("strategy") or "",
        conversion.get("webhook") or {},
    )
    if not strategy:
        errors.required(f"{path}.strategy")
    elif strategy not in ("None", "Webhook"):
        rules.not_supported(errors, f"{path}.strategy", strategy, ("None", "Webhook"))
    client, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy == "Webhook":
        from ..validation import webhook_clients

        at = f"{path}.webhookClientConfig"
        if client is None:
            errors.required(at, "required when strategy is set to Webhook")
        else:
            webhook_clients.client_config(errors, client, at)
            bundle, had = client.get("caBundle"), _bundle(old)
            if (
                bundle and old is not None and is_true(old, "Established")
            ):  # before, something may yet put it in
                if not had or webhook_clients.is_bundle(had):
                    webhook_clients.ca_bundle(errors, bundle, f"{at}.caBundle")
        _review_versions(errors, versions, f"{path}.conversionReviewVersions", old)
        return
    why = "should not be set when strategy is not set to Webhook"
    if client is not None:
        errors.forbidden(f"{path}.webhookClientConfig", why)
    if versions:
        errors.forbidden(f"{path}.conversionReviewVersions", why)


def _bundle(crd: Object | None) -> str:
    conversion = ((crd or {}).get("spec") or {}).get("conversion") or {}
    return ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("caBundle") or ""


def _review_versions(errors: FieldErrors, versions: list[str], path: str, old: Object | None) -> None:
    if not versions:
        errors.required(path)
        return
    for i, version in enumerate(versions):
        if version in versions[:i]:
            errors.invalid(f"{path}[{i}]", version, "duplicate version")
        else:
            errors.messages(f"{path}[{i}]", version, names.dns1035_label(version))
    before = (((old or {}).get("spec") or {}).get("conversion") or {}).get("webhook") or {}
    had = before.get("conversionReviewVersions") or []
    if not set(versions) & set(REVIEW_VERSIONS) and (not had or set(had) & set(REVIEW_VERSIONS)):
        errors.invalid(path, versions, f"must include at least one of {', '.join(REVIEW_VERSIONS)}")


# -- warnings ----------------------------------------------------------------------------------------------------------


def warnings(crd: Object, old: Object | None = None) -> list[str]:
    """Formats that nobody checks; of an update only what is new."""
    found = _warnings(crd)
    return [text for text in found if old is None or text not in _warnings(old)]


def _warnings(crd: Object) -> list[str]:
    formats: list[str] = []

    def look(schema: Any) -> None:
        if not isinstance(schema, dict):
            return
        text, type_ = schema.get("format") or "", schema.get("type") or ""
        if (
            text
            and not effective_format(text, (type_,) if type_ else ())
            and type_ in ("", "string", "integer", "number")
        ):
            formats.append(f'unrecognized format "{text}"')
        for inner in rules._below(schema):
            look(inner)

    schemas = [(v.get("schema") or {}).get("openAPIV3Schema") for v in crd["spec"].get("versions") or ()]
    if schemas and all(schema == schemas[0] for schema in schemas):
        schemas = schemas[:1]
    for schema in schemas:
        look(schema)
    return formats
