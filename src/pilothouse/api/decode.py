"""Request bodies to objects: content type, apiVersion and kind, schema, strictness; in Kubernetes' order and words.

Where in the flow: after authorization, before defaults. Two halves do the work: decode_text.py (bytes to values) and
decode_values.py (values to the typed object); protobuf bodies come in through protobuf.py. The order of refusals and their texts:
k8s.io/apiserver endpoints/handlers (create.go, rest.go) and apimachinery's json serializer; strictness: KEP-2885.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, cast

from .decode_text import Parsed, SyntaxFailure, parse_json, parse_yaml
from .decode_values import WrongValue, go_kind, normalize
from .errors import ApiError, Cause, bad_request, invalid
from .kinds import Kind, find_gvk
from .object import Object
from .schema import Type, has_schema, schema_of, type_of

if TYPE_CHECKING:
    from .crd.kinds import CustomKind

FieldValidation = Literal["Strict", "Warn", "Ignore"]

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

_SUMMARY_LENGTH_MAX = 30
NO_KIND = "couldn't get version/kind; json parse error"
# how Go prints the type that the head of every object is read into
_SCHEMES = {
    "apiextensions.k8s.io": "apiserver/apiserver.go:55",
    "apiregistration.k8s.io": "apiserver/scheme/scheme.go:28",
}
HEAD = """struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }"""


_YAML_TWICE = "yaml: unmarshal errors:"
_OPTIONS_SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"


def go_package(group: str) -> str:
    """What Go calls the package of a group's internal types."""
    return group.partition(".")[0] or "core"


def decode(
    data: bytes,
    content_type: str,
    kind: Kind,
    field_validation: FieldValidation = "Warn",
    *,
    fill: bool = True,
) -> tuple[Object, list[str]]:
    """(object, warnings). For a subresource's body, `kind` is `parent.of_subresource(name)`.

    Fields that the kind does not have are dropped; `fill` adds the structs that always exist (see decode_values).
    """
    media_type = media_type_of(content_type, protobuf=not kind.custom)
    if media_type == PROTOBUF:
        from .protobuf import NotProtobuf, decode_body

        try:
            value = decode_body(data, kind)
        except NotProtobuf as error:
            raise _unrecognized(kind.kind, str(error), data) from None
        except ValueError as error:
            raise bad_request(f"unable to decode request body: {error}") from None
        parsed = Parsed(value)
        field_validation = "Ignore"  # what protobuf does not know it cannot name
    else:
        parsed = parse(data, media_type, kind.kind, field_validation)
    value, given = _check_kind(parsed.value, data, kind)
    if kind.custom:
        problems = custom_problems(parsed)
        obj = value
        if given[0] == kind.group and given[2] == kind.kind:
            try:
                problems += cast("CustomKind", kind).incoming(obj, given[1])
            except ValueError as error:  # metadata that is none
                raise _cannot_be_handled(given, kind, str(error)) from None
    else:
        try:
            obj, problems = normalize(
                schema_of(kind.group, kind.version, kind.kind),
                value,
                fill=fill,
                duplicates=parsed.duplicates,
            )
        except WrongValue as error:
            raise _cannot_be_handled(given, kind, str(error)) from None
        if parsed.yaml_duplicates:
            problems = [*_yaml_problem(parsed), *problems]
    if problems and field_validation == "Strict":
        raise _cannot_be_handled(given, kind, f"strict decoding error: {', '.join(problems)}")
    if given not in ((kind.group, kind.version, kind.kind), ("policy", "v1beta1", "Eviction")):
        # The kind exists elsewhere; its fields were checked against ours, as near as one can be.
        mismatch = bad_request(
            f"the API version in the data ({_join(given[0], given[1])}) does not match "
            f"the expected API version ({kind.api_version})"
        )
        mismatch.warnings = as_warnings(problems) if field_validation == "Warn" else []
        raise mismatch
    obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
    return obj, as_warnings(problems) if problems and field_validation == "Warn" else []


