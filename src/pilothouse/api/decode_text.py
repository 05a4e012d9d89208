"""Bytes to plain values: JSON and YAML, with their duplicate keys, and with Kubernetes' words for what is not well formed.

The first half of decoding (decode.py is the whole). JSON goes through orjson. orjson keeps the last of two equal keys and says
nothing, so a body whose re-encoding is shorter than itself is read again by the slow parser, which names them.
YAML is the 1.1 that sigs.k8s.io/yaml reads (bare `y` is true), its timestamps stay strings, aliases are bounded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import yaml

DIGITS_SHOWN = 400
_EXPANDED_NODES_MAX = 1_000_000  # of a YAML document after its aliases are followed


class SyntaxFailure(ValueError):
    """Not JSON, or not YAML."""


@dataclass(slots=True)
class Parsed:
    value: Any
    duplicates: dict[int, list[str]] = field(default_factory=dict)
    """id of a dict in `value` -> the keys that it had more than once."""
    yaml_duplicates: list[str] = field(default_factory=list)
    """`line 6: key "size" already set in map`."""


def parse_json(data: bytes, *, find_duplicates: bool = True) -> Parsed:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        if why := json_error(data):
            raise SyntaxFailure(why) from None
        data = _repaired(data)
        value = json.loads(data, parse_int=_number, parse_float=_number)
    if not find_duplicates:
        return Parsed(value)
    try:
        if len(orjson.dumps(value)) == len(data):
            return Parsed(value)
    except orjson.JSONEncodeError:
        raise SyntaxFailure("exceeded max depth") from None
    return _parse_json_slowly(data, value)


def _number(text: str) -> int | float:
    """Beyond 64 bits a whole number is a float; one that no float holds is none."""
    number = float(text)
    if math.isinf(number):
        raise SyntaxFailure(
            f"json: cannot unmarshal number {text[:DIGITS_SHOWN]} into Go value of type float64"
        )
    return int(text) if text.lstrip("-").isdigit() else number


_SURROGATES = re.compile(r"\\\\|(\\u[dD][89abAB]..)(\\u[dD][c-fC-F]..)?|(\\u[dD][c-fC-F]..)")


def _repaired(data: bytes) -> bytes:
    """What is no Unicode, as Go reads it: U+FFFD."""

    def repaired(found: re.Match[str]) -> str:
        high, low, alone = found.groups()
        return "\\ufffd" if alone or (high and not low) else found[0]

    return _SURROGATES.sub(repaired, data.decode(errors="replace")).encode()


def _parse_json_slowly(data: bytes, fast: Any) -> Parsed:
    duplicates: dict[int, list[str]] = {}

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = duplicates.setdefault(id(found), [])
            for key, _ in pairs:
                if key in seen and key not in twice:
                    twice.append(key)
                seen.add(key)
        return found

    try:
        value = json.loads(data, object_pairs_hook=collect)
    except (ValueError, RecursionError):
        return Parsed(fast)
    # Numbers beyond 64 bits differ between the two parsers: only the slow one's duplicates matter.
    return Parsed(value, duplicates) if duplicates else Parsed(fast)


def parse_yaml(data: bytes) -> Parsed:
    """The first document."""
    if data.lstrip()[:1] == b"{" and (parsed := _json_in_yaml(data)) is not None:
        return parsed
    loader = _Loader(data)
    try:
        value = loader.get_data()
        _check_expansion(value)
    except yaml.YAMLError as error:
        raise SyntaxFailure(_yaml_error(error, data)) from None
    except RecursionError:
        raise SyntaxFailure("yaml: exceeded max depth") from None
    except ValueError as error:
        raise SyntaxFailure(f"yaml: {error}") from None
    finally:
        loader.dispose()
    return Parsed(value, yaml_duplicates=loader.duplicates)


def _json_in_yaml(data: bytes) -> Parsed | None:
    """What programs send as YAML is mostly JSON, which is read a hundred times as fast. None: read it as YAML."""
    try:
        orjson.loads(data)
        parsed = parse_json(data)
    except (orjson.JSONDecodeError, SyntaxFailure):
        return None
    return None if parsed.duplicates else parsed  # their lines are named


class _Loader(yaml.CSafeLoader):
    def __init__(self, data: bytes):
        super().__init__(data)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
        own = len(node.value)
        self.flatten_mapping(node)
        merged = len(node.value) - own  # keys from `<<` come first, and may be set again
        mapping: dict[Any, Any] = {}
        for index, (key_node, value_node) in enumerate(node.value):
            key = _key_text(self.construct_object(key_node, deep=True), key_node)
            if key in mapping and index > merged:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f"line {line}: key {json.dumps(key)} already set in map")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping


def _key_text(key: Any, node: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    if isinstance(key, int | float):
        return str(node.value) if isinstance(key, float) else str(key)
    raise yaml.constructor.ConstructorError(None, None, "invalid map key", node.start_mark)


def _construct_float(loader: Any, node: Any) -> float | int:
    value = float(str(loader.construct_scalar(node)).replace("_", ""))
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _construct_int(loader: Any, node: Any) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "").lower()
    sign, digits = (-1 if text.startswith("-") else 1), text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _untagged(loader: _Loader, tag: str, node: Any) -> Any:
    """A tag of somebody else's says nothing."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else node.value


