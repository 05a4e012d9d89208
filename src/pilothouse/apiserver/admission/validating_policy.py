"""ValidatingAdmissionPolicy: refuses, warns or notes, by expressions of the cluster's own (KEP-3488)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from ...api.errors import ApiError, Cause, forbidden
from . import Environment, Plugin
from .policy_hooks import Binding, Hook, Hooks, Misconfigured, attributes_for

if TYPE_CHECKING:
    from ...api.policies import Policy, Validation
    from ..registry.operation import Operation
    from .expressions import Scope

Failure = tuple[str, str, int]  # message, reason, which expression

_CODES = {"Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413, "Unauthorized": 401}
_MESSAGE_BYTES_MAX = 5 * 1024


class ValidatingAdmissionPolicy(Plugin):
    name = "ValidatingAdmissionPolicy"
    configured_by = "validatingadmissionpolicies.admissionregistration.k8s.io"

    def __init__(self) -> None:
        self._hooks = Hooks("validatingadmissionpolicies", "validatingadmissionpolicybindings")

    def validate(self, op: Operation, env: Environment) -> None:
        attributes = attributes_for(op, env, self._hooks.current(env))
        if attributes is None:
            return
        from .expressions import Scope

        denied: tuple[str, str] | None = None  # only the first is told
        for each in self._hooks.concerning(attributes, env):
            if isinstance(each, Misconfigured):
                if not each.hook.ignores_errors and denied is None:
                    denied = (
                        _who(each.hook.name, each.binding.name if each.binding else "", str(each)),
                        "Invalid",
                    )
                continue
            hook, binding, kind, params = each
            assert hook.policy is not None
            for param in params:
                scope = Scope(attributes, kind, env, param)
                failures, annotations = _evaluated(hook.policy, scope)
                for key, value in annotations:
                    op.annotations.setdefault(f"{hook.name}/{key}", value)
                actions = binding.spec.get("validationActions") or ()
                if failures and "Audit" in actions:
                    _note(op, hook, binding, failures)
                for message, reason, _ in failures:
                    if "Deny" in actions and denied is None:
                        denied = (_who(hook.name, binding.name, message), reason)
                    if "Warn" in actions:
                        which = f"ValidatingAdmissionPolicy '{hook.name}' with binding '{binding.name}'"
                        op.warn(f"Validation failed for {which}: {message}")
        if denied is not None:
            text, reason = denied
            kind = attributes.kind
            refusal = forbidden(kind.plural, kind.group, attributes.shown_name, text)
            error = ApiError(
                _CODES.get(reason, 422),
                reason,
                refusal.message,
                kind=refusal.kind,
                group=refusal.group,
                name=refusal.name,
            )
            error.causes = [Cause("", text, "")]
            raise error


def _who(policy: str, binding: str, message: str) -> str:
    bound = f" with binding '{binding}'" if binding else ""
    return f"ValidatingAdmissionPolicy '{policy}'{bound} denied request: {message}"


def _note(op: Operation, hook: Hook, binding: Binding, failures: list[Failure]) -> None:
    """`validationActions: [Audit]`: the failures go to the audit log."""
    key = "validation.policy.admission.k8s.io/validation_failure"
    noted = orjson.loads(op.annotations.get(key) or "[]")
    for message, _, index in failures:
        said = {"message": message, "policy": hook.name, "binding": binding.name, "expressionIndex": index}
        noted.append({**said, "validationActions": binding.spec.get("validationActions")})
    op.annotations[key] = orjson.dumps(noted).decode()


def _evaluated(policy: Policy, scope: Scope) -> tuple[list[Failure], list[tuple[str, str]]]:
    """What does not hold, and annotations for the audit log."""
    from ...api.cel import CelError
    from .expressions import RUN_COST_MAX, OutOfBudget, conditions_hold

    try:
        if not conditions_hold(policy.conditions, scope, policy.ignores_errors):
            return [], []
    except CelError as error:
        return [(str(error), "Invalid", 0)], []
    scope.with_variables(policy.variables)
    found: list[Failure] = []
    held: list[bool] = []
    for index, validation in enumerate(policy.validations):
        try:
            held.append(scope.evaluate(validation.program) is True)
        except OutOfBudget as error:
            return _undecided(policy, str(error)), []
        except CelError as error:
            held.append(True)
            found += _undecided(policy, str(error), index)
    failed = {index for _, _, index in found}
    try:
        found += _refused(policy, scope, held)
    except OutOfBudget as error:
        for index in range(len(held)):
            if index not in failed:
                found += _undecided(policy, f"failed messageExpression: {error}", index)
    found.sort(key=lambda failure: failure[2])
    scope.remaining = RUN_COST_MAX
    scope.with_variables(policy.variables)
    annotations = []
    for key, program in policy.annotations:
        try:
            value = scope.evaluate(program)
            if isinstance(value, str) and value.strip():
                annotations.append((key, value.strip()))
        except OutOfBudget as error:
            return _undecided(policy, str(error)), []
        except CelError as error:
            found += _undecided(policy, str(error))
    return found, annotations


def _undecided(policy: Policy, why: str, index: int = 0) -> list[Failure]:
    return [] if policy.ignores_errors else [(why, "Invalid", index)]


def _refused(policy: Policy, scope: Scope, held: list[bool]) -> list[Failure]:
    """What does not hold, with its message. Kubernetes makes the messages of what holds, too: they count where there is little left."""
    from ...api.cel.runtime import PER_CALL_MAX

    scope.with_variables(policy.variables)
    calls = len(policy.variables) + sum(each.message is not None for each in policy.validations)
    scarce = scope.remaining < PER_CALL_MAX * calls
    found = []
    for index, validation in enumerate(policy.validations):
        message = _message(validation, scope) if scarce or not held[index] else ""
        if not held[index]:
            found.append((message, validation.source.get("reason") or "Invalid", index))
    return found


def _message(validation: Validation, scope: Scope) -> str:
    from ...api.cel import CelError
    from .expressions import OutOfBudget

    if validation.message is not None:
        try:
            text = scope.evaluate(validation.message)
        except OutOfBudget:
            raise
        except CelError:
            text = ""  # Kubernetes only logs it
        text = text.strip() if isinstance(text, str) else ""
        if text and "\n" not in text and len(text.encode()) <= _MESSAGE_BYTES_MAX:
            return text
    source = validation.source
    return (source.get("message") or "").strip() or f"failed expression: {source['expression'].strip()}"