@lru_cache(maxsize=256)
def media_type_of(content_type: str, *, protobuf: bool = True) -> str:
    """One of JSON, YAML, PROTOBUF; 415 for others. Nothing means JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    accepted = (JSON, YAML, PROTOBUF) if protobuf else (JSON, YAML)
    if not media_type:
        return JSON
    if media_type in accepted:
        return media_type
    raise ApiError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}, {PROTOBUF}",
        details=False,
    )


def parse(data: bytes, media_type: str, kind: str, field_validation: FieldValidation = "Warn") -> Parsed:
    """JSON or YAML to plain values; 400 for what is neither. `kind` is for the message."""
    try:
        if media_type == YAML:
            return parse_yaml(data)
        return parse_json(data, find_duplicates=field_validation != "Ignore")
    except SyntaxFailure as failure:
        what = (
            str(failure) if media_type == YAML else f"couldn't get version/kind; json parse error: {failure}"
        )
        raise _unrecognized(kind, what, data) from None


def custom_problems(parsed: Parsed) -> list[str]:
    """What strict decoding objects to in a body without a schema of ours: its duplicate fields, anywhere."""
    problems = _yaml_problem(parsed)
    if parsed.duplicates:
        _find_duplicates(parsed.value, "", parsed.duplicates, problems)
    return problems


def decode_options(data: bytes, content_type: str, kind: str = "DeleteOptions") -> Object:
    """The body of a DELETE, in any group and version; {} for none."""
    if not data:
        return {}
    media_type = media_type_of(content_type)
    type_ = type_of(f"meta.v1.{kind}")
    if media_type == PROTOBUF:
        from .protobuf import decode_type

        try:
            value = decode_type(data, type_.name)
        except ValueError as error:
            raise bad_request(f"unable to decode request body: {error}") from None
        parsed = Parsed(value)
    else:
        try:
            parsed = parse_yaml(data) if media_type == YAML else parse_json(data, find_duplicates=False)
        except SyntaxFailure as failure:
            raise bad_request(f"{'' if media_type == YAML else f'{NO_KIND}: '}{failure}") from None
    value = {} if parsed.value is None else parsed.value
    if not isinstance(value, dict):
        raise bad_request(f"{NO_KIND}: json: cannot unmarshal {go_kind(value)} into Go value of type {HEAD}")
    given = value.get("kind")
    if given and given != kind:
        what = f'no kind "{given}" is registered for version "{value.get("apiVersion") or "v1"}"'
        raise bad_request(f'{what} in scheme "{_OPTIONS_SCHEME}"')
    try:
        return normalize(type_, value)[0]
    except WrongValue as error:
        raise bad_request(str(error)) from None


def not_a_review(given: Object, group: str, review: str, version: str) -> str:
    """What keeps a webhook's answer from being read as a review of that version: what it says to be, if that is something else."""
    api_version, kind = str(given.get("apiVersion") or ""), given.get("kind") or ""
    known = api_version in (f"{group}/v1", f"{group}/v1beta1") and kind == review
    if api_version and kind and not known:
        if (api_version, kind) == ("v1", "Status"):
            return f"converting (v1.Status) to ({version}.{review}): unknown conversion"
        where = 'scheme "k8s.io/apiserver/pkg/util/webhook/client.go:71"'
        return f'no kind "{kind}" is registered for version "{api_version}" in {where}'
    got = api_version.rpartition("/")[2]
    if known and got != version:
        return f"converting ({got}.{review}) to ({version}.{review}): unknown conversion"
    return ""


def normalize_or_400(type_: Type, value: Any, kind: str, version: str) -> Object:
    try:
        obj, _ = normalize(type_, value)
    except WrongValue as error:
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from None
    return obj