def _construct_text(loader: Any, node: Any) -> str:
    return str(loader.construct_scalar(node))


def _construct_bool(loader: Any, node: Any) -> bool:
    return str(loader.construct_scalar(node)).lower() in ("y", "yes", "true", "on")


def _resolvers() -> Iterator[tuple[str, str, str]]:
    """(tag, pattern, first characters): goyaml's reading of plain scalars."""
    yield "bool", r"y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE", "yYoOtT"
    yield "bool", r"n|N|no|No|NO|off|Off|OFF|false|False|FALSE", "nNoOfF"
    yield "int", r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"
    yield "float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+0123456789."
    yield "null", r"~|null|Null|NULL|", "~nN"
    yield "merge", r"<<", "<"


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _resolvers():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:bool", _construct_bool)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _construct_text)  # an explicit !!timestamp
for _unwanted in ("set", "omap", "pairs"):
    _Loader.yaml_constructors.pop(f"tag:yaml.org,2002:{_unwanted}", None)
_Loader.add_constructor("tag:yaml.org,2002:binary", _construct_text)
_Loader.add_multi_constructor("!", _untagged)


def _check_expansion(root: Any) -> None:
    """Refuse a document that refers to itself, or that grows without measure when its aliases are followed."""
    sizes: dict[int, int] = {}
    open_ids: set[int] = set()

    def size(value: Any) -> int:
        if not isinstance(value, dict | list):
            return 1
        known = sizes.get(id(value))
        if known is not None:
            return known
        if id(value) in open_ids:
            raise ValueError("anchor value contains itself")
        open_ids.add(id(value))
        total = 1 + sum(size(inner) for inner in (value.values() if isinstance(value, dict) else value))
        open_ids.discard(id(value))
        if total > _EXPANDED_NODES_MAX:
            raise ValueError("document contains excessive aliasing")
        sizes[id(value)] = total
        return total

    size(root)


def _yaml_error(error: yaml.YAMLError, data: bytes) -> str:
    """go-yaml names the line before, of what the parser finds; none for the first."""
    marks = (getattr(error, "problem_mark", None), getattr(error, "context_mark", None))
    line = next((mark.line for mark in marks if mark is not None and mark.line), 0)
    problem = getattr(error, "problem", None) or str(error)
    if problem == "found undefined alias" and marks[0]:
        alias = re.match(r"\*([\w-]+)", data.decode().splitlines()[marks[0].line][marks[0].column :])
        return f"yaml: unknown anchor '{alias[1] if alias else ''}' referenced"
    if isinstance(error, yaml.scanner.ScannerError) and line:
        line += 1
    return f"yaml: line {line}: {problem}" if line else f"yaml: {problem}"


