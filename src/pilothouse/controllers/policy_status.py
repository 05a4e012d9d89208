"""What is wrong with the types in the expressions of a ValidatingAdmissionPolicy, told in its status for its author to see."""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import Object, get, split_key
from .plan import NOTHING, Controller, Plan, Source, Update, View

_RESOURCE = "validatingadmissionpolicies.admissionregistration.k8s.io"


class ValidatingAdmissionPolicyStatusController(Controller):
    name = "validatingadmissionpolicy-status"
    component = "validatingadmissionpolicy-status-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {_RESOURCE: _unless_checked}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        policy = view.of(_RESOURCE).get(*split_key(key))
        if policy is None or _is_checked(policy):
            return NOTHING
        from ..api.policies import type_warnings  # with CEL, which nobody needs before there is a policy

        warnings = type_warnings(policy)
        checking = {"expressionWarnings": warnings} if warnings else {}
        status = {**(policy.get("status") or {}), "observedGeneration": get(policy, "metadata.generation", 0)}
        return Plan([Update(_RESOURCE, {**policy, "status": {**status, "typeChecking": checking}}, "status")])


def _is_checked(policy: Object) -> bool:
    return bool(get(policy, "metadata.generation", 0) <= get(policy, "status.observedGeneration", 0))


def _unless_checked(old: Object | None, new: Object | None, view: View) -> list[str]:
    return [] if new is None or _is_checked(new) else [new["metadata"]["name"]]