def _check_kind(value: Any, data: bytes, kind: Kind) -> tuple[Object, tuple[str, str, str]]:
    """(the body, its group, version and kind), where what it leaves out is what was asked for."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        what = f"json: cannot unmarshal {go_kind(value)} into Go value of type {HEAD}"
        raise _unrecognized(kind.kind, f"{NO_KIND}: {what}", data)
    api_version, given_kind = value.get("apiVersion"), value.get("kind")
    for name, given in (("apiVersion", api_version), ("kind", given_kind)):
        if given is not None and not isinstance(given, str):
            what = f"json: cannot unmarshal {go_kind(given)} into Go struct field .{name} of type string"
            raise _unrecognized(kind.kind, f"{NO_KIND}: {what}", data)
    if kind.custom:
        if not given_kind:
            raise _unrecognized(kind.kind, f"Object 'Kind' is missing in '{_text(data)}'", data)
        if not api_version:
            why = f"does not match the expected API version ({kind.api_version})"
            raise bad_request(f"the API version in the data () {why}")
    if api_version and api_version.count("/") > 1:
        raise _unrecognized(kind.kind, f"unexpected GroupVersion string: {api_version}", data)
    group, _, version = api_version.rpartition("/") if api_version else (kind.group, "", kind.version)
    version = version or kind.version
    given = (group, version, given_kind or kind.kind)
    if given == (kind.group, kind.version, kind.kind):
        return value, given
    if kind.custom:
        if given[2] != kind.kind and given[:2] == (kind.group, kind.version):
            name = str((value.get("metadata") or {}).get("name") or "")
            text = f'Invalid value: "{given[2]}": must be {kind.kind}'
            raise invalid(given[2], group, name, [Cause("FieldValueInvalid", text, "kind")])
        return value, given
    if _once_served(given, kind):
        return value, given
    if not has_schema(*given) and find_gvk(*given) is None and given != ("", "v1", "List"):
        what = (
            f'no kind "{given[2]}" is registered for version "{_join(group, version)}" '
            f'in scheme "pkg/{_SCHEMES.get(kind.group, "api/legacyscheme/scheme.go:30")}"'
        )
        raise _cannot_be_handled(given, kind, what)
    if given[2] != kind.kind or group != kind.group:
        what = (
            f"converting ({version}.{given[2]}) to ({go_package(kind.group)}.{kind.kind}): unknown conversion"
        )
        raise _cannot_be_handled(given, kind, what)
    return value, given


# Versions that are served no more, but that a real server still reads, by group.
_ONCE = {
    "apps": "v1beta1 v1beta2",
    "flowcontrol.apiserver.k8s.io": "v1beta1 v1beta2 v1beta3",
    "rbac.authorization.k8s.io": "v1alpha1 v1beta1",
    "resource.k8s.io": "v1beta1 v1beta2",
}
_ONCE_EXTENSIONS = {"Deployment", "DaemonSet", "ReplicaSet", "Ingress", "NetworkPolicy", "Scale"}


def _once_served(given: tuple[str, str, str], kind: Kind) -> bool:
    group, version, name = given
    if name != kind.kind:
        return False
    if group == "extensions":
        return version == "v1beta1" and name in _ONCE_EXTENSIONS
    if group != kind.group and name != "Scale":
        return False
    once = "" if group in ("", "autoscaling") or name == "Job" else "v1beta1"
    return version in _ONCE.get(group, once).split()


def _find_duplicates(value: Any, path: str, duplicates: dict[int, list[str]], found: list[str]) -> None:
    if isinstance(value, dict):
        for name in duplicates.get(id(value), ()):
            found.append(f'duplicate field "{path}{name}"')
        for name, inner in value.items():
            _find_duplicates(inner, f"{path}{name}.", duplicates, found)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _find_duplicates(inner, f"{path.removesuffix('.')}[{index}].", duplicates, found)


def _yaml_problem(parsed: Parsed) -> list[str]:
    if not parsed.yaml_duplicates:
        return []
    return [_YAML_TWICE + "".join(f"\n  {line}" for line in parsed.yaml_duplicates)]


def as_warnings(problems: list[str]) -> list[str]:
    """One for each key that a YAML mapping has twice."""
    return [line for p in problems for line in (p.split("\n  ")[1:] if p.startswith(_YAML_TWICE) else [p])]


def _cannot_be_handled(given: tuple[str, str, str], kind: Kind, what: str) -> ApiError:
    return bad_request(f'{given[2]} in version "{given[1]}" cannot be handled as a {kind.kind}: {what}')


def _unrecognized(kind: str, what: str, data: bytes) -> ApiError:
    return bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {what} ({_summary(data)})"
    )


def _summary(data: bytes) -> str:
    """The beginning of a body: as text if it may be JSON, else in hexadecimal."""
    if not data:
        return "<empty>"
    cut = data[:_SUMMARY_LENGTH_MAX]
    more = " ..." if len(data) > _SUMMARY_LENGTH_MAX else ""
    return (cut.decode(errors="replace") if data[:1] == b"{" else cut.hex()) + more


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _join(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version
