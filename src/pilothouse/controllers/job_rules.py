"""What decides about a Job's pods: indexes, failure policies, success policies, back-off. All pure.

Indexes are kept as Kubernetes prints them, "0,2-5"; sets of ints in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..api.object import Object, annotations_of, condition_of, get, is_deleting, name_of, namespace_of
from ..base.clock import parse_timestamp
from . import pods as podlib

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 10.0, 600.0


# -- indexes -----------------------------------------------------------------------------------------------------------


def parse_indexes(text: str | None) -> set[int]:
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """Three or more in a row become a range; two stay two."""
    parts: list[str] = []
    run: list[int] = []
    for index in [*sorted(indexes), None]:
        if index is not None and run and index == run[-1] + 1:
            run.append(index)
            continue
        if len(run) > 2:
            parts.append(f"{run[0]}-{run[-1]}")
        else:
            parts += map(str, run)
        run = [] if index is None else [index]
    return ",".join(parts)


def index_of(pod: Object) -> int | None:
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def failures_of(pod: Object, annotation: str = FAILURES) -> int:
    text = annotations_of(pod).get(annotation, "")
    return int(text) if text.isdigit() else 0


# -- failed or not -----------------------------------------------------------------------------------------------------


def replaces_only_failed(job: Object) -> bool:
    return get(job, "spec.podReplacementPolicy") == "Failed" or bool(get(job, "spec.podFailurePolicy"))


def is_failed(pod: Object, job: Object) -> bool:
    """Also one that was deleted before it could fail, unless the Job waits for that."""
    if podlib.phase(pod) == "Failed":
        return True
    return not replaces_only_failed(job) and is_deleting(pod) and podlib.phase(pod) != "Succeeded"


def failure_action(job: Object, pod: Object) -> tuple[str, str]:
    """What the pod failure policy says of a failed pod: (Count, Ignore, FailIndex or FailJob; the message of FailJob)."""
    for number, rule in enumerate(get(job, "spec.podFailurePolicy.rules", [])):
        action = rule["action"]
        if action == "FailIndex" and get(job, "spec.backoffLimitPerIndex") is None:
            continue
        why = _matches_exit_codes(rule.get("onExitCodes"), pod) or _matches_conditions(
            rule.get("onPodConditions"), pod
        )
        if why:
            return action, f"{why} matching {action} rule at index {number}"
    return "Count", ""


def _matches_exit_codes(wanted: Object | None, pod: Object) -> str:
    if not wanted:
        return ""
    statuses = [*get(pod, "status.containerStatuses", []), *get(pod, "status.initContainerStatuses", [])]
    for status in statuses:
        code = get(status, "state.terminated.exitCode")
        if not code or wanted.get("containerName", status["name"]) != status["name"]:
            continue
        if (code in wanted["values"]) == (wanted["operator"] == "In"):
            pod_key = f"{namespace_of(pod)}/{name_of(pod)}"
            return f"Container {status['name']} for pod {pod_key} failed with exit code {code}"
    return ""


def _matches_conditions(wanted: list[Object] | None, pod: Object) -> str:
    patterns = {(pattern["type"], pattern.get("status", "True")) for pattern in wanted or ()}
    for condition in get(pod, "status.conditions", []):
        if (condition["type"], condition["status"]) in patterns:
            return f"Pod {namespace_of(pod)}/{name_of(pod)} has condition {condition['type']}"
    return ""


def restarts_past_limit(job: Object, pods: Iterable[Object]) -> bool:
    """With restartPolicy OnFailure the kubelet restarts containers: those restarts count against the limit."""
    if get(job, "spec.template.spec.restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        int(status.get("restartCount", 0))
        for pod in pods
        if podlib.phase(pod) in ("Running", "Pending")
        for part in ("initContainerStatuses", "containerStatuses")
        for status in get(pod, f"status.{part}", [])
    )
    limit = get(job, "spec.backoffLimit", 6)
    return restarts > 0 if limit == 0 else bool(restarts >= limit)


def success_rule(job: Object, succeeded: set[int]) -> str | None:
    """The message of the first rule of the success policy that holds."""
    for number, rule in enumerate(get(job, "spec.successPolicy.rules", [])):
        wanted = parse_indexes(rule["succeededIndexes"]) if rule.get("succeededIndexes") else None
        count = rule.get("succeededCount")
        have = succeeded if wanted is None else succeeded & wanted
        enough = len(have) >= count if count is not None else wanted is not None and have >= wanted
        if enough:
            return f"Matched rules at index {number}"
    return None


# -- back-off ----------------------------------------------------------------------------------------------------------


def finished_at(pod: Object) -> float:
    """When the last of its containers ended; else when it stopped being ready, was told to stop, or was made."""
    sidecars = {c["name"] for c in get(pod, "spec.initContainers", []) if c.get("restartPolicy") == "Always"}
    statuses = [
        *get(pod, "status.containerStatuses", []),
        *(s for s in get(pod, "status.initContainerStatuses", []) if s["name"] in sidecars),
    ]
    times = [get(status, "state.terminated.finishedAt") for status in statuses]
    if times and all(times):
        return max(map(parse_timestamp, times))
    ready = condition_of(pod, "Ready")
    if ready is not None and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return parse_timestamp(ready["lastTransitionTime"])
    if deleted := pod["metadata"].get("deletionTimestamp"):
        return parse_timestamp(deleted) - float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
    return podlib.created_at(pod)


def backoff_s(failures: int, last_failure: float, now: float) -> float:
    """How long until the next pod may be made after so many failures in a row: 10 s, 20 s, … 10 min."""
    if not failures:
        return 0.0
    delay: float = min(_BACKOFF_FIRST_S * 2 ** min(failures - 1, 30), _BACKOFF_MAX_S)
    return max(0.0, last_failure + delay - now)


@dataclass(slots=True)
class Ended:
    """How a Job's pods ended since its last success; some of them may be gone by now."""

    job_uid: str
    failures: dict[str, float] = field(default_factory=dict)  # pod uid → when
    success: float = 0.0  # the last one

    def note(self, job: Object, pods: Iterable[Object]) -> None:
        """Also failures that the failure policy ignores."""
        for pod in pods:
            if podlib.phase(pod) == "Succeeded":
                self.success = max(self.success, finished_at(pod))
            elif is_failed(pod, job):
                self.failures.setdefault(pod["metadata"]["uid"], finished_at(pod))
        self.failures = {uid: at for uid, at in self.failures.items() if at > self.success}

    def backoff_s(self, now: float) -> float:
        return backoff_s(len(self.failures), max(self.failures.values(), default=0.0), now)
