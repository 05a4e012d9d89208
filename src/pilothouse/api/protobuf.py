"""Protobuf request bodies to JSON objects: what kubectl ≥ 1.32 and client-go ≥ 0.32 send for built-in kinds.

The body is `k8s\\0` and a message `Unknown` (k8s.io/apimachinery/pkg/runtime) that holds apiVersion, kind and the object's bytes.
The schema has every field's number, so this is one walk over the bytes with the schema beside it, and no generated code.
Bounded in depth and in the number of values; anything malformed is a ValueError. The result goes through the same schema
check as JSON does (decode.py), which leaves out the empty values that Kubernetes' encoder writes.
"""

from __future__ import annotations

import base64
import functools
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from .kinds import Kind
from .object import Object
from .schema import Field, Type, has_schema, schema_of, type_of

MAGIC = b"k8s\x00"

_DEPTH_MAX = 100
_VALUES_MAX = 500_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_Tree = dict[int, "Field | _Tree"]
"""Field number -> field, or -> the fields of an inlined message."""


def decode_body(data: bytes, kind: Kind) -> Object:
    """The object in an envelope, with its own apiVersion and kind; of what we do not know, those two alone."""
    api_version, name, raw, content_type = _envelope(data)
    if content_type == "application/json":
        loaded: Object = orjson.loads(raw)
        return loaded
    group, _, version = api_version.rpartition("/")
    gvk = (group, version or kind.version, name or kind.kind)
    if not api_version:
        gvk = (kind.group, kind.version, gvk[2])
    found = _Reader(raw).message(schema_of(*gvk), 0, len(raw), 0) if has_schema(*gvk) else {}
    if api_version:
        found["apiVersion"] = api_version
    if name:
        found["kind"] = name
    return found


def decode_type(data: bytes, type_name: str) -> Object:
    """The message of one type (`meta.v1.DeleteOptions`) in an envelope."""
    api_version, name, raw, content_type = _envelope(data)
    if content_type == "application/json":
        loaded: Object = orjson.loads(raw)
        return loaded
    found = _Reader(raw).message(type_of(type_name), 0, len(raw), 0)
    return {**found, "apiVersion": api_version, "kind": name}


class NotProtobuf(ValueError):
    """It does not even begin like that."""


def _envelope(data: bytes) -> tuple[str, str, bytes, str]:
    """(apiVersion, kind, the object's bytes, their content type)."""
    if not data.startswith(MAGIC):
        raise NotProtobuf(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
            if data
            else "empty data"
        )
    reader = _Reader(data)
    api_version = kind = content_type = ""
    raw = b""
    for number, wire, value in reader.fields(len(MAGIC), len(data)):
        if wire != _BYTES:
            continue
        start, end = value
        if number == 1:
            for inner, inner_wire, inner_value in reader.fields(start, end):
                if inner_wire == _BYTES and inner in (1, 2):
                    text = reader.text(inner_value)
                    api_version, kind = (text, kind) if inner == 1 else (api_version, text)
        elif number == 2:
            raw = data[start:end]
        elif number == 4:
            content_type = reader.text(value)
    return api_version, kind, raw, content_type


