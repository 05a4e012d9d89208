"""Deployment: rolls a template out by growing a new ReplicaSet and shrinking the old ones.

Reading order: `reconcile` chooses one of three ways (scale only, Recreate, RollingUpdate); each way moves replicas in a
`_Rollout`, a scratchpad of what every ReplicaSet should become; at its end stand the ReplicaSets that changed, the
events, and the status. The new ReplicaSet is the one whose template equals the Deployment's, so going back to an
older template uses its ReplicaSet again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.errors import ApiError
from ..api.object import (
    Object,
    annotations_of,
    get,
    is_deleting,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from ..base.clock import parse_timestamp, timestamp
from ..client.informer import IndexFunction, by_controller
from . import pods as podlib
from .common import (
    claim,
    controllers_and_matching,
    find_condition,
    hash_of,
    key_of_controller,
    matches,
    prune,
    same,
    scaled_value,
    selects_everything,
    set_condition,
    with_metadata,
    with_status,
    without_empty,
)
from .plan import (
    NOTHING,
    Action,
    Controller,
    Create,
    Delete,
    Event,
    Plan,
    Source,
    Tell,
    Update,
    View,
    own,
)

_REVISION = "deployment.kubernetes.io/revision"
_HISTORY = "deployment.kubernetes.io/revision-history"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAX = "deployment.kubernetes.io/max-replicas"
_HASH = "pod-template-hash"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    _REVISION,
    _HISTORY,
    _DESIRED,
    _MAX,
    "deprecated.deployment.rollback.rollbackTo",
}
_HISTORY_MAX = 2000  # characters of the revision history
_NO_DEADLINE = 2**31 - 1


class DeploymentController(Controller):
    name = "deployment"
    component = "deployment-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {
            "deployments.apps": own,
            "replicasets.apps": controllers_and_matching(
                "Deployment",
                "apps",
                "deployments.apps",
                lambda deployment, labels: matches(get(deployment, "spec.selector"), labels),
            ),
            "pods": _pod_ended,
        }

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        controller = {"controller": by_controller}
        return {"replicasets.apps": controller, "pods": controller}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace, name = split_key(key)
        deployment = view.of("deployments.apps").get(namespace, name)
        if deployment is None:
            return NOTHING
        selector = get(deployment, "spec.selector")
        if selects_everything(selector):
            return _refuse(deployment)
        replica_sets = view.of("replicasets.apps")
        claimed, claims = claim(
            deployment,
            "apps/v1",
            "Deployment",
            "deployments.apps",
            "replicasets.apps",
            [
                *replica_sets.by_index("controller", uid_of(deployment)),
                *replica_sets.by_index("controller", f"orphans/{namespace}"),
            ],
            lambda labels: matches(selector, labels),
        )
        if claims:
            return Plan(claims)  # the rest when it has come true: the caches show it at once
        rollout = _Rollout(deployment, claimed, now)
        if is_deleting(deployment):
            return rollout.finish(rollout.counted_status())
        rollout.note_paused()
        if rollout.is_paused or rollout.is_scaled:
            return rollout.scale(clean=rollout.is_paused)
        if rollout.strategy == "Recreate":
            return rollout.recreate(view)
        return rollout.rolling_update(view)


def _pod_ended(old: Object | None, new: Object | None, view: View) -> list[str]:
    """Recreate waits for pods that end; nothing else of a pod is the Deployment's business (its ReplicaSet counts it)."""
    if new is not None and not podlib.is_terminal(new):
        return []
    key = key_of_controller(old or new, "ReplicaSet", "apps")
    replica_set = view.of("replicasets.apps").get(*split_key(key)) if key else None
    key = key_of_controller(replica_set, "Deployment", "apps")
    deployment = view.of("deployments.apps").get(*split_key(key)) if key else None
    if deployment is None or get(deployment, "spec.strategy.type") != "Recreate":
        return []
    return [key] if key else []


def _refuse(deployment: Object) -> Plan:
    message = "This deployment is selecting all pods. A non-empty selector is required."
    actions: list[Action] = [Event(deployment, "Warning", "SelectingAll", message)]
    generation = get(deployment, "metadata.generation", 0)
    if get(deployment, "status.observedGeneration", 0) < generation:
        status = {**(deployment.get("status") or {}), "observedGeneration": generation}
        actions.append(Update("deployments.apps", with_status(deployment, status), "status"))
    return Plan(actions)


