"""Plain values to a typed object: one walk of the schema beside the value, as Go's JSON decoder does it.

The second half of decoding. Fields that the type does not have are dropped and named; null is absent; values that Go would
leave out when it writes the object again (`omitempty`) are left out here; structs that are values exist, empty. What is of
another type is an error in Go's words. Times become UTC, quantities stay as written (defaulting canonicalises them).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from .object import Object
from .quantity import QuantityError, canonical
from .schema import Type, zero_struct

_Path = tuple["_Path", str] | None
# Where the walk is: a linked list, so that going down costs one tuple. A part is a field's name, `[0]` or `.key` of a map.

_STRINGS = {str}
_INT_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_ERRORS_MAX = 100  # as sigs.k8s.io/json

QUANTITY_FORMAT = (
    r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
_QUANTITY = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?", re.ASCII
)
_QUANTITY_LOOSE = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII)  # RFC 3339


class WrongValue(ValueError):
    """A value of another type than its field. The text is the one that Go's decoder has; `restoring`, what a strategic patch says."""

    def __init__(self, text: str, restoring: str = ""):
        super().__init__(text)
        self.restoring = restoring or text


def normalize(
    type_: Type,
    value: Any,
    *,
    fill: bool = True,
    duplicates: Mapping[int, list[str]] | None = None,
) -> tuple[Object, list[str]]:
    """The object as the type has it, and what strict decoding objects to: `unknown field "spec.foo"`, ….

    `fill` adds the structs that are values (`spec`, `status`, …): right for whole objects, not for patches.
    The result is new; only values without a schema (`any`) are shared with the argument.
    """
    walk = _Walk(fill, duplicates or {})
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise WrongValue(f"json: cannot unmarshal {go_kind(value)} into Go value of type {_go_type(type_)}")
    try:
        result = walk.struct(type_, value, None)
    except RecursionError:
        raise WrongValue("exceeded max depth") from None
    return result, walk.problems


class _Walk:
    __slots__ = ("duplicates", "fill", "problems")

    def __init__(self, fill: bool, duplicates: Mapping[int, list[str]]):
        self.fill = fill
        self.duplicates = duplicates
        self.problems: list[str] = []

    def struct(self, type_: Type, value: Object, path: _Path) -> Object:
        fields = type_.fields
        result: Object = {}
        for name, inner in value.items():
            field = fields.get(name)
            if field is None:
                self.problem("unknown", path, name)
                continue
            if inner is None:
                continue
            kind = field.type.kind
            presence = field.presence
            if kind == "string":
                if type(inner) is not str:
                    _wrong(inner, field.type, type_, (path, name))
                if inner or presence != "o":
                    result[name] = inner
            elif kind == "struct":
                if type(inner) is not dict:
                    _wrong(inner, field.type, type_, (path, name))
                converted = self.struct(field.type, inner, (path, name))
                if presence != "z" or converted:
                    result[name] = converted
            else:
                converted = self.value(field.type, inner, (path, name), type_)
                if converted or (presence != "o" and presence != "z"):
                    if converted != [] or presence != "n" or name in ("items", "versions"):
                        result[name] = (
                            converted  # elsewhere an empty list is null once it has been stored; no versions are an error
                        )
                elif name == "policies":  # of an autoscaler: none is an error, absent ones have defaults
                    result[name] = converted
        if self.duplicates and id(value) in self.duplicates:
            for name in self.duplicates[id(value)]:
                self.problem("duplicate", path, name)
        if self.fill:
            for name, inner_type in type_.always_structs:
                if name not in result:
                    result[name] = zero_struct(inner_type)
        return result

    def value(self, type_: Type, value: Any, path: _Path, inside: Type) -> Any:
        kind = type_.kind
        if kind == "list":
            if type(value) is not list:
                _wrong(value, type_, inside, path)
            return self.list_of(type_.element, value, path, inside)
        if kind == "map":
            if type(value) is not dict:
                _wrong(value, type_, inside, path)
            return self.map_of(type_.element, value, path, inside)
        if kind == "string":
            if type(value) is not str:
                _wrong(value, type_, inside, path)
            return value
        if kind == "struct":
            if type(value) is not dict:
                _wrong(value, type_, inside, path)
            return self.struct(type_, value, path)
        if kind == "bool":
            if type(value) is not bool:
                _wrong(value, type_, inside, path)
            return value
        if kind == "int32" or kind == "int64":
            if type(value) is not int:
                _wrong(value, type_, inside, path, exact=type(value) is float)
            low, high = _INT_RANGES[kind]
            if not low <= value <= high:
                _wrong(value, type_, inside, path, exact=True)
            return value
        if kind == "any":
            return value
        return self.special(kind, type_, value, path, inside)

    def list_of(self, element: Type, value: list[Any], path: _Path, inside: Type) -> list[Any]:
        if element.kind == "string" and set(map(type, value)) <= _STRINGS:
            return value
        result = []
        for index, inner in enumerate(value):
            if inner is None and element.kind != "any":
                result.append(_zero(element))
            elif element.kind == "any":
                result.append(inner)
            elif element.kind == "struct" and type(inner) is dict:
                result.append(self.struct(element, inner, (path, f"[{index}]")))
            else:
                result.append(self.value(element, inner, (path, f"[{index}]"), inside))
        return result

    def map_of(self, element: Type, value: dict[str, Any], path: _Path, inside: Type) -> dict[str, Any]:
        if self.duplicates and id(value) in self.duplicates:
            for name in self.duplicates[id(value)]:
                self.problem("duplicate", path, name)
        if element.kind == "string" and set(map(type, value.values())) <= _STRINGS:
            return value
        return {
            name: _zero(element) if inner is None else self.value(element, inner, (path, f".{name}"), inside)
            for name, inner in value.items()
        }

    def special(self, kind: str, type_: Type, value: Any, path: _Path, inside: Type) -> Any:
        if kind == "Quantity":
            return _quantity(value)
        if kind == "Time" or kind == "MicroTime":
            if type(value) is not str:
                _wrong(value, _STRING, inside, path)
            return time_of(value, micro=kind == "MicroTime")
        if kind == "IntOrString":
            if type(value) is str:
                return value
            if type(value) is not int or not -(2**31) <= value < 2**31:
                exact = type(value) is int or type(value) is float
                _wrong(value, _INT32, inside, path, exact)
            return value
        if kind == "bytes":
            if type(value) is not str:
                _wrong(value, type_, inside, path)
            return _base64(value)
        if kind == "number":
            if type(value) is not float and type(value) is not int:
                _wrong(value, type_, inside, path)
            return value
        return self.schema_union(kind, type_, value, path, inside)

    def schema_union(self, kind: str, type_: Type, value: Any, path: _Path, inside: Type) -> Any:
        """JSONSchemaProps' members that are a schema or something else."""
        if type(value) is dict and kind in ("SchemaOrArray", "SchemaOrBool", "SchemaOrStrings"):
            return self.struct(_json_schema_props(), value, path)
        if type(value) is list and kind == "SchemaOrArray":
            return self.list_of(_json_schema_props(), value, path, inside)
        if type(value) is list and kind == "SchemaOrStrings":
            return [inner for inner in value if type(inner) is str]
        if type(value) is bool and kind == "SchemaOrBool":
            return value
        wanted = {
            "SchemaOrArray": "JSON Schema or array of JSON Schemas",
            "SchemaOrBool": "boolean or JSON schema expected",
        }
        raise WrongValue(wanted.get(kind, "expected JSON schema or array of strings"))

    def problem(self, what: str, path: _Path, name: str) -> None:
        text = f'{what} field "{_render(path, name)}"'
        if len(self.problems) < _ERRORS_MAX and text not in self.problems:
            self.problems.append(text)


