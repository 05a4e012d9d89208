"""Dynamic resource allocation: the devices that a driver publishes."""

from __future__ import annotations

import re
from typing import Any

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from ..quantity import Quantity
from . import metadata
from .device_names import binding_conditions, each_of, label, label_name, pool, qualified, set_of
from .go_struct import as_go
from .node_selectors import node_selector
from .validator import kind
from .volume_sources import csi_driver_name

_ATTRIBUTES_MAX, _VALUES_MAX, _VALUE_LENGTH_MAX = 32, 48, 64
_KEY_LENGTH_MAX = 63 + 1 + 32
_TAINTS_MAX, _CONSUMPTIONS_MAX, _OPTIONS_MAX = 16, 2, 10
_DEVICES_MAX, _COMPLEX_DEVICES_MAX = 128, 64
_COUNTER_SETS_MAX, _COUNTERS_MAX = 8, 32
_EFFECTS = ("NoExecute", "NoSchedule", "None")
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
)
_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def _slice(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec, before = new.get("spec") or {}, None if old is None else old.get("spec") or {}
    whole = spec.get("pool") or {}
    csi_driver_name(errors, spec.get("driver") or "", "spec.driver")
    pool(errors, whole.get("name") or "", "spec.pool.name")
    if (whole.get("resourceSliceCount") or 0) <= 0:
        count = whole.get("resourceSliceCount") or 0
        errors.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero")
    if (whole.get("generation") or 0) < 0:
        why = "must be greater than or equal to zero"
        errors.invalid("spec.pool.generation", whole["generation"], why)
    if before is not None:
        old_pool = (before.get("pool") or {}).get("name")
        metadata.immutable(errors, whole.get("name"), old_pool, "spec.pool.name")
        for field in ("driver", "nodeName"):
            metadata.immutable(errors, spec.get(field), before.get(field), f"spec.{field}")
    one_of = f"exactly one of {', '.join(f'`{place}`' for place in _PLACES)} is required"
    places = _places(errors, spec, _PLACES, "must be either unset or set to a non-empty string", "spec")
    if not places:
        errors.required("spec", one_of)
    elif len(places) > 1:
        errors.invalid("spec", _listed(places), f"{one_of}, but multiple fields are set")
    devices = spec.get("devices")
    if spec.get("sharedCounters") is not None and devices is not None:
        errors.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    complicated = any(device.get("taints") or device.get("consumesCounters") for device in devices or ())
    known = {device.get("name"): device for device in (before or {}).get("devices") or ()}

    def device(errors: FieldErrors, each: Object, path: str) -> None:
        chooses = spec.get("perDeviceNodeSelection") is True
        _device(errors, each, known.get(each.get("name")), chooses, path)

    set_of(errors, devices, _COMPLEX_DEVICES_MAX if complicated else _DEVICES_MAX, device, "spec.devices")
    set_of(errors, spec.get("sharedCounters"), _COUNTER_SETS_MAX, _counter_set, "spec.sharedCounters")


def _places(
    errors: FieldErrors, holder: Object, fields: tuple[str, ...], no_name: str, path: str
) -> list[str]:
    """Which of the ways to say where devices are is used."""
    used = []
    for field in fields:
        value, at = holder.get(field), f"{path}.{field}"
        if value is None:
            continue
        if value is False:
            errors.invalid(at, value, "must be either unset or set to true")
        elif value == "":
            errors.invalid(at, value, no_name)
        else:
            used.append(field)
            if field == "nodeName":
                errors.messages(at, value, names.dns1123_subdomain(value))
            elif field == "nodeSelector":
                node_selector(errors, value, at)
                terms = value.get("nodeSelectorTerms") or []
                if path == "spec" and len(terms) != 1:
                    why = "must have exactly one node selector term"
                    shown = [as_go("core.v1.NodeSelectorTerm", term) for term in terms]
                    errors.invalid(f"{at}.nodeSelectorTerms", shown, why)
    return used


def _listed(fields: list[str]) -> str:
    return "{" + ", ".join(f"`{field}`" for field in fields) + "}"


def _device(errors: FieldErrors, device: Object, old: Object | None, chooses: bool, path: str) -> None:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    label(errors, device.get("name") or "", f"{path}.name")
    if len(attributes) + len(capacity) > _ATTRIBUTES_MAX:
        why = f"the total number of attributes and capacities must not exceed {_ATTRIBUTES_MAX}"
        errors.invalid(path, len(attributes) + len(capacity), why)
    count = sum(
        sum(len(v) for v in each.values() if isinstance(v, list)) or 1 for each in attributes.values()
    )
    if count > _VALUES_MAX:
        errors.invalid(path, count, f"the total number of attribute values must not exceed {_VALUES_MAX}")
    for name, attribute in attributes.items():
        qualified(errors, name, f"{path}.attributes")
        _attribute(errors, attribute, f"{path}.attributes[{_shortened(name)}]")
    for name, each in capacity.items():
        qualified(errors, name, f"{path}.capacity")
        _request_policy(errors, each, device, f"{path}.capacity[{_shortened(name)}].requestPolicy")
    if old is None or old.get("taints") != device.get("taints"):
        each_of(errors, device.get("taints"), _TAINTS_MAX, _taint, f"{path}.taints")

    def by_set(each: Object) -> str:
        return each.get("counterSet") or ""

    at = f"{path}.consumesCounters"
    set_of(errors, device.get("consumesCounters"), _CONSUMPTIONS_MAX, _consumption, at, key=by_set)
    fields = ("nodeName", "nodeSelector", "allNodes")
    if chooses:
        one_of = (
            "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to "
            "true in the ResourceSlice spec"
        )
        places = _places(errors, device, fields, "must not be empty", path)
        if not places:
            errors.required(path, one_of)
        elif len(places) > 1:
            errors.invalid(path, _listed(places), one_of)
    elif any(device.get(field) is not None for field in fields):
        why = (
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
            "ResourceSlice spec"
        )
        errors.invalid(path, None, why)
    binding_conditions(errors, device, path)


def _shortened(name: str, most: int = _KEY_LENGTH_MAX) -> str:
    if len(name) <= most:
        return name
    return name[: (most - 2) // 2] + "..." + name[len(name) - (most - 3) // 2 :]


def _attribute(errors: FieldErrors, attribute: Object, path: str) -> None:
    for field, value in attribute.items():
        if isinstance(value, list) and not value:
            errors.invalid(f"{path}.{field}", value, "must not be empty if specified")
        texts = value if isinstance(value, list) else [value]
        for index, text in enumerate(texts):
            at = f"{path}.{field}[{index}]" if isinstance(value, list) else f"{path}.{field}"
            if field in ("version", "versions") and not _SEMVER.fullmatch(text):
                errors.invalid(at, text, "must be a string compatible with semver.org spec 2.0.0")
            if isinstance(text, str) and len(text) > _VALUE_LENGTH_MAX:
                errors.too_long(at, _VALUE_LENGTH_MAX)
    if len(attribute) != 1:
        errors.invalid(path, attribute or "", "exactly one value must be specified")


def _request_policy(errors: FieldErrors, capacity: Object, device: Object, path: str) -> None:
    policy = capacity.get("requestPolicy")
    if policy is None:
        return
    if not device.get("allowMultipleAllocations"):
        errors.forbidden(path, "allowMultipleAllocations must be true")
        return
    values, bounds, default = policy.get("validValues"), policy.get("validRange"), policy.get("default")
    if values and bounds is not None:
        why = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        errors.forbidden(path, why)
        return
    field = "validValues" if values else "validRange" if bounds is not None else ""
    if field and default is None:
        errors.required(f"{path}.default", f"required when {field} is defined")
    elif values:
        _valid_values(errors, values, str(default), str(capacity.get("value") or "0"), f"{path}.validValues")
    elif bounds is not None:
        _valid_range(errors, bounds, str(default), str(capacity.get("value") or "0"), f"{path}.validRange")


def _valid_values(errors: FieldErrors, values: list[str], default: str, most: str, path: str) -> None:
    number = [Quantity.of(value).number for value in values]
    for index in range(1, len(values)):
        if number[index - 1] > number[index]:
            errors.invalid(f"{path}[{index}]", values[index], "values must be sorted in ascending order")

    def option(errors: FieldErrors, value: str, path: str) -> None:
        if Quantity.of(value).number > Quantity.of(most).number:
            errors.invalid(path, value, f"option is larger than capacity value: {most}")

    def by_number(value: str) -> str:
        return str(Quantity.of(value).value())

    set_of(errors, values, _OPTIONS_MAX, option, path, key=by_number)
    if len(values) > _OPTIONS_MAX or Quantity.of(default).number not in number:
        errors.invalid(path, default, "default value is not valid according to the requestPolicy")


def _valid_range(errors: FieldErrors, bounds: Object, default: str, whole: str, path: str) -> None:
    least, most, step = (bounds.get(field) for field in ("min", "max", "step"))
    if least is None:
        errors.required(f"{path}.min", "required when validRange is defined")
        return

    def n(value: object) -> Any:
        return Quantity.of(value).number

    if n(least) > n(whole):
        errors.invalid(f"{path}.min", least, f"min is larger than capacity value: {whole}")
    if n(default) < n(least):
        errors.invalid(f"{path}.min", default, f"default is less than min: {least}")
    if most is not None:
        if n(least) > n(most):
            errors.invalid(f"{path}.max", least, f"min is larger than max: {most}")
        if n(most) > n(whole):
            errors.invalid(f"{path}.max", most, f"max is larger than capacity value: {whole}")
        if n(default) > n(most):
            errors.invalid(f"{path}.max", default, f"default is more than max: {most}")
    if step is None:
        return
    if n(step) <= 0:
        errors.invalid(f"{path}.step", step, "must be greater than zero")
        return
    added = str(Quantity.of(least) + Quantity.of(step))
    if n(added) > n(whole):
        errors.invalid(f"{path}.step", step, f"one step {added} is larger than capacity value: {whole}")
    for value in (default, most):
        if value is not None and (n(value) - n(least)) % n(step):
            why = f"value is not a multiple of a given step ({step}) from ({least})"
            errors.invalid(f"{path}.step", value, why)


def _taint(errors: FieldErrors, taint: Object, path: str) -> None:
    label_name(errors, taint.get("key") or "", f"{path}.key")
    value = taint.get("value") or ""
    errors.messages(f"{path}.value", value, metadata.label_value(value))
    errors.choice(f"{path}.effect", taint.get("effect"), _EFFECTS)


def _counters(errors: FieldErrors, holder: Object, field: str, path: str) -> None:
    name, counters = holder.get(field) or "", holder.get("counters") or {}
    if name:
        label(errors, name, f"{path}.{field}")
    else:
        errors.required(f"{path}.{field}")
    if not counters:
        errors.required(f"{path}.counters")
    elif len(counters) > _COUNTERS_MAX:
        errors.too_many(f"{path}.counters", len(counters), _COUNTERS_MAX)
    else:
        for counter in counters:
            label(errors, counter, f"{path}.counters")


def _counter_set(errors: FieldErrors, holder: Object, path: str) -> None:
    _counters(errors, holder, "name", path)


def _consumption(errors: FieldErrors, holder: Object, path: str) -> None:
    _counters(errors, holder, "counterSet", path)


SLICE = kind(_slice, "ub", cluster=True)
