"""Node selectors: of pods' node affinity, of volumes."""

from __future__ import annotations

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from .metadata import label_value, qualified_name


def node_selector(errors: FieldErrors, selector: Object, path: str, *, any_value: bool = False) -> None:
    terms = selector.get("nodeSelectorTerms")
    if not terms:
        errors.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms or ()):
        node_selector_term(errors, term, f"{path}.nodeSelectorTerms[{index}]", any_value=any_value)


def node_selector_term(errors: FieldErrors, term: Object, path: str, *, any_value: bool = False) -> None:
    """`any_value`: values need not be label values."""
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        _expression(errors, requirement, f"{path}.matchExpressions[{index}]", any_value)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        _field(errors, requirement, f"{path}.matchFields[{index}]")


def _expression(errors: FieldErrors, requirement: Object, path: str, any_value: bool) -> None:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    match operator:
        case "In" | "NotIn":
            if not values:
                errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        case "Exists" | "DoesNotExist":
            if values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                errors.forbidden(f"{path}.values", why)
        case "Gt" | "Lt":
            if len(values) != 1:
                why = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                errors.required(f"{path}.values", why)
        case _:
            errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
    key = requirement.get("key") or ""
    errors.messages(f"{path}.key", key, qualified_name(key))
    if not any_value:
        for index, value in enumerate(values):
            errors.messages(f"{path}.values[{index}]", value, label_value(value))


def _field(errors: FieldErrors, requirement: Object, path: str) -> None:
    operator, values, key = (
        requirement.get("operator") or "",
        requirement.get("values") or [],
        requirement.get("key") or "",
    )
    if operator in ("In", "NotIn"):
        if len(values) != 1:
            why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.required(f"{path}.values", why)
    else:
        errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
    if key != "metadata.name":
        errors.invalid(f"{path}.key", key, "not a valid field selector key")
        return
    for index, value in enumerate(values):
        errors.messages(f"{path}.values[{index}]", value, names.dns1123_subdomain(value))