def _json_schema_props() -> Type:
    from .schema import type_of

    return type_of("apiextensions.v1.JSONSchemaProps")


def _zero(type_: Type) -> Any:
    """What null is inside a list or a map."""
    zeros = {
        "string": "",
        "struct": {},
        "bool": False,
        "int32": 0,
        "int64": 0,
        "number": 0,
        "Quantity": "0",
        "bytes": "",
    }
    if type_.kind == "struct":
        return zero_struct(type_)
    return zeros.get(type_.kind)


def _render(path: _Path, name: str) -> str:
    """`spec.containers[0].foo`."""
    parts = [f".{name}"]
    while path is not None:
        path, part = path
        parts.append(part)
    text = "".join(part if part[:1] in ("[", ".") else f".{part}" for part in reversed(parts))
    return text.removeprefix(".")


_INT32, _STRING = Type("int32", "i"), Type("string", "s")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_SOURCES_OF_A_VOLUME = set(
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker gcePersistentDisk glusterfs hostPath iscsi "
    "local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume".split()
)
_NAMED_BY_REFERENCE = set(
    "SecretKeySelector ConfigMapKeySelector SecretEnvSource ConfigMapEnvSource SecretProjection ConfigMapProjection "
    "ConfigMapVolumeSource".split()
)


def _with_embedded(parts: list[str], struct: str) -> Iterator[str]:
    """Go's errors also name the structs that are members without a name of their own."""
    before = ""
    for index, part in enumerate(parts):
        if before == "volumes" and part != "name":
            yield "VolumeSource"
        elif before in _PROBES and part in ("exec", "httpGet", "tcpSocket", "grpc"):
            yield "ProbeHandler"
        elif before == "ephemeralContainers" and part != "targetContainerName":
            yield "EphemeralContainerCommon"
        elif before == "rules" and part == "http":
            yield "IngressRuleValue"
        elif before == "spec" and index == 1 and part in _SOURCES_OF_A_VOLUME:
            yield "PersistentVolumeSource"
        elif struct in _NAMED_BY_REFERENCE and part == "name" and index == len(parts) - 1:
            yield "LocalObjectReference"
        elif struct.endswith("RuleWithOperations") and index == len(parts) - 1 and part != "resourceNames":
            yield from ["RuleWithOperations"] * (struct != "RuleWithOperations")
            yield from ["Rule"] * (part != "operations")
        yield part
        before = part


