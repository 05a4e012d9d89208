"""Dynamic resource allocation: what claims ask for and get, and classes of devices."""

from __future__ import annotations

from typing import Any

import orjson

from .. import names
from ..fielderrors import FieldErrors, InOrder
from ..object import Object
from ..schema import type_of
from . import addresses, metadata, resources
from .conditions import conditions
from .device_names import binding_conditions, each_of, label, label_name, pool, qualified, set_of, uid
from .go_struct import in_order
from .node_selectors import node_selector
from .validator import kind
from .volume_sources import csi_driver_name

_LISTED_MAX = 32  # requests, constraints, configurations, selectors, results
_FIRST_AVAILABLE_MAX = 8
_RESERVED_MAX = 256
_PARAMETERS_SIZE_MAX = 10 << 10
_EXPRESSION_LENGTH_MAX = 10 << 10
_EFFECTS = ("NoExecute", "NoSchedule", "None")
_NOT_A_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)
_CONDITIONS_MAX, _ADDRESSES_MAX = 8, 16


# -- claims ----------------------------------------------------------------------------------------------------


def _request_names(devices: Object) -> dict[str, set[str]]:
    return {
        request.get("name") or "": {sub.get("name") or "" for sub in request.get("firstAvailable") or ()}
        for request in devices.get("requests") or ()
    }


def _claim_spec(errors: FieldErrors, spec: Object, path: str) -> None:
    devices, at = spec.get("devices") or {}, f"{path}.devices"
    known = _request_names(devices)

    def reference(errors: FieldErrors, name: str, path: str) -> None:
        _reference(errors, name, known, path)

    def constraint(errors: FieldErrors, each: Object, path: str) -> None:
        set_of(errors, each.get("requests"), _LISTED_MAX, reference, f"{path}.requests", key=str)
        for field in ("matchAttribute", "distinctAttribute"):
            if each.get(field) is not None:
                qualified(errors, each[field], f"{path}.{field}", fully=True)
                return
        why = (
            'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
        )
        errors.required(path, why)

    def configuration(errors: FieldErrors, each: Object, path: str) -> None:
        set_of(errors, each.get("requests"), _LISTED_MAX, reference, f"{path}.requests", key=str)
        _opaque(errors, each, path)

    set_of(errors, devices.get("requests"), _LISTED_MAX, _request, f"{at}.requests")
    each_of(errors, devices.get("constraints"), _LISTED_MAX, constraint, f"{at}.constraints")
    each_of(errors, devices.get("config"), _LISTED_MAX, configuration, f"{at}.config")


def _reference(errors: FieldErrors, name: str, known: dict[str, set[str]], path: str) -> None:
    parts = name.split("/")
    if len(parts) <= 2:
        for part in parts:
            label(errors, part, path)
    if len(parts) > 2 or parts[0] not in known or (len(parts) == 2 and parts[1] not in known[parts[0]]):
        errors.invalid(path, name, _NOT_A_REQUEST)


def _request(errors: FieldErrors, request: Object, path: str) -> None:
    label(errors, request.get("name") or "", f"{path}.name")
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
    one_of = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is not None and alternatives:
        errors.invalid(path, None, f"{one_of}, but multiple fields are set")
    elif exactly is not None:
        _device_request(errors, exactly, f"{path}.exactly")
    elif alternatives:

        def alternative(errors: FieldErrors, each: Object, path: str) -> None:
            label(errors, each.get("name") or "", f"{path}.name")
            _device_request(errors, each, path)

        set_of(errors, alternatives, _FIRST_AVAILABLE_MAX, alternative, f"{path}.firstAvailable")
    else:
        errors.required(path, one_of)


def _device_request(errors: FieldErrors, request: Object, path: str) -> None:
    class_ = request.get("deviceClassName") or ""
    if class_:
        errors.messages(f"{path}.deviceClassName", class_, names.dns1123_subdomain(class_))
    else:
        errors.required(f"{path}.deviceClassName")
    each_of(errors, request.get("selectors"), _LISTED_MAX, _selector, f"{path}.selectors")
    mode, count = request.get("allocationMode"), request.get("count") or 0
    if mode == "All":
        if count:
            why = "must not be specified when allocationMode is 'All'"
            errors.invalid(f"{path}.count", count, why)
    elif mode != "ExactCount":
        errors.not_supported(f"{path}.allocationMode", mode, ("All", "ExactCount"))
    elif count <= 0:
        errors.invalid(f"{path}.count", count, "must be greater than zero")
    each_of(errors, request.get("tolerations"), -1, _toleration, f"{path}.tolerations")


