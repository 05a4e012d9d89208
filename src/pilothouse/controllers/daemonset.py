"""DaemonSet: one pod on each node that fits, bound there by the scheduler through a node affinity on the node's name.

Order of business: which nodes should have a pod and which pods are wrong (`_manage`); then, if the template changed, replace
old pods within maxUnavailable or maxSurge; then history and status.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..api.errors import ApiError
from ..api.node_selector import names_wanted, node_matches
from ..api.object import (
    Object,
    annotations_of,
    get,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from ..api.tolerations import tolerates
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
    with_status,
)
from .plan import (
    NOTHING,
    Action,
    Batch,
    Controller,
    Create,
    Delete,
    Environment,
    Event,
    Plan,
    Source,
    Tell,
    Update,
    View,
    own,
)

_HASH = "controller-revision-hash"
_GENERATION = "pod-template-generation"
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_BURST_MAX = 250
_RETRY_FIRST_S, _RETRY_MAX_S, _RETRIES_KEPT = 1.0, 900.0, 4096

# what every daemon pod tolerates, since it must run where others may not (docs: "Taints and tolerations")
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_TOLERATED_ON_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


class DaemonSetController(Controller):
    name = "daemonset"
    component = "daemonset-controller"
    account = "daemon-set-controller"

    def __init__(self, env: Environment):
        super().__init__(env)
        # how often the pod of a node failed: the one thing that the cluster does not remember for us
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def sources(self) -> Mapping[str, Source]:
        def selects(owner: Object, labels: dict[str, str]) -> bool:
            return matches(get(owner, "spec.selector"), labels)

        dependents = controllers_and_matching("DaemonSet", "apps", "daemonsets.apps", selects)
        return {
            "daemonsets.apps": own,
            "pods": dependents,
            history.RESOURCE: dependents,
            "nodes": _node_changed,
        }

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        controller = {"controller": by_controller}
        return {"pods": controller, history.RESOURCE: controller}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace, _ = split_key(key)
        daemon_set = view.of("daemonsets.apps").get(*split_key(key))
        if daemon_set is None or is_deleting(daemon_set):
            return NOTHING
        selector = get(daemon_set, "spec.selector")
        if selects_everything(selector):
            message = "This daemon set is selecting all pods. A non-empty selector is required."
            return Plan([Event(daemon_set, "Warning", "SelectingAll", message)])

        def mine(resource: str) -> tuple[list[Object], list[Action]]:
            found = view.of(resource)
            return claim(
                daemon_set,
                "apps/v1",
                "DaemonSet",
                "daemonsets.apps",
                resource,
                [
                    *found.by_index("controller", uid_of(daemon_set)),
                    *found.by_index("controller", f"orphans/{namespace}"),
                ],
                lambda labels: matches(selector, labels),
            )

        pods, claims = mine("pods")
        revisions, more_claims = mine(history.RESOURCE)
        if claims or more_claims:
            return Plan([*claims, *more_claims])
        turn = _Turn(daemon_set, pods, revisions, view, now, self._failures)
        return turn.plan()


def _node_changed(old: Object | None, new: Object | None, view: View) -> list[str]:
    """Every DaemonSet may want it, or not want it any more; not for a heartbeat, nor for one that goes: its pods go too."""
    if new is None or old is not None and _node_facts(old) == _node_facts(new):
        return []
    return [f"{namespace_of(ds)}/{name_of(ds)}" for ds in view.of("daemonsets.apps").list()]


def _node_facts(node: Object) -> tuple[Any, ...]:
    spec = node.get("spec") or {}
    return labels_of(node), spec.get("taints"), spec.get("unschedulable"), uid_of(node)


def fits(daemon_set: Object, pod_spec: Object, node: Object) -> tuple[bool, bool]:
    """(should run there, may go on running there)."""
    wanted = get(daemon_set, "spec.template.spec.nodeName")
    if wanted and wanted != name_of(node):
        return False, False
    if not node_matches(get(daemon_set, "spec.template.spec", {}), name_of(node), labels_of(node)):
        return False, False
    tolerations = pod_spec.get("tolerations") or []
    taints = [
        t
        for t in get(node, "spec.taints", [])
        if t.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(tolerations, t)
    ]
    return not taints, not any(t["effect"] == "NoExecute" for t in taints)


def _tolerations(spec: Object) -> list[Object]:
    tolerations = list(spec.get("tolerations") or [])
    extra = [*_TOLERATED, _TOLERATED_ON_HOST_NETWORK] if spec.get("hostNetwork") else [*_TOLERATED]
    for key, effect in extra:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        alike = [
            t for t in tolerations if {k: v for k, v in t.items() if k != "tolerationSeconds"} == toleration
        ]
        if alike:  # for good, not for some time
            tolerations = [toleration if t in alike else t for t in tolerations]
        else:
            tolerations.append(toleration)
    return tolerations


def _on_node(spec: Object, node: str) -> Object:
    """Only that node, instead of any affinity of the template's (which was decided already)."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = dict(spec.get("affinity") or {})
    node_affinity = dict(affinity.get("nodeAffinity") or {})
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [term]}
    affinity["nodeAffinity"] = node_affinity
    return affinity


