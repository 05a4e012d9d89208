"""The v2 document as protobuf, which is how kubectl asks for `/openapi/v2` (and clients from before v3 for everything).

The messages are gnostic's `openapi.v2` (OpenAPIv2.proto): field numbers below are its. Only what our documents hold is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from .object import Object

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What the answer says; clients ask for `…spec.v2@v1.0+protobuf`."""

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}
_STRINGS = {"format": 2, "title": 3, "description": 4, "pattern": 13}  # of Schema
_INTEGERS = {"maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15}
_QUERY = {"in": 2, "description": 3, "name": 4, "type": 6}
_PATH = {"in": 2, "description": 3, "name": 4, "type": 5}


def document(openapi: Object) -> bytes:
    """A whole v2 document."""
    info = openapi["info"]
    paths = (_message(2, _named(path, _path_item(item))) for path, item in openapi["paths"].items())
    definitions = (
        _message(1, _named(name, _schema(schema))) for name, schema in openapi["definitions"].items()
    )
    securities = (
        _message(
            1, _named(name, _message(2, _strings(item, {"type": 1, "name": 2, "in": 3, "description": 4})))
        )
        for name, item in openapi["securityDefinitions"].items()
    )
    return b"".join(
        (
            _text(1, openapi["swagger"]),
            _message(2, _text(1, info["title"]) + _text(2, info["version"])),
            _message(8, b"".join(paths)),
            _message(9, b"".join(definitions)),
            _message(13, b"".join(securities)),
        )
    )


def _path_item(item: Object) -> bytes:
    operations = (
        _message(number, _operation(item[name])) for name, number in _METHODS.items() if name in item
    )
    return b"".join(operations) + b"".join(_message(9, _parameter(p)) for p in item.get("parameters", ()))


def _operation(operation: Object) -> bytes:
    answers = (
        _message(1, _named(code, _message(1, _response(answer))))
        for code, answer in operation["responses"].items()
    )
    return b"".join(
        (
            _texts(1, operation["tags"]),
            _text(3, operation["description"]),
            _text(5, operation["operationId"]),
            _texts(6, operation["produces"]),
            _texts(7, operation["consumes"]),
            b"".join(_message(8, _parameter(p)) for p in operation.get("parameters", ())),
            _message(9, b"".join(answers)),
            _texts(10, operation["schemes"]),
            _extensions(13, operation),
        )
    )


def _response(answer: Object) -> bytes:
    schema = _message(2, _message(1, _schema(answer["schema"]))) if "schema" in answer else b""
    return _text(1, answer["description"]) + schema


def _parameter(parameter: Object) -> bytes:
    """A ParametersItem."""
    required = _number(1, 1) if parameter.get("required") else b""
    unique = parameter.get("uniqueItems", False)
    if parameter["in"] == "body":
        body = _strings(parameter, {"description": 1, "name": 2, "in": 3})
        body += (_number(4, 1) if required else b"") + _message(5, _schema(parameter["schema"]))
        return _message(1, _message(1, body))
    if parameter["in"] == "path":
        inner = required + _strings(parameter, _PATH) + (_number(19, 1) if unique else b"")
        return _message(1, _message(2, _message(4, inner)))
    inner = required + _strings(parameter, _QUERY) + (_number(20, 1) if unique else b"")
    return _message(1, _message(2, _message(3, inner)))


def _schema(schema: Object) -> bytes:
    parts = [_text(1, schema["$ref"])] if "$ref" in schema else []
    parts.append(_strings(schema, _STRINGS))
    parts.extend(_number(number, schema[name]) for name, number in _INTEGERS.items() if name in schema)
    if "default" in schema:
        parts.append(_message(5, _any(schema["default"])))
    parts.append(_texts(19, schema.get("required", ())))
    parts.extend(_message(20, _any(value)) for value in schema.get("enum", ()))
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        parts.append(_message(21, _message(1, _schema(additional))))
    elif additional is not None:
        parts.append(_message(21, _number(2, int(additional))))
    if "type" in schema:
        parts.append(_message(22, _text(1, schema["type"])))
    if isinstance(schema.get("items"), dict):
        parts.append(_message(23, _message(1, _schema(schema["items"]))))
    parts.extend(_message(24, _schema(inner)) for inner in schema.get("allOf", ()))
    if "properties" in schema:
        members = (_message(1, _named(name, _schema(inner))) for name, inner in schema["properties"].items())
        parts.append(_message(25, b"".join(members)))
    parts.append(_extensions(31, schema))
    return b"".join(parts)


def _extensions(number: int, value: Mapping[str, Any]) -> bytes:
    return b"".join(
        _message(number, _named(name, _any(inner))) for name, inner in value.items() if name.startswith("x-")
    )


def _any(value: Any) -> bytes:
    return _text(2, orjson.dumps(value).decode() + "\n")  # JSON is YAML


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _message(2, value)


def _strings(value: Mapping[str, Any], numbers: Mapping[str, int]) -> bytes:
    return b"".join(_text(number, value[name]) for name, number in numbers.items() if value.get(name))


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_text(number, value) for value in values)


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode())


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
