"""The expressions of admission policies and of match conditions: what they may refer to, compiled, and checked against the types of objects.

`object`, `oldObject` and `params` are `dyn` when a policy is compiled: it may match many kinds. `type_warnings` checks a ValidatingAdmissionPolicy
once more against the types of those that it names, for its status. Pure; loaded when there is an expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import cel
from .cel import types
from .cel.checker import NO_TYPES as no_types
from .cel.functions import AUTHORIZER, OPAQUE
from .cel.runtime import StructValue
from .cel.types import BOOL, DYN, INT, NULL, STRING, Field, Type
from .cel.values import Duration, Optional, Timestamp
from .kinds import KINDS, Kind
from .object import Object
from .schema import Type as Schema
from .schema import has_schema, schema_of

EXPRESSIONS_MAX = 10  # kinds that a policy's types are checked against


class ExpressionError(ValueError):
    """Why an expression cannot be used; the message is Kubernetes'."""


def _struct(type_name: str, /, **members: Type) -> Type:
    return Type(type_name, fields={key: Field(type_, key) for key, type_ in members.items()})


_TEXTS = types.map_of(STRING, STRING)
_GVK = _struct("kubernetes.GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_GVR = _struct("kubernetes.GroupVersionResource", group=STRING, version=STRING, resource=STRING)
_USER = _struct(
    "kubernetes.UserInfo",
    username=STRING,
    uid=STRING,
    groups=types.list_of(STRING),
    extra=types.map_of(STRING, types.list_of(STRING)),
)
REQUEST = _struct(
    "kubernetes.AdmissionRequest",
    kind=_GVK,
    resource=_GVR,
    subResource=STRING,
    requestKind=_GVK,
    requestResource=_GVR,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=_USER,
    dryRun=BOOL,
    options=DYN,
)
NAMESPACE = _struct(
    "kubernetes.Namespace",
    metadata=_struct(
        "kubernetes.NamespaceMetadata",
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=_TEXTS,
        annotations=_TEXTS,
        UID=STRING,
        creationTimestamp=types.TIMESTAMP,
        deletionGracePeriodSeconds=INT,
        deletionTimestamp=types.TIMESTAMP,
        generation=INT,
        resourceVersion=STRING,
        finalizers=types.list_of(STRING),
    ),
    spec=_struct("kubernetes.NamespaceSpec", finalizers=types.list_of(STRING)),
    status=_struct("kubernetes.NamespaceStatus", phase=STRING),
)
_AUTHORIZER = Type(AUTHORIZER.name, fields={"requestResource": Field(OPAQUE["resource"], "requestResource")})
_PATCH = _struct("JSONPatch", op=STRING, path=STRING, value=DYN, **{"from": STRING})
_OBJECT = Type("Object", fields={}, open=True)
PATCHES = types.list_of(_PATCH)


def mutation_types(name: str) -> Type | None:
    """The structs that mutations make: `Object`, `Object.spec.containers`, `JSONPatch`."""
    if name == "JSONPatch":
        return _PATCH
    if name == "Object" or name.startswith("Object."):
        return Type(name, fields={}, open=True)
    return None


def variables(
    *,
    params: bool,
    authorizer: bool = True,
    composed: Mapping[str, Type] | None = None,
    obj: Type = DYN,
    param: Type = DYN,
) -> dict[str, Type]:
    """What an expression may name. `composed`: the policy's own variables so far."""
    found = {"object": obj, "oldObject": obj, "request": REQUEST, "namespaceObject": NAMESPACE}
    if params:
        found["params"] = param
    if authorizer:
        found["authorizer"] = _AUTHORIZER
    if composed is not None:
        found["variables"] = _struct("kubernetes.variables", **composed)
    return found


def compile_expression(
    text: str, names: Mapping[str, Type], wanted: tuple[Type, ...] = (), *, mutation: bool = False
) -> cel.Program:
    """Raises ExpressionError. `wanted`: what it may give; empty: anything."""
    try:
        program = cel.compile(text, names, mutation_types if mutation else no_types)
    except cel.CompileError as error:
        raise ExpressionError(f"{error.stage.removeprefix('program ')}: {error}") from None
    if wanted and program.type not in wanted:
        shown = [_shown(type_) for type_ in wanted]
        one = shown[0] if len(shown) == 1 else f"one of [{' '.join(shown)}]"
        raise ExpressionError(f"must evaluate to {one} but got {_shown(program.type)}")
    return program


def _shown(type_: Type) -> str:
    return "null_type" if type_ == NULL else str(type_)


@lru_cache(maxsize=512)
def condition(text: str, params: bool) -> cel.Program:
    """A match condition."""
    return compile_expression(text, variables(params=params), (BOOL,))


# -- whole policies ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Validation:
    source: Object
    program: cel.Program
    message: cel.Program | None


@dataclass(frozen=True, slots=True)
class Mutation:
    text: str
    program: cel.Program
    json_patch: bool


class Policy:
    """A validating or mutating policy, compiled. What does not compile is left out: it was refused when it came, or is older than that."""

    def __init__(self, obj: Object):
        self.name: str = obj["metadata"]["name"]
        self.spec = spec = obj.get("spec") or {}
        self.ignores_errors = spec.get("failurePolicy") == "Ignore"
        self.has_params = spec.get("paramKind") is not None
        self.conditions = [
            condition(each["expression"].strip(), self.has_params)
            for each in spec.get("matchConditions") or ()
        ]
        composed: dict[str, Type] = {}
        self.variables: list[tuple[str, cel.Program]] = []
        for each in spec.get("variables") or ():
            program = compile_expression(
                each["expression"], variables(params=self.has_params, composed=composed)
            )
            self.variables.append((each["name"], program))
            composed[each["name"]] = _declared(program.type)
        names = variables(params=self.has_params, composed=composed)
        quiet = variables(params=self.has_params, composed=composed, authorizer=False)
        self.validations = [
            Validation(
                each,
                compile_expression(each["expression"], names, (BOOL,)),
                compile_expression(each["messageExpression"], quiet, (STRING,))
                if (each.get("messageExpression") or "").strip()
                else None,
            )
            for each in spec.get("validations") or ()
        ]
        self.annotations = [
            (each["key"], compile_expression(each["valueExpression"], names, (STRING, NULL)))
            for each in spec.get("auditAnnotations") or ()
        ]
        self.mutations = [_mutation(each, names) for each in spec.get("mutations") or ()]


def _mutation(source: Object, names: Mapping[str, Type]) -> Mutation:
    patched = source.get("patchType") == "JSONPatch"
    text = source["jsonPatch" if patched else "applyConfiguration"]["expression"]
    return Mutation(
        text, compile_expression(text, names, (PATCHES if patched else _OBJECT,), mutation=True), patched
    )


def check(spec: Object, known: frozenset[str] = frozenset()) -> Iterator[tuple[str, str, str]]:
    """(path below spec, expression, what is wrong) of everything in a policy that does not compile, in Kubernetes' order."""
    params = spec.get("paramKind") is not None

    def tried(
        path: str,
        text: str | None,
        names: Mapping[str, Type],
        wanted: tuple[Type, ...] = (),
        mutation: bool = False,
    ) -> Iterator[tuple[str, str, str]]:
        if text and text.strip():
            try:
                compile_expression(text, names, wanted, mutation=mutation)
            except ExpressionError as error:
                yield path, text, str(error)

    composed: dict[str, Type] = {}
    for i, each in enumerate(spec.get("variables") or ()):
        names = variables(params=params, composed=composed)
        yield from tried(f"variables[{i}].expression", each.get("expression"), names)
        composed[each.get("name") or ""] = _type_or_dyn(each.get("expression") or "", names)
    given = composed if spec.get("variables") else None
    names = variables(params=params, composed=given)
    quiet = variables(params=params, composed=given, authorizer=False)
    for i, each in enumerate(spec.get("validations") or ()):
        yield from tried(f"validations[{i}].expression", each.get("expression"), names, (BOOL,))
        yield from tried(
            f"validations[{i}].messageExpression", each.get("messageExpression"), quiet, (STRING,)
        )
    for i, each in enumerate(spec.get("auditAnnotations") or ()):
        yield from tried(
            f"auditAnnotations[{i}].valueExpression", each.get("valueExpression"), names, (STRING, NULL)
        )
    for i, each in enumerate(spec.get("mutations") or ()):
        for key, type_, wanted in (
            ("applyConfiguration", "ApplyConfiguration", _OBJECT),
            ("jsonPatch", "JSONPatch", PATCHES),
        ):
            if each.get("patchType") == type_:
                text = (each.get(key) or {}).get("expression")
                yield from tried(f"mutations[{i}].{key}.expression", text, names, (wanted,), True)


def _type_or_dyn(text: str, names: Mapping[str, Type]) -> Type:
    try:
        return _declared(compile_expression(text, names).type)
    except ExpressionError:
        return DYN


_DECLARED = (BOOL, types.BYTES, types.DOUBLE, types.DURATION, INT, NULL, STRING, types.TIMESTAMP, types.UINT)


def _declared(type_: Type) -> Type:
    """What a variable of that type counts as where it is used: of objects, nothing is known any more."""
    if type_.name in ("list", "map"):
        return Type(type_.name, tuple(map(_declared, type_.params)))
    return type_ if type_ in _DECLARED else DYN


# -- the types of objects ----------------------------------------------------------------------------------------------

_SCALARS = {
    "string": STRING, "int32": INT, "int64": INT, "bool": BOOL, "number": types.DOUBLE, "bytes": types.BYTES, "Time": types.TIMESTAMP,
    "MicroTime": types.TIMESTAMP, "Quantity": STRING, "IntOrString": DYN,
}  # fmt: skip


class _Members(Mapping[str, Field]):
    """The fields of a built-in type, made as they are asked for: types may contain themselves."""

    def __init__(self, schema: Schema):
        self._schema = schema
        self._raw = {types.escape(name) or name: name for name in schema.fields}

    def __getitem__(self, name: str) -> Field:
        key = self._raw[name]
        return Field(_type_of(self._schema.fields[key].type), key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


def _type_of(schema: Schema) -> Type:
    if schema.kind == "list":
        return types.list_of(_type_of(schema.element))
    if schema.kind == "map":
        return types.map_of(STRING, _type_of(schema.element))
    if schema.kind == "struct":
        return Type(schema.name, fields=_Members(schema))
    return _SCALARS.get(schema.kind, DYN)


def type_of_kind(kind: Kind) -> Type:
    if has_schema(kind.group, kind.version, kind.kind):
        return _type_of(schema_of(kind.group, kind.version, kind.kind))
    return DYN


def type_warnings(policy: Object) -> list[Object]:
    """`status.typeChecking.expressionWarnings`: per expression, what does not fit the types of the kinds that the policy names."""
    spec = policy.get("spec") or {}
    kinds = _named_kinds((spec.get("matchConstraints") or {}).get("resourceRules") or ())
    param = spec.get("paramKind")
    param_type = DYN
    if param is not None:
        group, _, version = (param.get("apiVersion") or "").rpartition("/")
        param_kind = next(
            (k for k in KINDS if (k.group, k.version, k.kind) == (group, version, param.get("kind"))), None
        )
        param_type = DYN if param_kind is None else type_of_kind(param_kind)
    found: list[Object] = []
    texts = []
    for i, each in enumerate(spec.get("validations") or ()):
        texts.append((f"spec.validations[{i}].expression", each.get("expression") or "", True))
        if each.get("messageExpression"):
            texts.append((f"spec.validations[{i}].messageExpression", each["messageExpression"], False))
    for path, text, authorizer in texts:
        warning = ""
        for kind in kinds:
            obj = type_of_kind(kind)
            composed: dict[str, Type] = {}
            for each in spec.get("variables") or ():
                names = variables(params=param is not None, composed=composed, obj=obj, param=param_type)
                composed[each["name"]] = _type_or_dyn(each["expression"], names)
            names = variables(
                params=param is not None, authorizer=authorizer, composed=composed, obj=obj, param=param_type
            )
            try:
                cel.compile(text, names)
            except cel.CompileError as error:
                gvk = f"{kind.group}/{kind.version}, Kind={kind.kind}"
                warning += f"{gvk}: {error}\n"
        if warning:
            found.append({"fieldRef": path, "warning": warning})
    return found


def _named_kinds(rules: Any) -> list[Kind]:
    found: dict[tuple[str, str, str], Kind] = {}
    for rule in rules:
        groups, versions, resources = (
            rule.get(key) or () for key in ("apiGroups", "apiVersions", "resources")
        )
        if "*" in groups or "*" in versions:
            continue
        for kind in KINDS:
            if kind.group in groups and kind.version in versions and kind.plural in resources:
                found.setdefault((kind.group, kind.version, kind.kind), kind)
    return sorted(found.values(), key=lambda k: (k.group, k.version, k.kind))[:EXPRESSIONS_MAX]


# -- values ------------------------------------------------------------------------------------------------------------


def type_mismatch(value: Any) -> str:
    """Objects within an object are named after the fields that they are in: what is not. "" where all is well."""
    found: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, StructValue):
            if value.type_name != path:
                which = "which matches field name path from root Object type"
                found.append(f'unexpected type name "{value.type_name}", expected "{path}", {which}')
            for name, inner in value.items():
                walk(inner, f"{path}.{name}")
        elif isinstance(value, (dict, list)):
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner, path)

    if isinstance(value, StructValue):
        walk(value, value.type_name)
    return "\n".join(found)


def to_json(value: Any) -> Any:
    """What an expression made, as JSON."""
    if isinstance(value, (dict, StructValue)):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [to_json(inner) for inner in value]
    if isinstance(value, (Timestamp, Duration)):
        return str(value)
    if isinstance(value, Optional):
        return to_json(value.value)
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return value