# What Go's encoding/json says of the first byte that does not fit.

_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_SPACE = b" \t\r\n"
_END = "unexpected end of JSON input"


def json_error(data: bytes) -> str:
    try:
        # Go looks at the end of the text as at a space.
        position = _skip(data, _scan_value(data + b" " * bool(data.strip()), _skip(data, 0)))
    except SyntaxFailure as failure:
        return str(failure)
    except RecursionError:
        return "exceeded max depth"
    if position < len(data):
        return _unexpected(data, position, "after top-level value")
    return ""  # only Unicode that is none is left


def _unexpected(data: bytes, position: int, where: str) -> str:
    if position >= len(data):
        return _END
    char = chr(data[position])
    quoted = {"'": r"'\''", '"': "'\"'"}.get(char) or (f"'{char}'" if char.isprintable() else repr(char))
    return f"invalid character {quoted} {where}"


def _skip(data: bytes, position: int) -> int:
    while position < len(data) and data[position] in _SPACE:
        position += 1
    return position


def _scan_value(data: bytes, position: int) -> int:
    if position >= len(data):
        raise SyntaxFailure(_END)
    char = data[position : position + 1]
    if char == b"{":
        return _scan_members(data, position + 1, b"}", "after object key:value pair")
    if char == b"[":
        return _scan_members(data, position + 1, b"]", "after array element")
    if char == b'"':
        return _scan_string(data, position)
    for literal in (b"true", b"false", b"null"):
        if char == literal[:1]:
            for offset in range(1, len(literal)):
                if data[position + offset : position + offset + 1] != literal[offset : offset + 1]:
                    where = f"in literal {literal.decode()} (expecting '{chr(literal[offset])}')"
                    raise SyntaxFailure(_unexpected(data, position + offset, where))
            return position + len(literal)
    number = _NUMBER.match(data, position)
    if number:
        return number.end()
    if char == b"-":
        raise SyntaxFailure(_unexpected(data, position + 1, "in numeric literal"))
    raise SyntaxFailure(_unexpected(data, position, "looking for beginning of value"))


def _scan_members(data: bytes, position: int, end: bytes, after: str) -> int:
    position = _skip(data, position)
    if data[position : position + 1] == end:
        return position + 1
    while True:
        if end == b"}":
            position = _skip(data, position)
            if data[position : position + 1] != b'"':
                raise SyntaxFailure(_unexpected(data, position, "looking for beginning of object key string"))
            position = _skip(data, _scan_string(data, position))
            if data[position : position + 1] != b":":
                raise SyntaxFailure(_unexpected(data, position, "after object key"))
            position += 1
        position = _skip(data, _scan_value(data, _skip(data, position)))
        char = data[position : position + 1]
        if char == end:
            return position + 1
        if char != b",":
            raise SyntaxFailure(_unexpected(data, position, after))
        position += 1


def _scan_string(data: bytes, position: int) -> int:
    position += 1
    while position < len(data):
        char = data[position]
        if char == 0x22:
            return position + 1
        if char < 0x20:
            raise SyntaxFailure(_unexpected(data, position, "in string literal"))
        if char == 0x5C:
            position += 1
            if position < len(data) and data[position] not in b'"\\/bfnrtu':
                raise SyntaxFailure(_unexpected(data, position, "in string escape code"))
            if data[position : position + 1] == b"u":
                for offset in range(1, 5):
                    if data[position + offset : position + offset + 1] not in _HEX:
                        where = "in \\u hexadecimal character escape"
                        raise SyntaxFailure(_unexpected(data, position + offset, where))
                position += 4
        position += 1
    raise SyntaxFailure(_END)


_HEX = {bytes([digit]) for digit in b"0123456789abcdefABCDEF"}
