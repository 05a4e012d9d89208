"""StatefulSet: pods with a name, a place in a row, and claims of their own that outlive them.

A turn walks the row as upstream does: make what is missing from the front, take away what is too much from the back, then
bring old pods to the new template from the back. With `OrderedReady` the walk stops wherever something is not finished;
with `Parallel` it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.errors import ApiError
from ..api.object import (
    Object,
    annotations_of,
    controller_of,
    get,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from ..client.informer import IndexFunction, by_controller
from . import history
from . import pods as podlib
from .common import (
    claim,
    controllers_and_matching,
    matches,
    same,
    scaled_value,
    selects_everything,
    with_metadata,
    with_status,
)
from .plan import (
    NOTHING,
    Action,
    Controller,
    Create,
    Delete,
    Event,
    Patch,
    Plan,
    Source,
    Tell,
    Update,
    View,
    own,
)

_REVISION = "controller-revision-hash"
_POD_NAME = "statefulset.kubernetes.io/pod-name"
_POD_INDEX = "apps.kubernetes.io/pod-index"
_CLAIMS = "persistentvolumeclaims"


class StatefulSetController(Controller):
    name = "statefulset"
    component = "statefulset-controller"
    extra_resources = (_CLAIMS,)

    @property
    def sources(self) -> Mapping[str, Source]:
        def selects(owner: Object, labels: dict[str, str]) -> bool:
            return matches(get(owner, "spec.selector"), labels)

        dependents = controllers_and_matching("StatefulSet", "apps", "statefulsets.apps", selects)
        return {"statefulsets.apps": own, "pods": dependents, history.RESOURCE: dependents}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        controller = {"controller": by_controller}
        return {"pods": controller, history.RESOURCE: controller}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace, name = split_key(key)
        stateful_set = view.of("statefulsets.apps").get(namespace, name)
        if stateful_set is None:
            return NOTHING
        selector = get(stateful_set, "spec.selector")
        if selects_everything(selector):
            message = "This stateful set is selecting all pods. A non-empty selector is required."
            return Plan([Event(stateful_set, "Warning", "SelectingAll", message)])

        def mine(resource: str, is_member: Any) -> tuple[list[Object], list[Action]]:
            found = view.of(resource)
            orphans = [o for o in found.by_index("controller", f"orphans/{namespace}") if is_member(o)]
            return claim(
                stateful_set,
                "apps/v1",
                "StatefulSet",
                "statefulsets.apps",
                resource,
                [*found.by_index("controller", uid_of(stateful_set)), *orphans],
                lambda labels: matches(selector, labels),
            )

        pods, claims = mine("pods", lambda pod: ordinal_of(name_of(pod), name) is not None)
        revisions, more_claims = mine(history.RESOURCE, lambda _: True)
        if claims or more_claims:
            return Plan([*claims, *more_claims])
        return _Turn(stateful_set, pods, revisions, view, now).plan()


def ordinal_of(pod_name: str, set_name: str) -> int | None:
    parent, _, ordinal = pod_name.rpartition("-")
    return int(ordinal) if parent == set_name and ordinal.isdigit() else None


class _Turn:
    def __init__(
        self, stateful_set: Object, pods: list[Object], revisions: list[Object], view: View, now: float
    ):
        self.set, self.view, self.now = stateful_set, view, now
        self.spec = stateful_set["spec"]
        self.before: Object = stateful_set.get("status") or {}
        self.pods = pods
        self.revisions = revisions
        self.wanted = int(self.spec.get("replicas", 1))
        self.start = int(get(self.spec, "ordinals.start", 0))
        self.min_ready_s = int(self.spec.get("minReadySeconds", 0))
        self.ordered: bool = self.spec.get("podManagementPolicy", "OrderedReady") != "Parallel"
        self.strategy = get(self.spec, "updateStrategy.type", "RollingUpdate")
        self.partition = int(get(self.spec, "updateStrategy.rollingUpdate.partition", 0))
        self.update = history.current_revision(
            stateful_set,
            "apps/v1",
            "StatefulSet",
            revisions,
            taken=[name_of(r) for r in view.of(history.RESOURCE).list(namespace_of(stateful_set))],
            hash_label="controller.kubernetes.io/hash",
            annotations=dict(annotations_of(stateful_set)),
            collision_count=int(self.before.get("collisionCount") or 0),
        )
        by_name = {name_of(r): r for r in revisions}
        self.current = by_name.get(self.before.get("currentRevision", ""), self.update.revision)
        self.actions: list[Action] = list(self.update.actions)
        self.rolled = 0  # pods that this turn deletes because they are old
        self.requeue_s: float | None = None

    def plan(self) -> Plan:
        if not is_deleting(self.set):
            self._walk()
            live = {name_of(self.current), name_of(self.update.revision)}
            live |= {_revision(pod) for pod in self.pods}
            if not self.update.actions:
                self.actions += history.truncate(self.revisions, live, self.spec.get("revisionHistoryLimit"))

        def tell(errors: list[ApiError]) -> list[Action]:
            status = self._status()
            if same(status, self.before):
                return []
            return [Update("statefulsets.apps", with_status(self.set, status), "status")]

        return Plan(self.actions, self.requeue_s, tell)

    # -- the walk --------------------------------------------------------------------------------------------------

    def _walk(self) -> None:
        row: list[Object | None] = [None] * self.wanted
        condemned: list[Object] = []
        for pod in self.pods:
            ordinal = ordinal_of(name_of(pod), name_of(self.set))
            if ordinal is None:
                continue
            if self.start <= ordinal < self.start + self.wanted:
                row[ordinal - self.start] = pod
            else:
                condemned.append(pod)
        condemned.sort(key=lambda p: -(ordinal_of(name_of(p), name_of(self.set)) or 0))
        for place, member in enumerate(row):
            if self._see_to(place + self.start, member):
                return
        for pod in condemned:  # before it goes, its claims are told whose they are
            self._retention(pod)
        first_unhealthy = next(
            (p for p in [*row, *reversed(condemned)] if p is not None and not self._is_healthy(p)), None
        )
        for pod in condemned:
            if self._condemn(pod, first_unhealthy):
                return
        if self.strategy == "RollingUpdate":
            self._roll(row)

    def _see_to(self, ordinal: int, pod: Object | None) -> bool:
        """Makes the pod, or makes it right. True: stop here for now."""
        if pod is None:
            return self._make(ordinal)
        if podlib.is_terminal(pod):
            if not is_deleting(pod):
                self._delete(pod)
            return True
        if podlib.phase(pod) == "Pending":
            self._claims_for(pod, ordinal)
        if self.ordered:
            if is_deleting(pod) or not self._is_running_and_ready(pod):
                return True
            if not self._is_available(pod):
                return True
        elif not is_deleting(pod):
            self._is_available(pod)  # asks to be called again when it becomes so
        self._repair(pod, ordinal)
        return False

    def _condemn(self, pod: Object, first_unhealthy: Object | None) -> bool:
        if is_deleting(pod):
            return self.ordered
        if self.ordered and pod is not first_unhealthy and not self._is_healthy(pod):
            return True
        self._delete(pod)
        return self.ordered

    def _roll(self, row: list[Object | None]) -> None:
        """From the back, as many at a time as may be unavailable; an unhealthy pod stops it."""
        update = name_of(self.update.revision)
        value = get(self.spec, "updateStrategy.rollingUpdate.maxUnavailable")
        allowed = 1 if value is None else max(1, scaled_value(value, self.wanted, round_up=True))
        unavailable = sum(1 for pod in row if pod is None or not self._is_healthy(pod))
        for pod in reversed(row[self.partition :]):
            if pod is None:
                return
            healthy = self._is_healthy(pod)
            if _revision(pod) != update and not is_deleting(pod):
                if value is not None and healthy and unavailable >= allowed:
                    return
                self._delete(pod)
                self.rolled += 1
                unavailable += healthy
                if value is None:
                    return
            elif not healthy and (value is None or unavailable >= allowed):
                return

    # -- pods ------------------------------------------------------------------------------------------------------

    def _make(self, ordinal: int) -> bool:
        revision = self._revision_for(ordinal)
        pod = self._pod(ordinal, revision)
        stale = False
        for wanted in self._claims(pod, ordinal):
            claim_ = self.view.of(_CLAIMS).get(namespace_of(self.set), name_of(wanted))
            if claim_ is not None and is_deleting(claim_):
                stale = True  # it must be gone before a pod may use a new one of that name
        if stale:
            self.requeue_s = 1.0
            return True
        self._claims_for(pod, ordinal, before_it=True)
        subject = f"Pod {name_of(pod)} in StatefulSet {name_of(self.set)}"
        tell = Tell(
            self.set,
            ("SuccessfulCreate", f"Create {subject} successful"),
            ("FailedCreate", f"Create {subject} failed error: {{error}}"),
        )
        self.actions.append(Create("pods", pod, tell))
        return self.ordered

    def _revision_for(self, ordinal: int) -> Object:
        """Below the partition a pod comes back as it was."""
        if self.strategy == "RollingUpdate":
            if get(self.spec, "updateStrategy.rollingUpdate") is None:
                if ordinal < self.start + int(self.before.get("currentReplicas", 0)):
                    return self.current
            elif ordinal < self.start + self.partition:
                return self.current
        return self.update.revision

    def _pod(self, ordinal: int, revision: Object) -> Object:
        template = history.template_of(revision)
        pod = podlib.from_template(template, self.set, "apps/v1", "StatefulSet")
        name = f"{name_of(self.set)}-{ordinal}"
        pod["metadata"]["name"] = name
        labels = pod["metadata"].setdefault("labels", {})
        labels.update({_REVISION: name_of(revision), _POD_NAME: name, _POD_INDEX: str(ordinal)})
        spec = pod["spec"]
        spec["hostname"] = name
        if self.spec.get("serviceName"):
            spec["subdomain"] = self.spec["serviceName"]
        templates = self.spec.get("volumeClaimTemplates") or []
        if templates:
            mine = {t["metadata"]["name"] for t in templates}
            volumes = [
                {
                    "name": t["metadata"]["name"],
                    "persistentVolumeClaim": {"claimName": f"{t['metadata']['name']}-{name}"},
                }
                for t in templates
            ]
            spec["volumes"] = volumes + [v for v in spec.get("volumes") or [] if v["name"] not in mine]
        return pod

    def _repair(self, pod: Object, ordinal: int) -> None:
        """An adopted pod gets the labels that say who it is; claims follow the retention policy."""
        is_named = labels_of(pod).get(_POD_NAME) == name_of(pod)
        if not is_named:
            labels = {_POD_NAME: name_of(pod), _POD_INDEX: str(ordinal)}
            self.actions.append(
                Patch("pods", namespace_of(pod), name_of(pod), {"metadata": {"labels": labels}})
            )
        if self._retention(pod) or not is_named:
            message = f"Update Pod {name_of(pod)} in StatefulSet {name_of(self.set)} successful"
            self.actions.append(Event(self.set, "Normal", "SuccessfulUpdate", message))

    def _delete(self, pod: Object) -> None:
        subject = f"Pod {name_of(pod)} in StatefulSet {name_of(self.set)}"
        tell = Tell(
            self.set,
            ("SuccessfulDelete", f"Delete {subject} successful"),
            ("FailedDelete", f"Delete {subject} failed error: {{error}}"),
        )
        self.actions.append(Delete("pods", namespace_of(pod), name_of(pod), uid_of(pod), tell=tell))

    def _is_running_and_ready(self, pod: Object) -> bool:
        return podlib.phase(pod) == "Running" and podlib.is_ready(pod)

    def _is_healthy(self, pod: Object) -> bool:
        return self._is_running_and_ready(pod) and not is_deleting(pod) and self._is_available(pod)

    def _is_available(self, pod: Object) -> bool:
        wait_s = podlib.available_in_s(pod, self.min_ready_s, self.now)
        if wait_s:
            self.requeue_s = wait_s if self.requeue_s is None else min(self.requeue_s, wait_s)
        return wait_s == 0

    # -- claims ----------------------------------------------------------------------------------------------------

    def _claims(self, pod: Object, ordinal: int) -> list[Object]:
        labels = get(self.spec, "selector.matchLabels", {})
        claims = []
        for template in self.spec.get("volumeClaimTemplates") or []:
            metadata = template["metadata"]
            made: Object = {
                "name": f"{metadata['name']}-{name_of(pod)}",
                "namespace": namespace_of(self.set),
                "labels": {**(metadata.get("labels") or {}), **labels},
            }
            if metadata.get("annotations"):
                made["annotations"] = dict(metadata["annotations"])
            owners = self._claim_owners(pod, ordinal)
            if owners:
                made["ownerReferences"] = owners
            claims.append(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": made,
                    "spec": template["spec"],
                }
            )
        return claims

    def _policy(self, when: str) -> str:
        return str(get(self.spec, f"persistentVolumeClaimRetentionPolicy.{when}", "Retain"))

    def _claim_owners(self, pod: Object, ordinal: int) -> list[Object]:
        """KEP-1847: the set owns claims that go with it; a pod that is scaled away takes its claims along."""
        condemned = not self.start <= ordinal < self.start + self.wanted
        if condemned and self._policy("whenScaled") == "Delete" and uid_of(pod):
            return [owner_reference(pod, "v1", "Pod")]
        if self._policy("whenDeleted") == "Delete":
            return [owner_reference(self.set, "apps/v1", "StatefulSet")]
        return []

    def _claims_for(self, pod: Object, ordinal: int, *, before_it: bool = False) -> None:
        for claim_ in self._claims(pod, ordinal):
            if self.view.of(_CLAIMS).get(namespace_of(self.set), name_of(claim_)) is not None:
                continue
            subject = f"Pod {name_of(pod)} in StatefulSet {name_of(self.set)}"
            tell = Tell(
                self.set,
                ("SuccessfulCreate", f"Create Claim {name_of(claim_)} {subject} success"),
                ("FailedCreate", f"Create Claim {name_of(claim_)} for {subject} failed error: {{error}}"),
                (
                    "FailedCreate",
                    f"Create {subject} failed error: failed to create PVC {name_of(claim_)}: {{error}}",
                )
                if before_it
                else None,
            )
            self.actions.append(Create(_CLAIMS, claim_, tell))

    def _retention(self, pod: Object) -> bool:
        """Whether a claim of the pod has to get other owners."""
        ordinal, changed = ordinal_of(name_of(pod), name_of(self.set)) or 0, False
        owners = self._claim_owners(pod, ordinal)
        ours = {uid_of(self.set), uid_of(pod)}
        for wanted in self._claims(pod, ordinal):
            claim_ = self.view.of(_CLAIMS).get(namespace_of(self.set), name_of(wanted))
            if claim_ is None:
                continue
            references = claim_["metadata"].get("ownerReferences") or []
            others = [r for r in references if r["uid"] not in ours]
            foreign = controller_of(claim_)
            if foreign is not None and foreign["uid"] not in ours:
                continue  # somebody else's by now
            fresh = [*others, *owners]
            if fresh != references:
                owned = with_metadata(claim_, ownerReferences=fresh)
                self.actions.append(Update(_CLAIMS, owned, ignore=("NotFound",)))
                changed = True
        return changed

    # -- status ----------------------------------------------------------------------------------------------------

    def _status(self) -> Object:
        """Of the pods as they were seen: what this turn made or deleted shows when the next one sees it."""
        current, update = name_of(self.current), name_of(self.update.revision)
        revisions = [_revision(p) for p in self.pods if not is_deleting(p)]
        ready = [p for p in self.pods if self._is_running_and_ready(p)]
        status: Object = {
            "replicas": len(self.pods),
            "availableReplicas": sum(self._is_available(p) for p in ready),
            "collisionCount": self.update.collision_count,
            "observedGeneration": get(self.set, "metadata.generation", 0),
        }
        counts = {
            "readyReplicas": len(ready),
            "currentReplicas": revisions.count(current) - self.rolled,
            "updatedReplicas": revisions.count(update),
        }
        finished = self.strategy == "RollingUpdate" and all(
            n == self.wanted for n in (counts["updatedReplicas"], status["replicas"], counts["readyReplicas"])
        )
        if finished:
            counts["currentReplicas"], current = counts["updatedReplicas"], update
        status.update({k: v for k, v in counts.items() if v})
        status["currentRevision"], status["updateRevision"] = current, update
        if self.before.get("conditions"):
            status["conditions"] = self.before["conditions"]
        return status


def _revision(pod: Object) -> str:
    return labels_of(pod).get(_REVISION, "")
