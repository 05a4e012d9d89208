"""Mutating and validating webhook configurations.

What an old configuration had wrong may stay wrong, but only all of it together: each leniency is for the whole object.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata
from .expressions import match_conditions
from .match_rules import FAILURE_POLICIES, MATCH_POLICIES, REINVOCATION, one_of, rule
from .services import full_domain_name
from .validator import kind
from .webhook_clients import client_config

_VERSIONS = ("v1", "v1beta1")
_HARMLESS = ("None", "NoneOnDryRun")
_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
_TIMEOUT_S_MAX = 30


def _all(old: Object | None, holds: Callable[[Object], bool]) -> bool:
    return old is None or all(holds(webhook) for webhook in old.get("webhooks") or ())


def _known_version(webhook: Object) -> bool:
    versions = webhook.get("admissionReviewVersions") or []
    return not versions or any(version in _VERSIONS for version in versions)


def _odd_selector(webhook: Object) -> bool:
    found = FieldErrors()
    for field in ("namespaceSelector", "objectSelector"):
        metadata.label_selector(found, webhook.get(field), "")
    return bool(found)


def _configuration(errors: FieldErrors, new: Object, old: Object | None) -> None:
    before = (old or {}).get("webhooks") or []
    known_names = [webhook.get("name") for webhook in before]
    unique = len(set(known_names)) == len(known_names)
    harmless = _all(old, lambda webhook: webhook.get("sideEffects") in _HARMLESS)
    versioned = _all(old, _known_version)
    any_value = any(map(_odd_selector, before))
    webhooks = new.get("webhooks") or []
    conditions = [webhook.get("matchConditions") for webhook in webhooks]
    same_conditions = old is not None and conditions == [webhook.get("matchConditions") for webhook in before]
    seen: set[str] = set()
    for index, webhook in enumerate(webhooks):
        at, name = f"webhooks[{index}]", webhook.get("name") or ""
        _webhook(errors, webhook, harmless, any_value, at)
        if not same_conditions:
            match_conditions(errors, webhook.get("matchConditions") or [], f"{at}.matchConditions")
        _versions(
            errors, webhook.get("admissionReviewVersions") or [], versioned, f"{at}.admissionReviewVersions"
        )
        if name and name in seen and unique:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)


def _webhook(errors: FieldErrors, webhook: Object, harmless: bool, any_value: bool, path: str) -> None:
    full_domain_name(errors, webhook.get("name") or "", f"{path}.name", 3)
    for index, each in enumerate(webhook.get("rules") or ()):
        rule(errors, each, f"{path}.rules[{index}]")
    one_of(errors, webhook.get("failurePolicy"), FAILURE_POLICIES, f"{path}.failurePolicy")
    one_of(errors, webhook.get("matchPolicy"), MATCH_POLICIES, f"{path}.matchPolicy")
    effects, allowed = webhook.get("sideEffects"), _HARMLESS if harmless else _SIDE_EFFECTS
    if effects is None:
        errors.required(f"{path}.sideEffects", f"must specify one of {', '.join(allowed)}")
    one_of(errors, effects, allowed, f"{path}.sideEffects")
    timeout = webhook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= _TIMEOUT_S_MAX:
        why = f"the timeout value must be between 1 and {_TIMEOUT_S_MAX} seconds"
        errors.invalid(f"{path}.timeoutSeconds", timeout, why)
    for field in ("namespaceSelector", "objectSelector"):
        metadata.label_selector(errors, webhook.get(field), f"{path}.{field}", any_value=any_value)
    one_of(errors, webhook.get("reinvocationPolicy"), REINVOCATION, f"{path}.reinvocationPolicy")
    client_config(errors, webhook.get("clientConfig") or {}, f"{path}.clientConfig")


def _versions(errors: FieldErrors, versions: list[str], versioned: bool, path: str) -> None:
    if not versions:
        errors.required(path, f"must specify one of {', '.join(_VERSIONS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            errors.messages(f"{path}[{index}]", version, names.dns1035_label(version))
    if versioned and not any(version in _VERSIONS for version in versions):
        errors.invalid(path, versions, f"must include at least one of {', '.join(_VERSIONS)}")


CONFIGURATION = kind(_configuration, "cb", cluster=True, known_finalizers=False)
