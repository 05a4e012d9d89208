"""ClusterRoles that are made of others: the rules of every ClusterRole that their `aggregationRule` selects."""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import Object, get, labels_of, name_of, split_key
from .common import matches
from .plan import NOTHING, Controller, Plan, Source, Update, View

_RESOURCE = "clusterroles.rbac.authorization.k8s.io"


class ClusterRoleAggregationController(Controller):
    name = "clusterrole-aggregation"
    component = "clusterrole-aggregation-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {_RESOURCE: _all_aggregates}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        role = view.of(_RESOURCE).get(*split_key(key))
        if role is None or role.get("aggregationRule") is None:
            return NOTHING
        selectors = get(role, "aggregationRule.clusterRoleSelectors", [])
        rules: list[Object] = []
        for other in sorted(view.of(_RESOURCE).list(), key=name_of):
            if other is role or not any(matches(s, labels_of(other)) for s in selectors):
                continue
            rules += [rule for rule in other.get("rules") or [] if rule not in rules]
        if rules == (role.get("rules") or []):
            return NOTHING
        return Plan([Update(_RESOURCE, {**role, "rules": rules})])


def _all_aggregates(old: Object | None, new: Object | None, view: View) -> list[str]:
    if old is not None and new is not None and _facts(old) == _facts(new):
        return []
    return [name_of(r) for r in view.of(_RESOURCE).list() if r.get("aggregationRule") is not None]


def _facts(role: Object) -> tuple[object, ...]:
    return labels_of(role), role.get("rules"), role.get("aggregationRule")
