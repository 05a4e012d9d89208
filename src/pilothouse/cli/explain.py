"""`pilothouse explain`: fields and what they mean, from the server's own OpenAPI documents, custom resources too."""

from __future__ import annotations

from typing import Any

import click

from .errors import Failure
from .verb import Call, flag, program, text, verb

Schema = dict[str, Any]


@verb(
    "explain",
    flag("--recursive", help="The fields of fields too, without descriptions."),
    text("--api-version", help="GROUP/VERSION to look in."),
    text("--output", default="plaintext"),
    help="Explain the fields of a resource: `explain pod.spec.containers`.",
)
async def command(call: Call) -> None:
    if len(call.words) != 1:
        hint = f'Use "{program()} api-resources" for a complete list of supported resources.'
        raise Failure(
            f"You must specify the type of resource to explain. {hint}"
            if not call.words
            else "We accept only this format: explain RESOURCE"
        )
    type_, *fields = call.words[0].removesuffix(".").split(".")
    try:
        kind = await call.connection.kind(type_)
    except Failure as error:
        raise Failure(error.message, plain=True)
    if wanted := call.options.api_version:
        try:
            kind = await call.connection.kind_of_object(wanted, kind.kind)
        except Failure:
            raise Failure(f'couldn\'t find resource for "{wanted}, Resource={kind.plural}"')
    if call.options.output not in ("plaintext", "plaintext-openapiv2"):
        raise Failure(f"unrecognized format: {call.options.output}")
    where = f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
    document = await call.client.call("GET", f"/openapi/v3/{where}")
    if kind.group:
        click.echo(f"GROUP:      {kind.group}")
    click.echo(f"KIND:       {kind.kind}\nVERSION:    {kind.version}\n")
    schemas = document.get("components", {}).get("schemas") or {}
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    root = next(
        (s for s in schemas.values() if gvk in (s.get("x-kubernetes-group-version-kind") or ())), None
    )
    if root is None:
        raise Failure(f"GVK {gvk} not found in OpenAPI schema")
    click.echo(Explanation(schemas, call.options.recursive).of(root, fields))


class Explanation:
    def __init__(self, schemas: dict[str, Schema], recursive: bool):
        self._schemas, self._recursive = schemas, recursive

    def _resolved(self, schema: Schema) -> Schema:
        reference = schema.get("$ref") or ""
        return self._schemas.get(reference.rpartition("/")[2], schema) if reference else schema

    def of(self, schema: Schema, fields: list[str]) -> str:
        """Follows the fields; then the description and the list of what is below. Raises Failure."""
        out = ""
        for index, name in enumerate(fields):
            found = self._property(schema, name)
            if found is None:
                raise Failure(f'field "{fields[-1]}" does not exist')
            schema = found
            if index == len(fields) - 1:
                out += f"FIELD: {name} <{self._type(schema)}>\n" + _enum(schema, None, "") + "\n\n"
        about = "".join(self._descriptions(schema)) or "<empty>"
        out += f"DESCRIPTION:\n{_indented(_wrapped(about, 76), 4)}\n"
        listed = "".join(self._fields(schema, 1, ()))
        return out + (f"FIELDS:\n{listed}" if listed else "")

    def _property(self, schema: Schema, name: str) -> Schema | None:
        resolved = self._resolved(schema)
        if name in (resolved.get("properties") or {}):
            return dict(resolved["properties"][name])
        for inner in _inner(resolved):
            if (found := self._property(inner, name)) is not None:
                return found
        return None

    def _descriptions(self, schema: Schema) -> list[str]:
        resolved = self._resolved(schema)
        own = [resolved["description"] + "\n"] if resolved.get("description") else []
        ordered = [*(resolved.get("allOf") or ()), *_inner({**resolved, "allOf": ()})]
        return own + [text for inner in ordered for text in self._descriptions(inner)]

    def _fields(self, schema: Schema, level: int, seen: tuple[str, ...]) -> list[str]:
        reference = schema.get("$ref") or ""
        if reference and reference in seen:
            return []
        seen = (*seen, reference) if reference else seen
        resolved = self._resolved(schema)
        out = []
        for name, inner in sorted((resolved.get("properties") or {}).items()):
            required = " -required-" if name in (resolved.get("required") or ()) else ""
            indent = " " * (level * 2)
            out.append(f"{indent}{name}\t<{self._type(inner)}>{required}{_enum(inner, 4, indent)}\n")
            if self._recursive:
                out += self._fields(inner, level + 1, seen)
            else:
                about = _wrapped(inner.get("description") or "<no description>", 78 - level * 2)
                out.append(_indented(about, level * 2 + 2) + "\n\n")
        for inner in _inner(resolved):
            out += self._fields(inner, level, seen)
        return out

    def _type(self, schema: Schema) -> str:
        """`[]Container`, `map[string]string`, `integer`, …"""
        if schema.get("items"):
            return "[]" + self._type(schema["items"])
        if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
            return "map[string]" + self._type(schema["additionalProperties"])
        if len(schema.get("allOf") or ()) == 1 and not schema.get("properties"):
            return self._type(schema["allOf"][0])
        if reference := schema.get("$ref"):
            target = self._resolved(schema)
            if target is schema or target.get("type", "object") == "object":
                return str(reference).rpartition("/")[2].rpartition(".")[2] or "Object"
            return str(target["type"])
        return "Object" if schema.get("type", "object") == "object" else str(schema["type"])


def _inner(schema: Schema) -> list[Schema]:
    """What a field may be of: alternatives, items, values."""
    more = [
        schema[key]
        for key in ("items", "additionalProperties")
        if isinstance(schema.get(key), dict) and schema[key]
    ]
    return [*(schema.get("allOf") or ()), *more]


def _enum(schema: Schema, limit: int | None, indent: str) -> str:
    """`limit` None: the long form, a line each."""
    values = [str(value) or '""' for value in schema.get("enum") or ()]
    if not values:
        return ""
    if limit is None:
        return "ENUM:" + "".join(f"\n    {value}" for value in values)
    return f"\n{indent}enum: {', '.join(values[:limit])}{', ....' if len(values) > limit else ''}"


def _indented(text_: str, amount: int) -> str:
    pad = " " * amount
    return pad + text_.replace("\n", "\n" + pad)


def _wrapped(text_: str, limit: int) -> str:
    """Breaks lines at blanks; a word that is longer than a line stays whole."""
    lines = []
    for line in text_.split("\n"):
        current = ""
        for word in line.split(" "):
            if current and len(current) + 1 + len(word) > limit:
                lines.append(current.rstrip())
                current = word
            else:
                current = f"{current} {word}" if current else word
        lines.append(current)
    return "\n".join(lines)
