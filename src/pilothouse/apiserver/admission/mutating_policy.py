"""MutatingAdmissionPolicy: changes objects by expressions of the cluster's own (KEP-3962).

A mutation is an apply configuration, merged as a server-side apply would (but nobody owns the fields), or a JSON patch. Afterwards the object
is checked against its type, and has its defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...api import merge as merging
from ...api.crd.shaping import copied
from ...api.errors import ApiError, Cause
from ...api.kinds import Kind
from ...api.merge_types import LEAF, LIST, Shape, resolved
from ...api.object import Object
from ...api.patch import PatchFailed, patched
from ..registry.ownership import versions_of
from . import Environment, Plugin
from .attributes import Attributes
from .mutations import MutationError, check_fields, replace_object
from .policy_hooks import Binding, Hook, Hooks, Misconfigured, attributes_for

if TYPE_CHECKING:
    from ...api.policies import Mutation
    from ..registry.operation import Operation


class MutatingAdmissionPolicy(Plugin):
    name = "MutatingAdmissionPolicy"
    configured_by = "mutatingadmissionpolicies.admissionregistration.k8s.io"

    def __init__(self) -> None:
        self._hooks = Hooks("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")

    def admit(self, op: Operation, env: Environment) -> None:
        if op.verb not in ("CREATE", "UPDATE") or op.object is None:
            return
        attributes = attributes_for(op, env, self._hooks.current(env))
        if attributes is None:
            return
        for each in self._hooks.concerning(attributes, env):
            if isinstance(each, Misconfigured):
                if not each.hook.ignores_errors:
                    raise _denied(attributes, each.hook.name, each.binding, str(each), "Forbidden")
                continue
            hook, binding, kind, params = each
            for param in params:
                self._invoke(hook, binding, kind, param, attributes, env)

    def _invoke(
        self,
        hook: Hook,
        binding: Binding,
        kind: Kind,
        param: Object | None,
        attributes: Attributes,
        env: Environment,
    ) -> None:
        from ...api.cel import CelError
        from .expressions import Scope, conditions_hold

        policy, op = hook.policy, attributes.op
        assert policy is not None
        key = ("policy", hook.name, binding.name, str(((param or {}).get("metadata") or {}).get("uid")))
        if not op.reinvocation.allows(key, policy.spec.get("reinvocationPolicy") == "IfNeeded", op.object):
            return
        try:
            if not conditions_hold(
                policy.conditions, Scope(attributes, kind, env, param), policy.ignores_errors
            ):
                return
        except CelError as error:
            raise _denied(attributes, hook.name, binding, str(error), "Invalid")
        changed = False
        for mutation in policy.mutations:
            scope = Scope(attributes, kind, env, param)
            scope.with_variables(policy.variables)
            try:
                current, _ = attributes.objects(kind)
                assert current is not None
                new = _mutated(mutation, scope.evaluate(mutation.program), kind, current)
                if new is not current and new != current:
                    replace_object(op, kind, new)
                    attributes.changed()
                    changed = True
            except (CelError, MutationError) as error:
                if not policy.ignores_errors:
                    raise _denied(attributes, hook.name, binding, str(error), "Invalid")
        assert op.object is not None
        op.reinvocation.done(key, op.object, changed)


def _denied(
    attributes: Attributes, policy: str, binding: Binding | None, message: str, reason: str
) -> ApiError:
    bound = f" with binding '{binding.name}'" if binding is not None else ""
    text = f"policy '{policy}'{bound} denied request: {message}"
    kind = attributes.kind
    return ApiError(
        403,
        reason,
        text,
        kind=kind.plural,
        group=kind.group,
        name=attributes.shown_name,
        causes=[Cause("", text, "")],
    )


def _mutated(mutation: Mutation, value: Any, kind: Kind, current: Object) -> Object:
    from ...api.policies import to_json, type_mismatch

    for each in [operation.get("value") for operation in value] if mutation.json_patch else [value]:
        if wrong := type_mismatch(each):
            raise MutationError(f"type mismatch: {wrong}")
    made = to_json(value)
    if mutation.json_patch:
        try:
            operations = [{"op": "", "path": "", **operation} for operation in made]
            result = dict(patched(copied(current), operations))
        except PatchFailed as error:
            if error.tested:
                return current  # the patch is not for this one
            raise MutationError(f"JSON Patch: {error}") from None
        check_fields(kind, result)
        return result
    shape = versions_of(kind).shape(kind.api_version)
    assert shape is not None
    try:
        merging.check(shape, made)
    except merging.Mismatch as error:
        why = f"failed to convert patch object to typed object: {error}"
        raise MutationError(f"error applying patch: {why}") from None
    if atomic := _atomic(shape, made, ""):
        why = f"may not mutate atomic arrays, maps or structs: {', '.join(atomic)}"
        raise MutationError(f"error applying patch: invalid ApplyConfiguration: {why}")
    merged: Object = merging.merge(shape, current, made)
    return merged


def _atomic(shape: Shape, value: Any, path: str) -> list[str]:
    """Where a configuration reaches into what only goes as a whole."""
    shape = resolved(shape, value)
    if shape.kind == LEAF or not isinstance(value, (dict, list)):
        return []
    found = [path] if shape.atomic else []
    if isinstance(value, dict):
        for name, inner in value.items():
            below = shape.of(name)
            if below is not None:
                found += _atomic(below, inner, f"{path}.{name}")
    elif shape.kind == LIST and shape.element is not None:
        for index, inner in enumerate(value):
            found += _atomic(shape.element, inner, f"{path}[{index}]")
    return found