def _selector(errors: FieldErrors, selector: Object, path: str) -> None:
    cel = selector.get("cel")
    if cel is None:
        errors.required(f"{path}.cel")
    elif len(cel.get("expression") or "") > _EXPRESSION_LENGTH_MAX:
        errors.too_long(f"{path}.cel.expression", _EXPRESSION_LENGTH_MAX)
    elif problem := _expression_problem(cel.get("expression") or ""):
        errors.invalid(f"{path}.cel.expression", cel.get("expression") or "", problem)


def _expression_problem(text: str) -> str:
    from .. import policies  # CEL is loaded when there is an expression
    from ..cel.functions import QUANTITY
    from ..cel.types import BOOL, DYN, STRING, Field, Type, map_of

    members = {
        "driver": STRING,
        "attributes": map_of(STRING, map_of(STRING, DYN)),
        "capacity": map_of(STRING, map_of(STRING, QUANTITY)),
        "allowMultipleAllocations": BOOL,
    }
    device = Type(
        "kubernetes.DRADevice", fields={name: Field(type_, name) for name, type_ in members.items()}
    )
    try:
        program = policies.compile_expression(text, {"device": device})
    except policies.ExpressionError as error:
        return str(error)
    if program.type in (BOOL, DYN):
        return ""
    return f"must evaluate to bool or the unknown type, not {program.type}"


def _toleration(errors: FieldErrors, toleration: Object, path: str) -> None:
    value = toleration.get("value") or ""
    if toleration.get("key"):
        label_name(errors, toleration["key"], f"{path}.key")
    match toleration.get("operator"):
        case "Exists":
            if value:
                errors.invalid(f"{path}.value", value, "must be empty for operator `Exists`")
        case "Equal":
            errors.messages(f"{path}.value", value, metadata.label_value(value))
        case operator:
            errors.choice(f"{path}.operator", operator, ("Equal", "Exists"))
    if toleration.get("effect") and toleration["effect"] not in _EFFECTS:
        errors.not_supported(f"{path}.effect", toleration["effect"], _EFFECTS)


def _opaque(errors: FieldErrors, configuration: Object, path: str) -> None:
    opaque = configuration.get("opaque")
    if opaque is None:
        errors.required(f"{path}.opaque")
        return
    csi_driver_name(errors, opaque.get("driver") or "", f"{path}.opaque.driver")
    _raw(errors, opaque.get("parameters"), _PARAMETERS_SIZE_MAX, f"{path}.opaque.parameters")


def _raw(errors: FieldErrors, value: Any, size: int, path: str) -> None:
    if value is None:
        errors.required(path)
    elif len(orjson.dumps(value)) > size:
        errors.too_long(path, size)
    elif not isinstance(value, dict):
        errors.invalid(path, "<value omitted>", "must be a valid JSON object")


def _claim(errors: FieldErrors, new: Object, old: Object | None) -> None:
    _claim_spec(errors, new.get("spec") or {}, "spec")


def _spec_change(errors: FieldErrors, new: Object, old: Object) -> None:
    metadata.immutable(
        errors, new.get("spec"), old.get("spec"), "spec", type_="resource.v1.ResourceClaimSpec"
    )


def _template_change(errors: FieldErrors, new: Object, old: Object) -> None:
    type_ = "resource.v1.ResourceClaimTemplateSpec"
    metadata.immutable(errors, new.get("spec"), old.get("spec"), "spec", type_=type_)


