"""ReplicaSet and ReplicationController: as many pods as asked for, no more and no fewer.

One body for both, as upstream has it: they differ in their selector, their names, and one field of the status.
Order of business: adopt and release pods, make or delete the difference, then tell it in the status.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..api.errors import ApiError
from ..api.object import (
    Object,
    controller_of,
    get,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from ..client.informer import IndexFunction, by_controller
from . import pods as podlib
from .common import (
    Labels,
    claim,
    controllers_and_matching,
    find_condition,
    matches,
    matches_map,
    same,
    set_condition,
    with_status,
    without_empty,
)
from .plan import NOTHING, Action, Batch, Controller, Create, Delete, Plan, Source, Tell, Update, View, own

_BURST_MAX = 500  # pods made or deleted in one turn


@dataclass(frozen=True, slots=True)
class _Flavour:
    resource: str
    api_version: str
    kind: str
    group: str
    has_terminating: bool  # in the status

    def selects(self, owner: Object, labels: Labels) -> bool:
        selector = get(owner, "spec.selector")
        return matches(selector, labels) if self.group else matches_map(selector, labels)


class ReplicaSetController(Controller):
    name = "replicaset"
    component = "replicaset-controller"
    flavour = _Flavour("replicasets.apps", "apps/v1", "ReplicaSet", "apps", True)

    @property
    def sources(self) -> Mapping[str, Source]:
        flavour = self.flavour
        of_pod = controllers_and_matching(flavour.kind, flavour.group, flavour.resource, flavour.selects)
        return {flavour.resource: own, "pods": of_pod}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"pods": {"controller": by_controller}, self.flavour.resource: {"controller": by_controller}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        flavour = self.flavour
        namespace, name = split_key(key)
        owner = view.of(flavour.resource).get(namespace, name)
        if owner is None:
            return NOTHING
        pods = view.of("pods")
        mine = pods.by_index("controller", uid_of(owner))
        orphans = pods.by_index("controller", f"orphans/{namespace}")
        active, actions = claim(
            owner,
            flavour.api_version,
            flavour.kind,
            flavour.resource,
            "pods",
            [p for p in (*mine, *orphans) if podlib.is_active(p)],
            lambda labels: flavour.selects(owner, labels),
        )
        terminating = [p for p in mine if podlib.is_terminating(p)]
        difference = len(active) - get(owner, "spec.replicas", 1)
        if not is_deleting(owner):
            if difference < 0:
                actions.append(self._more(owner, -difference))
            elif difference > 0:
                actions.append(self._fewer(owner, active, difference, view, now))

        def tell(errors: list[ApiError]) -> list[Action]:
            status = self._status(owner, active, terminating, errors, difference, now)
            current = owner.get("status") or {}
            if same(status, current) and get(owner, "metadata.generation") == current.get(
                "observedGeneration"
            ):
                return []
            return [Update(flavour.resource, with_status(owner, status), "status")]

        return Plan(actions, _next_available_s(owner, active, now), tell)

    def _more(self, owner: Object, count: int) -> Batch:
        flavour = self.flavour
        pod = podlib.from_template(get(owner, "spec.template", {}), owner, flavour.api_version, flavour.kind)
        tell = Tell(
            owner, ("SuccessfulCreate", "Created pod: {name}"), ("FailedCreate", "Error creating: {error}")
        )
        return Batch((Create("pods", pod, tell),) * min(count, _BURST_MAX), slow_start=True)

    def _fewer(self, owner: Object, active: list[Object], count: int, view: View, now: float) -> Batch:
        tell = Tell(
            owner, ("SuccessfulDelete", "Deleted pod: {name}"), ("FailedDelete", "Error deleting: {error}")
        )
        chosen = active
        if count < len(active):
            chosen = podlib.deletion_order(active, self._ranks(owner, active, view), now)[:count]
        return Batch(
            tuple(
                Delete("pods", namespace_of(p), name_of(p), uid_of(p), tell=tell) for p in chosen[:_BURST_MAX]
            )
        )

    def _ranks(self, owner: Object, active: list[Object], view: View) -> dict[str, int]:
        """How many active pods of the same family (all ReplicaSets of one Deployment) are on each pod's node."""
        family = [owner]
        reference = controller_of(owner)
        if reference is not None:
            family = view.of(self.flavour.resource).by_index("controller", reference["uid"]) or [owner]
        kin = [
            p
            for member in family
            for p in view.of("pods").by_index("controller", uid_of(member))
            if podlib.is_active(p)
        ]
        per_node = Counter(get(p, "spec.nodeName") for p in kin if get(p, "spec.nodeName"))
        return {uid_of(p): per_node[get(p, "spec.nodeName")] for p in active}

    def _status(
        self,
        owner: Object,
        active: list[Object],
        terminating: list[Object],
        errors: list[ApiError],
        difference: int,
        now: float,
    ) -> Object:
        wanted_labels = get(owner, "spec.template.metadata.labels", {})
        min_ready_s = get(owner, "spec.minReadySeconds", 0)
        old = owner.get("status") or {}
        conditions = list(old.get("conditions") or [])
        failed = find_condition(conditions, "ReplicaFailure")
        if errors and difference and failed is None:
            reason = "FailedCreate" if difference < 0 else "FailedDelete"
            conditions = set_condition(
                conditions, "ReplicaFailure", "True", reason, errors[0].message, now, compare=("status",)
            )
        elif not errors and failed is not None:
            conditions.remove(failed)
        status = {
            "replicas": len(active),
            "fullyLabeledReplicas": sum(
                all(labels_of(p).get(k) == v for k, v in wanted_labels.items()) for p in active
            ),
            "readyReplicas": sum(podlib.is_ready(p) for p in active),
            "availableReplicas": sum(podlib.is_available(p, min_ready_s, now) for p in active),
            "observedGeneration": get(owner, "metadata.generation", 0),
            "conditions": conditions,
        }
        if self.flavour.has_terminating:
            status["terminatingReplicas"] = len(terminating)
        return without_empty(status, keep=("replicas", "terminatingReplicas"))


def _next_available_s(owner: Object, active: list[Object], now: float) -> float | None:
    min_ready_s = get(owner, "spec.minReadySeconds", 0)
    if not min_ready_s:
        return None
    return min((s for p in active if (s := podlib.available_in_s(p, min_ready_s, now))), default=None)


class ReplicationControllerController(ReplicaSetController):
    name = "replicationcontroller"
    component = "replication-controller"
    flavour = _Flavour("replicationcontrollers", "v1", "ReplicationController", "", False)