class _Rollout:
    """One turn for one Deployment: what its ReplicaSets are, and what they shall become."""

    def __init__(self, deployment: Object, replica_sets: list[Object], now: float):
        self.deployment, self.now = deployment, now
        self._as_given = deployment
        self.replica_sets = sorted(replica_sets, key=_by_age)
        self.wanted: int = get(deployment, "spec.replicas", 1)
        self.strategy = get(deployment, "spec.strategy.type", "RollingUpdate")
        self.is_paused = bool(get(deployment, "spec.paused", False))
        self.deadline_s = get(deployment, "spec.progressDeadlineSeconds")
        if self.deadline_s == _NO_DEADLINE:
            self.deadline_s = None
        rolling = get(deployment, "spec.strategy.rollingUpdate", {})
        self.max_surge = self.max_unavailable = 0
        if self.strategy == "RollingUpdate":
            self.max_surge = scaled_value(rolling.get("maxSurge"), self.wanted, round_up=True)
            self.max_unavailable = scaled_value(rolling.get("maxUnavailable"), self.wanted, round_up=False)
            if not self.max_surge and not self.max_unavailable:
                self.max_unavailable = 1  # or nothing could ever move
            self.max_unavailable = min(self.max_unavailable, self.wanted)
        template = _without_hash(get(deployment, "spec.template", {}))
        self.new: Object | None = next(
            (rs for rs in self.replica_sets if same(_without_hash(get(rs, "spec.template", {})), template)),
            None,
        )
        self.old = [rs for rs in self.replica_sets if rs is not self.new]
        self.conditions: list[Object] = list(get(deployment, "status.conditions", []))
        self._changed: dict[str, Object] = {}  # uid -> the ReplicaSet as it shall be
        self._events: list[Action] = []
        self._before: list[Action] = []

    # -- the three ways --------------------------------------------------------------------------------------------

    @property
    def is_scaled(self) -> bool:
        """`spec.replicas` changed since its ReplicaSets were told: scale first, roll on afterwards."""
        return any(
            _int_annotation(rs, _DESIRED) not in (None, self.wanted)
            for rs in self.replica_sets
            if _replicas(rs) > 0
        )

    def scale(self, *, clean: bool) -> Plan:
        """Without rolling: all to the one active ReplicaSet, or to each in proportion to its size."""
        self.sync_revision()
        self._scale()
        if clean:
            self._clean_up()
        return self.finish(self.counted_status())

    def recreate(self, view: View) -> Plan:
        self.sync_revision()
        for rs in self.old:
            if _replicas(rs) > 0:
                self.resize(rs, 0)
        if self._changed_sizes or self._old_pods_remain(view):
            return self.finish(self.progress_status())
        if self.new is None:
            return self.create(view)
        self.resize(self.new, self.wanted)
        return self._complete()

    def rolling_update(self, view: View) -> Plan:
        if self.new is None:
            return self.create(view)
        self.sync_revision()
        if self._grow_new() or self._shrink_old():
            return self.finish(self.progress_status())
        return self._complete()

    def _complete(self) -> Plan:
        if self._is_complete(get(self.deployment, "status", {})):
            self._clean_up()
        return self.finish(self.progress_status())

    # -- moving replicas -------------------------------------------------------------------------------------------

    def current(self, rs: Object) -> Object:
        return self._changed.get(uid_of(rs), rs)

    def size(self, rs: Object) -> int:
        return _replicas(self.current(rs))

    @property
    def _changed_sizes(self) -> bool:
        return any(_replicas(rs) != self.size(rs) for rs in self.replica_sets)

    def resize(self, rs: Object, size: int, *, even_if_same: bool = False) -> bool:
        """Also keeps the annotations that tell what the Deployment wanted at that time."""
        now = self.current(rs)
        before = _replicas(now)
        if before == size and not even_if_same:
            return False
        annotations = {
            **annotations_of(now),
            _DESIRED: str(self.wanted),
            _MAX: str(self.wanted + self.max_surge),
        }
        if before == size and annotations == annotations_of(now):
            return False
        changed = with_metadata(now, annotations=annotations)
        changed["spec"] = {**now["spec"], "replicas": size}
        self._changed[uid_of(rs)] = changed
        if before != size:
            self._tell_scaled(name_of(rs), before, size)
        return before != size

    def _tell_scaled(self, name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {name} from {before} to {after}"
        self._events.append(Event(self.deployment, "Normal", "ScalingReplicaSet", message))

    def _new_size(self, new_size: int) -> int:
        """`NewRSNewReplicas`: as far up as the surge allows."""
        if self.strategy == "Recreate":
            return self.wanted
        total = sum(self.size(rs) for rs in self.old) + new_size
        room = self.wanted + self.max_surge - total
        return new_size if room <= 0 else new_size + min(room, self.wanted - new_size)

    def _grow_new(self) -> bool:
        assert self.new is not None
        size = self.size(self.new)
        if size == self.wanted:
            return False
        return self.resize(self.new, self.wanted if size > self.wanted else self._new_size(size))

    def _shrink_old(self) -> bool:
        """First what does no good anyway (unhealthy old pods), then as many healthy ones as may be missed."""
        old = [rs for rs in self.old if _replicas(rs) > 0]
        if not old:
            return False
        assert self.new is not None
        min_available = self.wanted - self.max_unavailable
        new_unavailable = self.size(self.new) - _available(self.new)
        total = sum(map(self.size, (*old, self.new)))
        may_go = total - min_available - new_unavailable
        if may_go <= 0:
            return False
        changed = False
        gone = 0
        for rs in old:
            unhealthy = self.size(rs) - _available(rs)
            if gone >= may_go or unhealthy <= 0:
                continue
            step = min(may_go - gone, unhealthy)
            changed |= self.resize(rs, self.size(rs) - step)
            gone += step
        spare = sum(map(_available, (*old, self.new))) - min_available
        for rs in old:
            if spare <= 0:
                break
            step = min(self.size(rs), spare)
            if step:
                changed |= self.resize(rs, self.size(rs) - step)
                spare -= step
        return changed

    def _scale(self) -> None:
        everything = [rs for rs in (*self.old, self.new) if rs is not None]
        active = [rs for rs in everything if self.size(rs) > 0]
        if len(active) == 1 or (everything and not active):
            one = active[0] if active else (self.new or everything[-1])
            self.resize(one, self.wanted)
            return
        if self.new is not None and self._is_saturated(self.new):
            for rs in self.old:
                self.resize(rs, 0)
            return
        if self.strategy == "RollingUpdate" and active:
            self._scale_in_proportion(active)

    def _is_saturated(self, rs: Object) -> bool:
        desired = _int_annotation(rs, _DESIRED)
        return self.size(rs) == desired == _available(rs) == self.wanted

    def _scale_in_proportion(self, active: list[Object]) -> None:
        allowed = self.wanted + self.max_surge if self.wanted else 0
        to_add = allowed - sum(map(self.size, active))
        # the largest first; among equals the newest when growing, the oldest when shrinking
        newest_first = sorted(active, key=_by_age, reverse=to_add > 0)
        order = sorted(newest_first, key=lambda rs: -self.size(rs))
        added = 0
        sizes: dict[str, int] = {}
        for rs in order:
            share = self._share(rs, to_add, added) if to_add else 0
            sizes[uid_of(rs)] = self.size(rs) + share
            added += share
        for position, rs in enumerate(order):
            size = sizes[uid_of(rs)]
            if position == 0 and to_add:
                size = max(0, size + to_add - added)
            self.resize(rs, size, even_if_same=True)

    def _share(self, rs: Object, to_add: int, added: int) -> int:
        size = self.size(rs)
        left = to_add - added
        if not size or not left:
            return 0
        if not self.wanted:
            share = -size
        else:
            before = _int_annotation(rs, _MAX) or get(self.deployment, "status.replicas", 0) or 1
            share = _round(size * (self.wanted + self.max_surge) / before) - size
        return min(share, left) if to_add > 0 else max(share, left)

    def _old_pods_remain(self, view: View) -> bool:
        if any(get(rs, "status.replicas", 0) > 0 for rs in self.old):
            return True
        return any(
            not podlib.is_terminal(pod)
            for rs in self.old
            for pod in view.of("pods").by_index("controller", uid_of(rs))
        )

    def _clean_up(self) -> None:
        limit = get(self.deployment, "spec.revisionHistoryLimit")
        alive = [rs for rs in self.old if not is_deleting(rs)]
        if limit is None or limit == _NO_DEADLINE or len(alive) <= limit:
            return
        for rs in sorted(alive, key=_revision)[: len(alive) - limit]:
            busy = get(rs, "status.replicas", 0) or self.size(rs)
            if busy or get(rs, "metadata.generation", 0) > get(rs, "status.observedGeneration", 0):
                continue
            self._before.append(
                Delete(
                    "replicasets.apps", namespace_of(rs), name_of(rs), uid_of(rs), propagation="Background"
                )
            )

    # -- revisions -------------------------------------------------------------------------------------------------

    def sync_revision(self) -> None:
        """The new ReplicaSet's annotations, and the Deployment's revision, follow the template in use."""
        if self.new is None:
            return
        now = self.current(self.new)
        annotations = self._annotations(annotations_of(now), exists=True)
        min_ready_s = get(self.deployment, "spec.minReadySeconds", 0)
        if annotations != annotations_of(now) or min_ready_s != get(now, "spec.minReadySeconds", 0):
            changed = with_metadata(now, annotations=annotations)
            changed["spec"] = {**now["spec"], "minReadySeconds": min_ready_s}
            self._changed[uid_of(self.new)] = changed
        self._revise(annotations.get(_REVISION, ""))
        if self.deadline_s is not None and find_condition(self.conditions, "Progressing") is None:
            message = f'Found new replica set "{name_of(self.new)}"'
            self._set_condition("Progressing", "True", "FoundNewReplicaSet", message)

    def _annotations(self, before: dict[str, str], *, exists: bool) -> dict[str, str]:
        annotations = dict(before)
        annotations.update({k: v for k, v in annotations_of(self.deployment).items() if k not in _NOT_COPIED})
        revision = max(map(_revision, self.old), default=0) + 1
        old = annotations.get(_REVISION)
        old_revision = int(old) if old and old.lstrip("-").isdigit() else 0
        if old_revision < revision:
            annotations[_REVISION] = str(revision)
            if old:
                history = [part for part in annotations.get(_HISTORY, "").split(",") if part]
                history.append(old)
                while sum(map(len, history)) + len(history) - 1 > _HISTORY_MAX:
                    history.pop(0)
                annotations[_HISTORY] = ",".join(history)
        if not exists:
            annotations[_DESIRED] = str(self.wanted)
            annotations[_MAX] = str(self.wanted + self.max_surge)
        return annotations

    def _revise(self, revision: str) -> None:
        if revision and annotations_of(self.deployment).get(_REVISION) != revision:
            annotations = {**annotations_of(self.deployment), _REVISION: revision}
            self.deployment = with_metadata(self.deployment, annotations=annotations)

    def create(self, view: View) -> Plan:
        """The ReplicaSet for the template. Its name is a hash of it; when another has the name, the hash is salted."""
        deployment, namespace = self.deployment, namespace_of(self.deployment)
        collisions = get(deployment, "status.collisionCount")
        template = get(deployment, "spec.template", {})
        digest = hash_of(template, collisions)
        name = f"{name_of(deployment)}-{digest}"
        if view.of("replicasets.apps").get(namespace, name) is not None:
            status = {**(deployment.get("status") or {}), "collisionCount": (collisions or 0) + 1}
            return Plan([Update("deployments.apps", with_status(deployment, status), "status")])
        labels = {**get(template, "metadata.labels", {}), _HASH: digest}
        selector = get(deployment, "spec.selector", {})
        size = self._new_size(0)
        replica_set: Object = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": labels,
                "annotations": self._annotations({}, exists=False),
                "ownerReferences": [owner_reference(deployment, "apps/v1", "Deployment")],
            },
            "spec": {
                "replicas": size,
                "selector": {
                    **selector,
                    "matchLabels": {**(selector.get("matchLabels") or {}), _HASH: digest},
                },
                "template": {
                    **template,
                    "metadata": {**(template.get("metadata") or {}), "labels": labels},
                },
            },
        }
        if min_ready_s := get(deployment, "spec.minReadySeconds", 0):
            replica_set["spec"]["minReadySeconds"] = min_ready_s
        failed = f'Failed to create new replica set "{name}": {{error}}'
        done = ("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}") if size else None

        def created(made: Object) -> list[Action]:
            self.new = made
            self._revise(replica_set["metadata"]["annotations"][_REVISION])
            if self.deadline_s is not None:
                message = f'Created new replica set "{name}"'
                self._set_condition("Progressing", "True", "NewReplicaSetCreated", message)
            return self._update_conditions()

        def tell(errors: list[ApiError]) -> list[Action]:
            if self.new or not errors or errors[0].reason == "AlreadyExists" or self.deadline_s is None:
                return []  # the cache was behind; it will show the namesake
            message = failed.replace("{error}", errors[0].message)
            self._set_condition("Progressing", "False", "ReplicaSetCreateError", message)
            return self._update_conditions()

        told = Tell(deployment, done, ("ReplicaSetCreateError", failed))
        return Plan([Create("replicasets.apps", replica_set, told, then=created)], None, tell)

    def _update_conditions(self) -> list[Action]:
        return self._update_status({**(self.deployment.get("status") or {}), "conditions": self.conditions})

    # -- status ----------------------------------------------------------------------------------------------------

    def note_paused(self) -> None:
        """So that a pause is not taken for a lack of progress."""
        progressing = find_condition(self.conditions, "Progressing")
        if self.deadline_s is None or (progressing or {}).get("reason") == "ProgressDeadlineExceeded":
            return
        was_paused = (progressing or {}).get("reason") == "DeploymentPaused"
        if self.is_paused and not was_paused:
            self._set_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        elif not self.is_paused and was_paused:
            self._set_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")

    def _set_condition(self, type_: str, status: str, reason: str, message: str) -> None:
        self.conditions = set_condition(
            self.conditions, type_, status, reason, message, self.now, update_time=True
        )

    def counted_status(self) -> Object:
        replica_sets = [rs for rs in (*self.old, self.new) if rs is not None]
        available = sum(map(_available, replica_sets))
        if available >= self.wanted - self.max_unavailable:
            message = "Deployment has minimum availability."
            self._set_condition("Available", "True", "MinimumReplicasAvailable", message)
        else:
            message = "Deployment does not have minimum availability."
            self._set_condition("Available", "False", "MinimumReplicasUnavailable", message)
        terminating = [get(rs, "status.terminatingReplicas") for rs in replica_sets]
        status: dict[str, Any] = {
            "observedGeneration": get(self.deployment, "metadata.generation", 0),
            "replicas": sum(get(rs, "status.replicas", 0) for rs in replica_sets),
            "updatedReplicas": get(self.new, "status.replicas", 0),
            "readyReplicas": sum(get(rs, "status.readyReplicas", 0) for rs in replica_sets),
            "availableReplicas": available,
            "unavailableReplicas": max(0, sum(map(self.size, replica_sets)) - available),
            "conditions": self.conditions,
        }
        if None not in terminating:
            status["terminatingReplicas"] = sum(terminating)
        if (collisions := get(self.deployment, "status.collisionCount")) is not None:
            status["collisionCount"] = collisions
        return without_empty(status, keep=("terminatingReplicas", "collisionCount"))

    def progress_status(self) -> Object:
        """The counts, and what can be told of progress from how they moved."""
        status = self.counted_status()
        before = self.deployment.get("status") or {}
        subject = (
            f'ReplicaSet "{name_of(self.new)}"' if self.new else f'Deployment "{name_of(self.deployment)}"'
        )
        progressing = find_condition(self.conditions, "Progressing")
        if self.deadline_s is None:
            self.conditions = [c for c in self.conditions if c["type"] != "Progressing"]
        elif not (
            status.get("replicas", 0) == status.get("updatedReplicas", 0)
            and progressing is not None
            and progressing.get("reason") == "NewReplicaSetAvailable"
        ):
            if self._is_complete(status):
                message = f"{subject} has successfully progressed."
                self._set_condition("Progressing", "True", "NewReplicaSetAvailable", message)
            elif _moved(before, status):
                since = progressing.get("lastTransitionTime") if progressing else None
                is_true = progressing is not None and progressing["status"] == "True"
                self.conditions = [c for c in self.conditions if c["type"] != "Progressing"]
                message = f"{subject} is progressing."
                self._set_condition("Progressing", "True", "ReplicaSetUpdated", message)
                if is_true and since:
                    self.conditions[-1]["lastTransitionTime"] = since
            elif self._is_late(progressing):
                message = f"{subject} has timed out progressing."
                self._set_condition("Progressing", "False", "ProgressDeadlineExceeded", message)
        self._take_over_failures()
        status["conditions"] = self.conditions
        return status

    def _is_complete(self, status: Object) -> bool:
        counts = (status.get(k, 0) for k in ("updatedReplicas", "replicas", "availableReplicas"))
        generation = get(self.deployment, "metadata.generation", 0)
        return all(c == self.wanted for c in counts) and status.get("observedGeneration", 0) >= generation

    def _is_late(self, progressing: Object | None) -> bool:
        if progressing is None or progressing.get("reason") == "NewReplicaSetAvailable":
            return False
        if progressing.get("reason") == "ProgressDeadlineExceeded":
            return True
        return bool(parse_timestamp(progressing["lastUpdateTime"]) + self.deadline_s < self.now)

    def _take_over_failures(self) -> None:
        failure = None
        for rs in (self.new, *self.old):
            failure = failure or find_condition(get(rs, "status.conditions", []), "ReplicaFailure")
        if failure is None:
            self.conditions = [c for c in self.conditions if c["type"] != "ReplicaFailure"]
            return
        current = find_condition(self.conditions, "ReplicaFailure")
        if current and all(current.get(k) == failure.get(k) for k in ("status", "reason")):
            return
        copied = {**failure, "lastUpdateTime": failure.get("lastTransitionTime", timestamp(self.now))}
        self.conditions = [c for c in self.conditions if c["type"] != "ReplicaFailure"] + [copied]

    # -- the end ---------------------------------------------------------------------------------------------------

    def finish(self, status: Object) -> Plan:
        changed: list[Action] = [Update("replicasets.apps", rs) for rs in self._changed.values()]
        actions = [*self._before, *changed, *self._events, *self._update_status(status)]
        return Plan(actions, self._look_again_s(status))

    def _update_status(self, status: Object) -> list[Action]:
        wanted = with_status(self.deployment, status)
        current = self._as_given
        unchanged = same(status, current.get("status") or {}) and annotations_of(wanted) == annotations_of(
            current
        )
        return [] if unchanged else [Update("deployments.apps", wanted, "status")]

    def _look_again_s(self, status: Object) -> float | None:
        """When the deadline strikes, if nothing happens before."""
        progressing = find_condition(status.get("conditions"), "Progressing")
        if self.deadline_s is None or progressing is None or self.is_paused or self._is_complete(status):
            return None
        if progressing.get("reason") in ("ProgressDeadlineExceeded", "NewReplicaSetAvailable"):
            return None
        left_s: float = parse_timestamp(progressing["lastUpdateTime"]) + self.deadline_s - self.now
        return max(1.0, left_s + 1.0)


def _moved(before: Object, after: Object) -> bool:
    """`DeploymentProgressing`."""

    def count(status: Object, field: str) -> int:
        return int(status.get(field, 0))

    def old(status: Object) -> int:
        return count(status, "replicas") - count(status, "updatedReplicas")

    return old(after) < old(before) or any(
        count(after, f) > count(before, f) for f in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )


def _without_hash(template: Object) -> Object:
    labels = get(template, "metadata.labels", {})
    if _HASH not in labels:
        return template
    labels = {k: v for k, v in labels.items() if k != _HASH}
    return prune({**template, "metadata": {**template["metadata"], "labels": labels}})  # type: ignore[no-any-return]


def _by_age(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("creationTimestamp") or "", name_of(obj)


def _replicas(rs: Object) -> int:
    return int(get(rs, "spec.replicas", 1))


def _available(rs: Object) -> int:
    return int(get(rs, "status.availableReplicas", 0))


def _int_annotation(rs: Object, name: str) -> int | None:
    text = annotations_of(rs).get(name, "")
    return int(text) if text.lstrip("-").isdigit() else None


def _revision(rs: Object) -> int:
    return _int_annotation(rs, _REVISION) or 0


def _round(value: float) -> int:
    """Half away from zero."""
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)