def _template(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    meta = spec.get("metadata") or {}
    metadata.annotations(errors, meta.get("annotations"), "spec.metadata.annotations")
    metadata.labels(errors, meta.get("labels"), "spec.metadata.labels")
    for field in (field.name for field in in_order(type_of("meta.v1.ObjectMeta"))):
        given = field == "deletionGracePeriodSeconds" and field in meta  # a pointer, which may be to 0
        if field not in ("annotations", "labels") and (given or meta.get(field)):
            errors.forbidden(f"spec.metadata.{'uID' if field == 'uid' else field}", "cannot be set")
    _claim_spec(errors, spec.get("spec") or {}, "spec.spec")


# -- a claim's status ------------------------------------------------------------------------------------------

_SharedId = tuple[str, str, str, str]


def _device_id(device: Object) -> _SharedId:
    driver, pool, name, share = (device.get(f) or "" for f in ("driver", "pool", "device", "shareID"))
    return driver, pool, name, share


def _shown_id(identity: _SharedId) -> InOrder:
    return InOrder(zip(("Driver", "Pool", "Device", "ShareID"), identity, strict=True))


def _claim_status(errors: FieldErrors, new: Object, old: Object) -> None:
    status, before, path = new.get("status") or {}, old.get("status") or {}, "status"
    reserved, allocation = status.get("reservedFor") or [], status.get("allocation")

    def consumer(errors: FieldErrors, each: Object, path: str) -> None:
        for field in ("resource", "name", "uid"):
            if not each.get(field):
                errors.required(f"{path}.{field}")

    def by_uid(each: Object) -> str:
        return each.get("uid") or ""

    set_of(errors, reserved, _RESERVED_MAX, consumer, f"{path}.reservedFor", key=by_uid)
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    allocated = {_device_id(result) for result in results}

    def device(errors: FieldErrors, each: Object, path: str) -> None:
        _device_status(errors, each, allocated, path)

    set_of(errors, status.get("devices"), -1, device, f"{path}.devices", key=_device_id, show=_shown_id)
    if reserved:
        at = f"{path}.reservedFor"
        if allocation is None:
            errors.forbidden(at, "may not be specified when `allocated` is not set")
        elif new["metadata"].get("deletionTimestamp"):
            if any(each not in (before.get("reservedFor") or []) for each in reserved):
                why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
                errors.forbidden(at, why)
    if allocation is not None and before.get("allocation") is not None:
        at, was = f"{path}.allocation", before["allocation"]
        metadata.immutable(errors, allocation, was, at, type_="resource.v1.AllocationResult")
    elif allocation is not None:
        known = _request_names((new.get("spec") or {}).get("devices") or {})
        _allocation(errors, allocation, known, f"{path}.allocation")


def _device_status(errors: FieldErrors, device: Object, allocated: set[_SharedId], path: str) -> None:
    csi_driver_name(errors, device.get("driver") or "", f"{path}.driver")
    pool(errors, device.get("pool") or "", f"{path}.pool")
    label(errors, device.get("device") or "", f"{path}.device")
    if device.get("shareID") is not None:
        uid(errors, device["shareID"], f"{path}.shareID")
    identity = _device_id(device)
    if identity not in allocated:
        errors.invalid(path, _shown_id(identity), "must be an allocated device in the claim")
    listed = device.get("conditions") or []
    if len(listed) > _CONDITIONS_MAX:
        errors.too_many(f"{path}.conditions", len(listed), _CONDITIONS_MAX)
    conditions(errors, listed, f"{path}.conditions")
    if device.get("data") is not None:
        _raw(errors, device["data"], _PARAMETERS_SIZE_MAX, f"{path}.data")
    network = device.get("networkData") or {}
    for field, most in (("interfaceName", 256), ("hardwareAddress", 128)):
        if len(network.get(field) or "") > most:
            errors.too_long(f"{path}.networkData.{field}", most)
    set_of(
        errors, network.get("ips"), _ADDRESSES_MAX, addresses.interface, f"{path}.networkData.ips", key=str
    )


def _allocation(errors: FieldErrors, allocation: Object, known: dict[str, set[str]], path: str) -> None:
    devices = allocation.get("devices") or {}

    def reference(errors: FieldErrors, name: str, path: str) -> None:
        _reference(errors, name, known, path)

    def result(errors: FieldErrors, each: Object, path: str) -> None:
        _reference(errors, each.get("request") or "", known, f"{path}.request")
        csi_driver_name(errors, each.get("driver") or "", f"{path}.driver")
        pool(errors, each.get("pool") or "", f"{path}.pool")
        label(errors, each.get("device") or "", f"{path}.device")
        binding_conditions(errors, each, path)
        if each.get("shareID") is not None:
            uid(errors, each["shareID"], f"{path}.shareID")

    def configuration(errors: FieldErrors, each: Object, path: str) -> None:
        errors.choice(f"{path}.source", each.get("source"), ("FromClaim", "FromClass"))
        set_of(errors, each.get("requests"), _LISTED_MAX, reference, f"{path}.requests", key=str)
        _opaque(errors, each, path)

    each_of(errors, devices.get("results"), _LISTED_MAX, result, f"{path}.devices.results")
    each_of(errors, devices.get("config"), 2 * _LISTED_MAX, configuration, f"{path}.devices.config")
    if allocation.get("nodeSelector") is not None:
        node_selector(errors, allocation["nodeSelector"], f"{path}.nodeSelector")


# -- classes ---------------------------------------------------------------------------------------------------


def _class(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    if old is None or spec.get("selectors") != before.get("selectors"):
        each_of(errors, spec.get("selectors"), _LISTED_MAX, _selector, "spec.selectors")
    each_of(errors, spec.get("config"), _LISTED_MAX, _opaque, "spec.config")
    name = spec.get("extendedResourceName")
    if name is not None and not resources.is_extended(name):
        errors.invalid("spec.extendedResourceName", name, "must be a valid extended resource name")


CLASS = kind(_class, "cub", cluster=True)
CLAIM = kind(_claim, "cux", change=_spec_change, status=_claim_status)
CLAIM_TEMPLATE = kind(_template, "cbux", change=_template_change)
