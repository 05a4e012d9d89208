"""Job: runs pods until enough of them have succeeded, or too many have failed.

Counting is the hard part, since pods vanish: each pod has the finalizer `batch.kubernetes.io/job-tracking`, and is counted in
three steps that may be interrupted anywhere (KEP-2307): its uid goes into `status.uncountedTerminatedPods`; its finalizer is
removed; a later turn sees an uncounted uid without a finalizer, and moves it into `succeeded` or `failed`.

The end has two steps as well (KEP-3998, KEP-4368): an interim condition (SuccessCriteriaMet, FailureTarget) decides it, and the
other pods are deleted; the final one (Complete, Failed) follows when no pod is left to count or to wait for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.errors import ApiError
from ..api.object import (
    Object,
    controller_of,
    get,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from ..base.clock import parse_timestamp, timestamp
from ..client.informer import IndexFunction, by_controller
from . import job_rules as rules
from . import pods as podlib
from .common import claim, find_condition, key_of_controller, matches, same, with_status
from .plan import (
    NOTHING,
    Action,
    Batch,
    Controller,
    Create,
    Delete,
    Environment,
    Event,
    Later,
    Patch,
    Plan,
    Source,
    Tell,
    Update,
    View,
)

FINALIZER = "batch.kubernetes.io/job-tracking"
_POD_KEY = "pod:"  # keys of pods whose Job is unknown
_BURST_MAX = 500
_PREFIX_MAX = 58  # of a generated name
_GATHER_S = 1.0  # pods that end together are counted together
_SETTLE_S = 0.5  # what was written in a status stands for a while
_FINAL = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}


def is_finished(job: Object) -> Object | None:
    """Its condition Complete or Failed."""
    for condition in get(job, "status.conditions", []):
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return condition  # type: ignore[no-any-return]
    return None


def _selects(job: Object, labels: dict[str, str]) -> bool:
    return matches(get(job, "spec.selector"), labels)


class JobController(Controller):
    name = "job"
    component = "job-controller"
    retry_delays_s = 1.0, 60.0

    def __init__(self, env: Environment):
        super().__init__(env)
        self._ended: dict[str, rules.Ended] = {}  # by key, of Jobs that go on

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"jobs.batch": _of_job, "pods": _of_pod}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"pods": {"controller": by_controller, "job": _by_job}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        if key.startswith(_POD_KEY):
            pod = view.of("pods").get(*split_key(key.removeprefix(_POD_KEY)))
            lost = pod is not None and controller_of(pod) is None and _is_tracked(pod)
            return Plan([_free(pod)]) if lost and pod else NOTHING
        namespace, _ = split_key(key)
        job = view.of("jobs.batch").get(*split_key(key))
        strangers = [
            p
            for p in view.of("pods").by_index("job", key)
            if _is_tracked(p) and (job is None or not _is_of(p, job) or is_finished(job))
        ]
        if strangers:
            return Plan([Batch(tuple(map(_free, strangers)))])
        manager = get(job, "spec.managedBy", "kubernetes.io/job-controller")
        if job is None or is_finished(job) or manager != "kubernetes.io/job-controller":
            self._ended.pop(key, None)
            return NOTHING
        pods, claims = claim(
            job,
            "batch/v1",
            "Job",
            "jobs.batch",
            "pods",
            [
                *view.of("pods").by_index("controller", uid_of(job)),
                *view.of("pods").by_index("controller", f"orphans/{namespace}"),
            ],
            lambda labels: _selects(job, labels),
            finalizer=FINALIZER,
        )
        if claims:
            return Plan(claims)
        ended = self._ended.get(key)
        if ended is None or ended.job_uid != uid_of(job):
            ended = self._ended[key] = rules.Ended(uid_of(job))
        ended.note(job, pods)
        return _Turn(job, pods, ended, now).plan()


def _of_job(old: Object | None, new: Object | None, view: View) -> list[str | Later]:
    job = new or old or {}
    same_spec = old is not None and new is not None and _generation(old) == _generation(new)
    return [Later(key_of(job), _SETTLE_S) if same_spec else key_of(job)]


def _generation(job: Object) -> int:
    return int(job["metadata"].get("generation", 0))


def _of_pod(old: Object | None, new: Object | None, view: View) -> list[Later]:
    keys = [k for k in (key_of_controller(p, "Job", "batch") for p in (old, new)) if k]
    if new is not None and controller_of(new) is None:
        namespace = namespace_of(new)
        keys += [
            f"{namespace}/{name_of(job)}"
            for job in view.of("jobs.batch").list(namespace)
            if _selects(job, labels_of(new))
        ]
        if _is_tracked(new) and not keys:
            keys.append(f"{_POD_KEY}{namespace}/{name_of(new)}")
    return [Later(key, _GATHER_S) for key in keys]


def _by_job(pod: Object) -> list[str]:
    key = key_of_controller(pod, "Job", "batch")
    return [key] if key else []


def _is_tracked(pod: Object) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def _is_of(pod: Object, job: Object) -> bool:
    reference = controller_of(pod)
    return reference is not None and reference["uid"] == uid_of(job)


def _free(pod: Object) -> Patch:
    patch = {"metadata": {"uid": uid_of(pod), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
    return Patch("pods", namespace_of(pod), name_of(pod), patch, "strategic")


class _Turn:
    """One look at one Job and its pods."""

    def __init__(self, job: Object, pods: list[Object], ended: rules.Ended, now: float):
        self.job, self.pods, self.ended, self.now = job, pods, ended, now
        self.spec = job["spec"]
        self.status: Object = job.get("status") or {}
        self.conditions: list[Object] = list(self.status.get("conditions") or [])
        self.indexed = self.spec.get("completionMode") == "Indexed"
        self.completions: int | None = self.spec.get("completions")
        self.limit_per_index: int | None = self.spec.get("backoffLimitPerIndex")
        self.suspended = bool(self.spec.get("suspend"))
        self.active = [p for p in pods if podlib.is_active(p)]
        self.terminating = [p for p in pods if podlib.is_terminating(p)]
        uncounted = self.status.get("uncountedTerminatedPods") or {}
        self.uncounted_succeeded: list[str] = list(uncounted.get("succeeded") or [])
        self.uncounted_failed: list[str] = list(uncounted.get("failed") or [])
        self.succeeded = int(self.status.get("succeeded", 0))
        self.failed = int(self.status.get("failed", 0))
        self.done_before, self.failed_before = (
            {i for i in rules.parse_indexes(self.status.get(field)) if i < (self.completions or 0)}
            for field in ("completedIndexes", "failedIndexes")
        )
        self.start_time: str | None = self.status.get("startTime")
        self.requeue_s: float | None = None
        self.backs_off = False  # would make pods, but for a while not
        self.events: list[Action] = []
        self._count_what_is_free()
        self.new_succeeded = [
            p
            for p in pods
            if self._is_new(p)
            and podlib.phase(p) == "Succeeded"
            and uid_of(p) not in self.uncounted_succeeded
        ]
        self.new_failed = [
            p
            for p in pods
            if self._is_new(p) and rules.is_failed(p, job) and uid_of(p) not in self.uncounted_failed
        ]
        self.done_indexes = self.done_before | {
            i for p in self.new_succeeded if (i := rules.index_of(p)) is not None
        }
        self.failed_indexes = self.failed_before | self._newly_failed_indexes()

    def plan(self) -> Plan:
        if self.start_time is None and not self.suspended:
            self.start_time = timestamp(self.now)
        decided = self._decide()
        actions: list[Action] = []
        created = 0
        deleted: list[Object] = []
        if decided is not None:
            deleted = self.active
        elif not is_deleting(self.job):
            deleted, creates = self._manage()
            created = len(creates)
            if creates:
                actions.append(Batch(tuple(creates), slow_start=True))
            if not created and not deleted and self._is_complete():
                message = "Reached expected number of succeeded pods"
                decided = _condition("SuccessCriteriaMet", "CompletionsReached", message, self.now)
            else:
                self._note_suspension()
        if deleted:
            if decided is None:  # not to be counted as failures: nothing went wrong with them
                actions.append(Batch(tuple(_free(p) for p in deleted if _is_tracked(p))))
            tell = Tell(
                self.job,
                ("SuccessfulDelete", "Deleted pod: {name}"),
                ("FailedDelete", "Error deleting: {error}"),
            )
            actions.append(
                Batch(
                    tuple(Delete("pods", namespace_of(p), name_of(p), uid_of(p), tell=tell) for p in deleted)
                )
            )
        free = self._account(decided, [] if decided else deleted)
        if decided is not None and find_condition(self.conditions, decided["type"]) is None:
            self.conditions.append(decided)
        left = [p for p in self.active if p not in deleted]
        finished = decided is not None and not deleted and not free and self._finish(decided)
        after: list[Action] = [Batch(tuple(map(_free, free)))] if free else []

        def tell_status(errors: list[ApiError]) -> list[Action]:
            made = created if not errors else 0
            # upstream tells of no active pods while it backs off, unless that is refused since some are ready
            active = 0 if self.backs_off and not any(map(podlib.is_ready, left)) else len(left) + made
            status = self._new_status(active, left, len(self.terminating) + len(deleted), finished)
            changed = not same(status, self.status)
            update: list[Action] = (
                [Update("jobs.batch", with_status(self.job, status), "status")] if changed else []
            )
            return [*update, *after, *self.events]

        # what is free now is counted as soon as the cache shows it, without waiting for more to gather
        return Plan(actions, 0.0 if free else self.requeue_s, tell_status)

    # -- counting --------------------------------------------------------------------------------------------------

    def _count_what_is_free(self) -> None:
        """Uids whose finalizer is gone are safe to count: nobody will count them again."""
        tracked = {uid_of(p) for p in self.pods if _is_tracked(p)}
        counted = [u for u in self.uncounted_succeeded if u not in tracked]
        self.succeeded += len(counted)
        self.uncounted_succeeded = [u for u in self.uncounted_succeeded if u in tracked]
        counted = [u for u in self.uncounted_failed if u not in tracked]
        self.failed += len(counted)
        self.uncounted_failed = [u for u in self.uncounted_failed if u in tracked]

    def _is_new(self, pod: Object) -> bool:
        if not _is_tracked(pod):
            return False
        if not self.indexed:
            return True
        index = rules.index_of(pod)
        return index is not None and index < (self.completions or 0)

    @property
    def total_succeeded(self) -> int:
        if self.indexed:
            return len(self.done_indexes)
        return self.succeeded + len(self.uncounted_succeeded) + len(self.new_succeeded)

    @property
    def total_failed(self) -> int:
        counted = [p for p in self.new_failed if rules.failure_action(self.job, p)[0] != "Ignore"]
        return self.failed + len(self.uncounted_failed) + len(counted)

    def _newly_failed_indexes(self) -> set[int]:
        if self.limit_per_index is None:
            return set()
        found = set()
        for pod in self.new_failed:
            index = rules.index_of(pod)
            action, _ = rules.failure_action(self.job, pod)
            past_limit = action != "Ignore" and rules.failures_of(pod) >= self.limit_per_index
            if index is not None and index not in self.done_before and (action == "FailIndex" or past_limit):
                found.add(index)
        return found

    def _account(self, decided: Object | None, uncounted: list[Object]) -> list[Object]:
        """Takes ended pods down as uncounted; returns those whose finalizer may go."""
        free: list[Object] = []
        kept = self._last_failed_by_index()
        failing = decided is not None and decided["type"] == "FailureTarget"
        for pod in self.pods:
            if not _is_tracked(pod) or pod in uncounted:
                continue
            uid, failed = uid_of(pod), rules.is_failed(pod, self.job)
            succeeded = podlib.phase(pod) == "Succeeded"
            ending = decided is not None or is_deleting(self.job)
            if not ending and not succeeded and (not failed or pod in kept.values()):
                continue
            free.append(pod)
            valid = self._is_new(pod)
            if succeeded and uid not in self.uncounted_failed:
                if not self.indexed and uid not in self.uncounted_succeeded:
                    self.uncounted_succeeded.append(uid)
            elif (
                (failed or failing)  # when the Job fails, whatever still ran counts as failed
                and valid
                and uid not in self.uncounted_failed
                and (not failed or rules.failure_action(self.job, pod)[0] != "Ignore")
            ):
                self.uncounted_failed.append(uid)
            if len(free) >= _BURST_MAX:
                self.requeue_s = 0.0
                break
        return free

    def _last_failed_by_index(self) -> dict[int, Object]:
        """With a limit per index the last failed pod of an index stays until its successor carries its count on."""
        if self.limit_per_index is None:
            return {}
        busy = {rules.index_of(p) for p in self.active}
        last: dict[int, Object] = {}
        for pod in self.new_failed:
            index = rules.index_of(pod)
            if index is None or index in busy or index in self.done_indexes or index in self.failed_indexes:
                continue
            before = last.get(index)
            if before is None or _attempts(before) < _attempts(pod):
                last[index] = pod
        return last

    # -- deciding --------------------------------------------------------------------------------------------------

    def _decide(self) -> Object | None:
        """The interim condition, if the Job's fate is known."""
        for type_ in ("FailureTarget", "SuccessCriteriaMet"):
            if known := find_condition(self.conditions, type_):
                return known
        for reason, message in self._reasons_to_fail():
            return _condition("FailureTarget", reason, message, self.now)
        if self.indexed and self.spec.get("successPolicy"):
            message = rules.success_rule(self.job, self.done_indexes)
            if message:
                return _condition("SuccessCriteriaMet", "SuccessPolicy", message, self.now)
        return None

    def _reasons_to_fail(self) -> Any:
        if self.spec.get("podFailurePolicy"):
            for pod in self.pods:
                if rules.is_failed(pod, self.job):
                    action, message = rules.failure_action(self.job, pod)
                    if action == "FailJob":
                        yield "PodFailurePolicy", message
        if self.total_failed > self.spec.get("backoffLimit", 6) or rules.restarts_past_limit(
            self.job, self.pods
        ):
            yield "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline_s = self.spec.get("activeDeadlineSeconds")
        if deadline_s is not None and self.start_time and not self.suspended:
            left_s = parse_timestamp(self.start_time) + deadline_s - self.now
            if left_s <= 0:
                yield "DeadlineExceeded", "Job was active longer than specified deadline"
            self._look_again(left_s)
        if self.limit_per_index is not None and self.failed_indexes:
            most = self.spec.get("maxFailedIndexes")
            if most is not None and len(self.failed_indexes) > most:
                yield (
                    "MaxFailedIndexesExceeded",
                    "Job has exceeded the specified maximal number of failed indexes",
                )
            if len(self.failed_indexes) + len(self.done_indexes) >= (self.completions or 0):
                yield "FailedIndexes", "Job has failed indexes"

    def _is_complete(self) -> bool:
        active = len(self.active)
        if self.completions is None:
            return self.total_succeeded > 0 and active == 0
        return self.total_succeeded >= self.completions and active == 0

    def _finish(self, decided: Object) -> bool:
        """The final condition, once nothing is left to count or to wait for."""
        if self.uncounted_failed or self.uncounted_succeeded or self.terminating:
            return False
        final = _FINAL[decided["type"]]
        self.conditions.append(_condition(final, decided["reason"], decided["message"], self.now))
        if final == "Complete":
            if self.completions is not None and self.total_succeeded > self.completions:
                message = "Too many succeeded pods running after completion count reached"
                self.events.append(Event(self.job, "Warning", "TooManySucceededPods", message))
            self.events.append(Event(self.job, "Normal", "Completed", "Job completed"))
        else:
            self.events.append(Event(self.job, "Warning", decided["reason"], decided["message"]))
        return True

    def _look_again(self, seconds: float) -> None:
        if seconds > 0 and (self.requeue_s is None or seconds < self.requeue_s):
            self.requeue_s = seconds

    # -- pods to make or to delete ---------------------------------------------------------------------------------

    def _manage(self) -> tuple[list[Object], list[Create]]:
        active = len(self.active)
        if self.suspended:
            return self.active[:_BURST_MAX], []
        parallelism = int(self.spec.get("parallelism", 1))
        if self.completions is None:
            wanted = active if self.total_succeeded > 0 else parallelism
        else:
            left = self.completions - self.total_succeeded - len(self.failed_indexes)
            wanted = max(0, min(left, parallelism))
        surplus = self._surplus(max(0, active - wanted))
        if surplus:
            return surplus[:_BURST_MAX], []
        waiting = len(self.terminating) if rules.replaces_only_failed(self.job) else 0
        missing = min(wanted - waiting - active, _BURST_MAX)
        if missing <= 0:
            return [], []
        if self.limit_per_index is None:
            delay_s = self.ended.backoff_s(self.now)
            if delay_s > 0:
                self.backs_off = True
                self._look_again(delay_s)
                return [], []
        if not self.indexed:
            return [], [self._create(None, None)] * missing
        return [], self._create_indexes(missing)

    def _surplus(self, at_least: int) -> list[Object]:
        chosen: list[Object] = []
        if self.indexed:
            by_index: dict[int | None, list[Object]] = {}
            for pod in self.active:
                by_index.setdefault(rules.index_of(pod), []).append(pod)
            for index, pods in sorted(by_index.items(), key=lambda item: -1 if item[0] is None else item[0]):
                is_valid = index is not None and index < (self.completions or 0)
                order = podlib.deletion_order(pods, None, self.now)
                chosen += order[:-1] if is_valid else order
        rest = [p for p in self.active if p not in chosen]
        more = max(0, at_least - len(chosen))
        return chosen + podlib.deletion_order(rest, None, self.now)[:more]

    def _create_indexes(self, missing: int) -> list[Create]:
        taken = {rules.index_of(p) for p in self.active} | self.done_indexes | self.failed_indexes
        if rules.replaces_only_failed(self.job):
            taken |= {rules.index_of(p) for p in self.terminating}
        pending = [index for index in range(self.completions or 0) if index not in taken][:missing]
        last_failed = self._last_failed_by_index()
        creates: list[Create] = []
        delays_s = []
        for index in pending:  # one that has to wait keeps its place
            before = last_failed.get(index)
            if before is not None:
                delay_s = rules.backoff_s(_attempts(before) + 1, rules.finished_at(before), self.now)
                if delay_s > 0:
                    delays_s.append(delay_s)
                    continue
            creates.append(self._create(index, before))
        if delays_s:
            self.backs_off = not creates
            self._look_again(min(delays_s))
        return creates

    def _create(self, index: int | None, before: Object | None) -> Create:
        pod = podlib.from_template(self.spec["template"], self.job, "batch/v1", "Job")
        metadata, spec = pod["metadata"], pod["spec"]
        metadata["finalizers"] = [*metadata.get("finalizers", []), FINALIZER]
        if index is not None:
            name = name_of(self.job)
            end = f"-{index}-"
            metadata["generateName"] = name[: _PREFIX_MAX - len(end)] + end
            annotations = metadata.setdefault("annotations", {})
            annotations[rules.INDEX] = str(index)
            metadata.setdefault("labels", {})[rules.INDEX] = str(index)
            if self.limit_per_index is not None:
                self._carry_on(annotations, before)
            spec["hostname"] = f"{name}-{index}"
            for part in ("initContainers", "containers"):
                if spec.get(part):
                    spec[part] = [_with_index_variable(container) for container in spec[part]]
        tell = Tell(
            self.job, ("SuccessfulCreate", "Created pod: {name}"), ("FailedCreate", "Error creating: {error}")
        )
        return Create("pods", pod, tell)

    def _carry_on(self, annotations: dict[str, str], before: Object | None) -> None:
        failures = ignored = 0
        if before is not None:
            failures = rules.failures_of(before)
            ignored = rules.failures_of(before, rules.IGNORED_FAILURES)
            if rules.failure_action(self.job, before)[0] == "Ignore":
                ignored += 1
            else:
                failures += 1
        annotations[rules.FAILURES] = str(failures)
        if ignored:
            annotations[rules.IGNORED_FAILURES] = str(ignored)

    # -- status ----------------------------------------------------------------------------------------------------

    def _note_suspension(self) -> None:
        current = find_condition(self.conditions, "Suspended")
        if self.suspended and (current is None or current["status"] != "True"):
            fresh = _condition("Suspended", "JobSuspended", "Job suspended", self.now)
            self.events.append(Event(self.job, "Normal", "Suspended", "Job suspended"))
        elif not self.suspended and current is not None and current["status"] == "True":
            fresh = _condition("Suspended", "JobResumed", "Job resumed", self.now, "False")
            self.events.append(Event(self.job, "Normal", "Resumed", "Job resumed"))
            self.start_time = timestamp(self.now)  # the deadline starts anew
        else:
            return
        self.conditions = [fresh if c["type"] == "Suspended" else c for c in self.conditions]
        if current is None:
            self.conditions.append(fresh)

    def _new_status(self, active: int, ready_of: list[Object], terminating: int, finished: bool) -> Object:
        status: Object = {
            "ready": sum(podlib.is_ready(p) for p in ready_of),
            "terminating": terminating,
            "uncountedTerminatedPods": {
                k: v
                for k, v in (("succeeded", self.uncounted_succeeded), ("failed", self.uncounted_failed))
                if v
            },
        }
        succeeded = len(self.done_indexes) if self.indexed else self.succeeded
        optional = {
            "active": active,
            "succeeded": succeeded,
            "failed": self.failed,
            "conditions": self.conditions,
            "startTime": None if self.suspended else self.start_time,
            "completionTime": self.status.get("completionTime"),
        }
        if self.indexed:
            optional["completedIndexes"] = rules.format_indexes(self.done_indexes)
        if finished and find_condition(self.conditions, "Complete"):
            optional["completionTime"] = timestamp(self.now)
        status.update({k: v for k, v in optional.items() if v})
        if self.limit_per_index is not None:
            status["failedIndexes"] = rules.format_indexes(self.failed_indexes)
        return status


def _attempts(pod: Object) -> int:
    return rules.failures_of(pod) + rules.failures_of(pod, rules.IGNORED_FAILURES)


def _condition(type_: str, reason: str, message: str, now: float, status: str = "True") -> Object:
    time = timestamp(now)
    return {
        "type": type_,
        "status": status,
        "lastProbeTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    }


def _with_index_variable(container: Object) -> Object:
    env = container.get("env") or []
    if any(e["name"] == "JOB_COMPLETION_INDEX" for e in env):
        return container
    path = f"metadata.labels['{rules.INDEX}']"
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    return {**container, "env": [*env, variable]}