class _Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.values = 0

    def fields(self, position: int, end: int) -> Any:
        """(number, wire type, value) of a message; for bytes the value is (start, end)."""
        data = self.data
        while position < end:
            key, position = self.varint(position, end)
            number, wire = key >> 3, key & 7
            if number == 0:
                raise ValueError("proto: illegal tag 0")
            if wire == _VARINT:
                value, position = self.varint(position, end)
                yield number, wire, value
            elif wire == _BYTES:
                length, position = self.varint(position, end)
                if position + length > end:
                    raise ValueError("unexpected EOF")
                yield number, wire, (position, position + length)
                position += length
            elif wire in (_FIXED64, _FIXED32):
                width = 8 if wire == _FIXED64 else 4
                if position + width > end:
                    raise ValueError("unexpected EOF")
                yield number, wire, data[position : position + width]
                position += width
            else:
                raise ValueError(f"proto: illegal wireType {wire}")
            self.values += 1
            if self.values > _VALUES_MAX:
                raise ValueError("proto: too many values")

    def varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            if position >= end:
                raise ValueError("unexpected EOF")
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position
            shift += 7
            if shift >= 70:
                raise ValueError("proto: integer overflow")

    def text(self, span: tuple[int, int]) -> str:
        return self.data[span[0] : span[1]].decode()

    def message(self, type_: Type, start: int, end: int, depth: int) -> Object:
        found: Object = {}
        self.into(found, _tree(type_), start, end, depth)
        return found

    def into(self, found: Object, tree: _Tree, start: int, end: int, depth: int) -> None:
        if depth > _DEPTH_MAX:
            raise ValueError("proto: exceeded max depth")
        for number, wire, value in self.fields(start, end):
            field = tree.get(number)
            if field is None:
                continue  # a field of another version of Kubernetes
            if isinstance(field, dict):
                if wire == _BYTES:
                    self.into(found, field, value[0], value[1], depth + 1)
                continue
            type_ = field.type
            if type_.kind == "list":
                self.append(found.setdefault(field.name, []), type_.element, wire, value, depth)
            elif type_.kind == "map":
                self.entry(found.setdefault(field.name, {}), type_.element, wire, value, depth)
            else:
                found[field.name] = self.value(type_, wire, value, depth)

    def append(self, items: list[Any], element: Type, wire: int, value: Any, depth: int) -> None:
        if wire == _BYTES and element.kind in ("int32", "int64", "bool"):  # packed
            position, end = value
            while position < end:
                number, position = self.varint(position, end)
                items.append(self.value(element, _VARINT, number, depth))
                self.values += 1
        else:
            items.append(self.value(element, wire, value, depth))

    def entry(self, members: dict[str, Any], element: Type, wire: int, value: Any, depth: int) -> None:
        if wire != _BYTES:
            raise ValueError(f"proto: wrong wireType = {wire} for a map")
        key = ""
        inner: Any = None
        for number, inner_wire, inner_value in self.fields(*value):
            if number == 1 and inner_wire == _BYTES:
                key = self.text(inner_value)
            elif number == 2:
                inner = self.value(element, inner_wire, inner_value, depth + 1)
        members[key] = inner

    def value(self, type_: Type, wire: int, value: Any, depth: int) -> Any:
        kind = type_.kind
        if wire == _VARINT:
            if kind == "bool":
                return value != 0
            if kind == "int64":
                return value - (1 << 64) if value >> 63 else value
            if kind == "int32":
                value &= 0xFFFFFFFF
                return value - (1 << 32) if value >> 31 else value
        elif wire == _BYTES:
            if kind == "string":
                return self.text(value)
            if kind == "struct":
                return self.message(type_, value[0], value[1], depth + 1)
            if kind == "bytes":
                return base64.b64encode(self.data[value[0] : value[1]]).decode()
            return self.special(type_, value, depth)
        elif wire == _FIXED64 and kind == "number":
            return struct.unpack("<d", value)[0]
        raise ValueError(f"proto: wrong wireType = {wire} for a {kind}")

    def special(self, type_: Type, span: tuple[int, int], depth: int) -> Any:
        """Messages that have a JSON form of their own."""
        kind = type_.kind
        parts = {number: value for number, _, value in self.fields(*span)} if kind != "list" else {}
        if kind == "Quantity":
            return self.text(parts[1]) if isinstance(parts.get(1), tuple) else "0"
        if kind in ("Time", "MicroTime"):
            return _time(parts, micro=kind == "MicroTime") if parts else None
        if kind == "IntOrString":
            if parts.get(1, 0) == 1:
                return self.text(parts[3]) if isinstance(parts.get(3), tuple) else ""
            return self.value(type_of("i32"), _VARINT, parts.get(2, 0), depth)
        if kind == "any":
            raw = parts.get(1)
            if not isinstance(raw, tuple) or raw[0] == raw[1]:
                return None
            return orjson.loads(self.data[raw[0] : raw[1]])
        if kind == "list":  # a named list inside a map is a message with `items`
            items: list[Any] = []
            for number, wire, value in self.fields(*span):
                if number == 1:
                    self.append(items, type_.element, wire, value, depth + 1)
            return items
        return self.schema_union(kind, span, depth)

    def schema_union(self, kind: str, span: tuple[int, int], depth: int) -> Any:
        """JSONSchemaProps' members that are a schema or something else: number 1 and 2 of a message."""
        props = type_of("apiextensions.v1.JSONSchemaProps")
        schema: Any = None
        others: list[Any] = []
        allows = False
        for number, wire, value in self.fields(*span):
            if wire == _VARINT and kind == "SchemaOrBool" and number == 1:
                allows = value != 0
            elif wire != _BYTES:
                continue
            elif number == (2 if kind == "SchemaOrBool" else 1):
                schema = self.message(props, value[0], value[1], depth + 1)
            elif kind == "SchemaOrArray" and number == 2:
                others.append(self.message(props, value[0], value[1], depth + 1))
            elif kind == "SchemaOrStrings" and number == 2:
                others.append(self.text(value))
        if schema is not None:
            return schema
        return allows if kind == "SchemaOrBool" else others


def _time(parts: dict[int, Any], micro: bool) -> str:
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int):
        raise ValueError("proto: malformed time")
    seconds = seconds - (1 << 64) if seconds >> 63 else seconds
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000 if micro else 0)
    except OverflowError:
        raise ValueError("proto: time out of range") from None
    text = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return f"{text}.{moment.microsecond:06d}Z" if micro else f"{text}Z"


@functools.lru_cache(maxsize=2048)
def _tree(type_: Type) -> _Tree:
    tree: _Tree = {}
    for field in type_.fields.values():
        if field.number:
            *above, last = (int(number) for number in field.number.split("."))
            level = tree
            for number in above:
                inner = level.setdefault(number, {})
                assert isinstance(inner, dict)
                level = inner
            level[last] = field
    return tree