class _Turn:
    def __init__(
        self,
        daemon_set: Object,
        pods: list[Object],
        revisions: list[Object],
        view: View,
        now: float,
        failures: OrderedDict[str, tuple[int, float]],
    ):
        self.daemon_set, self.pods, self.view, self.now = daemon_set, pods, view, now
        self.spec = daemon_set["spec"]
        self.min_ready_s = int(self.spec.get("minReadySeconds", 0))
        self.failures = failures
        self.pod_spec = {**self.spec["template"]["spec"]}
        self.pod_spec["tolerations"] = _tolerations(self.pod_spec)
        self.nodes = sorted(view.of("nodes").list(), key=name_of)
        self.by_node = self._by_node()
        self.revisions = revisions
        collisions = get(daemon_set, "status.collisionCount")
        self.current = history.current_revision(
            daemon_set,
            "apps/v1",
            "DaemonSet",
            revisions,
            taken=[name_of(r) for r in view.of(history.RESOURCE).list(namespace_of(daemon_set))],
            hash_label=_HASH,
            annotations=dict(annotations_of(daemon_set)),
            collision_count=collisions or 0,
        )
        self.digest = labels_of(self.current.revision)[_HASH]
        surge = self._rolling("maxSurge")
        unavailable = self._rolling("maxUnavailable")
        self.max_surge = surge
        self.max_unavailable = unavailable if surge or unavailable else 1
        self.requeue_s: float | None = None
        self.creates: list[str] = []  # nodes
        self.deletes: dict[str, Object] = {}  # uid → pod
        self.events: list[Action] = []

    def plan(self) -> Plan:
        self._manage()
        rolls = get(self.spec, "updateStrategy.type", "RollingUpdate") == "RollingUpdate"
        if rolls and not self.creates and not self.deletes:
            if self.max_surge:
                self._replace_with_surge()
            else:
                self._replace()
        actions = [*self.current.actions, *self._pod_actions()]
        live = {f"{name_of(self.daemon_set)}-{labels_of(p).get(_HASH, '')}" for p in self.pods}
        if not self.current.actions:
            old = [r for r in self.revisions if name_of(r) != name_of(self.current.revision)]
            limit = self.spec.get("revisionHistoryLimit")
            actions += history.truncate(old, live, limit, live_count=True)

        def tell(errors: list[ApiError]) -> list[Action]:
            status = self._status()
            if same(status, self.daemon_set.get("status") or {}):
                return list(self.events)
            return [*self.events, Update("daemonsets.apps", with_status(self.daemon_set, status), "status")]

        return Plan(actions, self.requeue_s, tell)

    def _rolling(self, field: str) -> int:
        """Of the nodes that should have a pod, rounded up."""
        value = get(self.spec, f"updateStrategy.rollingUpdate.{field}")
        return scaled_value(value, self._desired(), round_up=True, default=0)

    def _desired(self) -> int:
        return sum(fits(self.daemon_set, self.pod_spec, node)[0] for node in self.nodes)

    def _by_node(self) -> dict[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for pod in self.pods:
            if is_deleting(pod) and podlib.is_terminal(pod):
                continue  # all but gone
            wanted = pod["spec"].get("nodeName") or next(iter(names_wanted(pod["spec"]) or ()), None)
            if wanted:
                found.setdefault(wanted, []).append(pod)
        return found

    # -- which pod where -------------------------------------------------------------------------------------------

    def _manage(self) -> None:
        for node in self.nodes:
            self._manage_node(node)
        known = {name_of(node) for node in self.nodes}
        for node_name, pods in self.by_node.items():
            if node_name not in known:  # bound ones are the pod garbage collector's
                self._delete(*(p for p in pods if not p["spec"].get("nodeName")))

    def _manage_node(self, node: Object) -> None:
        name = name_of(node)
        pods = self.by_node.get(name, [])
        should_run, may_stay = fits(self.daemon_set, self.pod_spec, node)
        if should_run and not pods:
            self.creates.append(name)
        elif not may_stay:
            self._delete(*pods)
        elif pods:
            running = [p for p in pods if not is_deleting(p) and not self._ended(p, name)]
            if self.max_surge:
                if not running and should_run:
                    self.creates.append(name)
                self._keep_one_of_each(running)
            elif len(running) > 1:
                self._delete(*sorted(running, key=self._seniority)[1:])

    def _ended(self, pod: Object, node: str) -> bool:
        where = f"{namespace_of(pod)}/{name_of(pod)} on node {node}"
        if podlib.phase(pod) == "Succeeded":
            message = f"Found succeeded daemon pod {where}, will try to delete it"
            self.events.append(Event(self.daemon_set, "Normal", "SucceededDaemonPod", message))
            self._delete(pod)
            return True
        if podlib.phase(pod) != "Failed":
            return False
        delay_s = self._retry_in_s(f"{uid_of(self.daemon_set)}/{node}", uid_of(pod))
        if delay_s > 0:
            self.requeue_s = delay_s if self.requeue_s is None else min(self.requeue_s, delay_s)
            return True
        message = f"Found failed daemon pod {where}, will try to kill it"
        self.events.append(Event(self.daemon_set, "Warning", "FailedDaemonPod", message))
        self._delete(pod)
        return True

    def _retry_in_s(self, where: str, uid: str) -> float:
        count, at = self.failures.get(where, (0, 0.0))
        delay_s = min(_RETRY_FIRST_S * 2 ** min(count - 1, 20), _RETRY_MAX_S) if count else 0.0
        left_s = at + delay_s - self.now
        if left_s > 0:
            return left_s
        if self.now - at > 2 * _RETRY_MAX_S:
            count = 0
        self.failures[where] = (count + 1, self.now)
        self.failures.move_to_end(where)
        if len(self.failures) > _RETRIES_KEPT:
            self.failures.popitem(last=False)
        return 0.0

    def _keep_one_of_each(self, running: list[Object]) -> None:
        """While surging an old and a new pod live side by side, as long as the old one is of use and the new one is not."""
        old = sorted((p for p in running if not self._is_updated(p)), key=self._seniority)
        new = sorted((p for p in running if self._is_updated(p)), key=self._seniority)
        self._delete(*old[1:], *new[1:])
        if old and new and (not podlib.is_ready(old[0]) or self._is_available(new[0])):
            self._delete(old[0])

    def _seniority(self, pod: Object) -> tuple[Any, ...]:
        return (0 if pod["spec"].get("nodeName") else 1, podlib.created_at(pod), name_of(pod))

    # -- replacing old pods ----------------------------------------------------------------------------------------

    def _is_updated(self, pod: Object) -> bool:
        labels = labels_of(pod)
        generation = annotations_of(self.daemon_set).get(_TEMPLATE_GENERATION)
        by_generation = generation is not None and labels.get(_GENERATION) == generation
        return by_generation or labels.get(_HASH) == self.digest

    def _is_available(self, pod: Object) -> bool:
        return podlib.is_available(pod, self.min_ready_s, self.now)

    def _old_and_new(self, node: str) -> tuple[Object | None, Object | None, bool]:
        """(old pod, new pod, whether that is all there is to know)."""
        old = new = None
        for pod in self.by_node.get(node, []):
            if is_deleting(pod):
                continue
            if self._is_updated(pod):
                if new is not None:
                    return None, None, False
                new = pod
            elif old is not None:
                return None, None, False
            else:
                old = pod
        return old, new, True

    def _replace(self) -> None:
        unavailable = 0
        at_once: list[Object] = []
        candidates: list[Object] = []
        for node in self.nodes:
            if name_of(node) not in self.by_node:
                continue
            old, new, clear = self._old_and_new(name_of(node))
            if not clear or (old is None) == (new is None):
                unavailable += 1
            elif new is not None:
                unavailable += not self._is_available(new)
            elif old is not None and not self._is_available(old):
                at_once.append(old)
                unavailable += 1
            elif old is not None:
                candidates.append(old)
        room = max(0, self.max_unavailable - unavailable)
        self._delete(*at_once, *candidates[:room])

    def _replace_with_surge(self) -> None:
        """A node that should not have a pod any more keeps an old one until there are enough elsewhere."""
        surging = available = 0
        at_once: list[str] = []
        candidates: list[str] = []
        leaving: list[Object] = []
        for node in self.nodes:
            name = name_of(node)
            if name not in self.by_node:
                continue
            old, new, clear = self._old_and_new(name)
            if not clear:
                surging += 1
                continue
            shown = old or new
            available += shown is not None and self._is_available(shown)
            if old is not None and new is None:
                if not fits(self.daemon_set, self.pod_spec, node)[0]:
                    leaving.append(old)
                else:
                    (candidates if self._is_available(old) else at_once).append(name)
            elif old is not None and new is not None:
                if self._is_available(new):
                    self._delete(old)
                else:
                    surging += 1
        self._delete(*leaving[: max(0, available - self._desired())])
        room = max(0, self.max_surge - surging)
        self.creates += [*at_once, *candidates[:room]]

    # -- actions and status ----------------------------------------------------------------------------------------

    def _delete(self, *pods: Object) -> None:
        for pod in pods:
            if not is_deleting(pod):
                self.deletes[uid_of(pod)] = pod

    def _pod_actions(self) -> list[Action]:
        tell = Tell(
            self.daemon_set,
            ("SuccessfulCreate", "Created pod: {name}"),
            ("FailedCreate", "Error creating: {error}"),
        )
        actions: list[Action] = []
        if self.creates:
            creates = [Create("pods", self._pod(node), tell) for node in self.creates[:_BURST_MAX]]
            actions.append(Batch(tuple(creates), slow_start=True))
        tell = Tell(
            self.daemon_set,
            ("SuccessfulDelete", "Deleted pod: {name}"),
            ("FailedDelete", "Error deleting: {error}"),
        )
        if self.deletes:
            doomed = list(self.deletes.values())[:_BURST_MAX]
            actions.append(
                Batch(
                    tuple(Delete("pods", namespace_of(p), name_of(p), uid_of(p), tell=tell) for p in doomed)
                )
            )
        return actions

    def _pod(self, node: str) -> Object:
        pod = podlib.from_template(self.spec["template"], self.daemon_set, "apps/v1", "DaemonSet")
        labels = pod["metadata"].setdefault("labels", {})
        labels[_HASH] = self.digest
        generation = annotations_of(self.daemon_set).get(_TEMPLATE_GENERATION)
        if generation is not None:
            labels[_GENERATION] = generation
        pod["spec"] = {**self.pod_spec, "affinity": _on_node(self.pod_spec, node)}
        return pod

    def _status(self) -> Object:
        desired = current = misscheduled = ready = updated = available = 0
        for node in self.nodes:
            pods = sorted(self.by_node.get(name_of(node), []), key=self._seniority)
            should_run, _ = fits(self.daemon_set, self.pod_spec, node)
            if not should_run:
                misscheduled += bool(pods)
                continue
            desired += 1
            if not pods:
                continue
            current += 1
            if podlib.is_ready(pods[0]):
                ready += 1
                wait_s = podlib.available_in_s(pods[0], self.min_ready_s, self.now)
                available += wait_s == 0
                if wait_s:
                    self.requeue_s = wait_s if self.requeue_s is None else min(self.requeue_s, wait_s)
            updated += self._is_updated(pods[0])
        status: Object = {
            "currentNumberScheduled": current,
            "desiredNumberScheduled": desired,
            "numberMisscheduled": misscheduled,
            "numberReady": ready,
            "observedGeneration": get(self.daemon_set, "metadata.generation", 0),
        }
        optional = {
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "numberUnavailable": desired - available,
            "collisionCount": self.current.collision_count,
            "conditions": get(self.daemon_set, "status.conditions"),
        }
        status.update({k: v for k, v in optional.items() if v})
        return status