def _wrong(value: Any, type_: Type, inside: Type, path: _Path, exact: bool = False) -> NoReturn:
    shown = f"number {value}" if exact else go_kind(value)
    parts = []
    while path is not None:
        path, part = path
        if not part.startswith(("[", ".")):
            parts.append(part)
    field = ".".join(_with_embedded(parts[::-1], inside.name.rpartition(".")[2]))
    struct = inside.name.rpartition(".")[2]
    raise WrongValue(
        f"json: cannot unmarshal {shown} into Go struct field {struct}.{field} of type {_go_type(type_)}",
        _unrestored(value, type_),
    )


_GO_KINDS = {dict: "map", list: "slice", str: "string", bool: "bool", int: "int64", float: "float64"}


def _unrestored(value: Any, type_: Type) -> str:
    given, wanted = _GO_KINDS.get(type(value), "nil"), type_.kind
    if wanted in ("list", "map", "bytes"):
        return f"cannot restore {'map' if wanted == 'map' else 'slice'} from {given}"
    if wanted == "struct":
        return f"cannot restore struct from: {given}"
    go_type = _go_type(type_)
    if (given, wanted) == ("int64", "string") or (given == "float64" and wanted in ("int32", "int64")):
        return f"cannot convert {given} to {go_type}"
    return f"unrecognized type: {go_type}"


def go_kind(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def _go_type(type_: Type) -> str:
    if type_.kind == "list":
        return f"[]{_go_type(type_.element)}"
    if type_.kind == "map":
        return f"map[string]{_go_type(type_.element)}"
    if type_.kind == "struct":
        package, _, name = type_.name.rpartition(".")
        return f"{package.rpartition('.')[2]}.{name}"
    return {"number": "float64", "bytes": "[]uint8", "any": "interface {}"}.get(type_.kind, type_.kind)


def _quantity(value: Any) -> str:
    if type(value) is int or type(value) is float:
        value = str(value)
    if type(value) is not str:
        raise WrongValue(QUANTITY_FORMAT)
    text: str = value.strip()
    if not _QUANTITY.fullmatch(text):
        if _QUANTITY_LOOSE.fullmatch(text) and text.count(".") < 2:
            raise WrongValue("unable to parse quantity's suffix")
        raise WrongValue(QUANTITY_FORMAT)
    try:
        return canonical(text)
    except QuantityError as error:  # an exponent beyond measure
        raise WrongValue(str(error)) from None


_TIME_PARTS = (
    ("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"),
    ("15", r"\d\d"), (":", ":"), ("04", r"\d\d"), (":", ":"), ("05", r"\d\d"),
)  # fmt: skip


def _no_time(value: str, layout: str, micro: bool) -> str:
    """Where it stops to be one, as Go's `time.Parse` says it."""
    rest = value
    fraction = (".000000", r"\.\d{6}") if micro else ("", r"(\.\d+)?")
    for name, pattern in (*_TIME_PARTS, fraction, ("Z07:00", r"Z|[+-]\d\d:\d\d")):
        match = re.match(pattern, rest, re.ASCII)
        if not match:
            return f' as "{layout}": cannot parse "{rest}" as "{name}"'
        rest = rest[match.end() :]
    return f': extra text: "{rest}"'


def time_of(value: Any, micro: bool = False) -> str:
    layout = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
    match = _TIME.fullmatch(value)
    if not match or (micro and len(match[2] or "") != 7):
        raise WrongValue(f'parsing time "{value}"{_no_time(value, layout, micro)}')
    whole, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone))
    except ValueError:
        part = "month" if not 1 <= int(whole[5:7]) <= 12 else "day" if int(whole[8:10]) > 28 else "hour"
        raise WrongValue(f'parsing time "{value}": {part} out of range') from None
    if zone != "Z":
        try:
            whole = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        except OverflowError:
            raise WrongValue(f'parsing time "{value}": year out of range') from None
    return f"{whole}{fraction}Z" if micro else f"{whole}Z"


def _base64(value: str) -> str:
    text = value.replace("\n", "").replace("\r", "") if "\n" in value or "\r" in value else value
    try:
        binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise WrongValue(f"illegal base64 data at input byte {_base64_error_at(value)}") from None
    return text


_BASE64_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _base64_error_at(value: str) -> int:
    """The offset that Go's decoder names: of the byte that does not fit, else where the last whole group ended."""
    data = value.encode()
    count = 0  # characters in the open group of four
    start = 0  # where that group began
    for index, byte in enumerate(data):
        if byte in b"\r\n":
            continue
        if byte == 0x3D:  # "=": only to fill the last group
            rest = [i for i in range(index + 1, len(data)) if data[i] not in b"\r\n"]
            if count < 2:
                return index
            if count == 2:
                if not rest:
                    return len(data)
                if data[rest[0]] != 0x3D:
                    return rest[0]
                rest = rest[1:]
            return rest[0] if rest else index
        if byte not in _BASE64_ALPHABET:
            return index
        if count == 0:
            start = index
        count = (count + 1) % 4
    return start if count else len(data)
