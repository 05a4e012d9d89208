"""CronJob: makes a Job at each scheduled time.

Its own clock is the time of the last Job: each turn asks which scheduled time is the latest that has passed since then,
starts that one (earlier ones are missed for good), and comes back at the next. A Job's name contains its scheduled
minute, so that the same time is never started twice, whatever else fails.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import NamedTuple

from ..api import cron
from ..api.object import (
    Object,
    get,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from ..base.clock import parse_timestamp, timestamp
from ..client.informer import IndexFunction, by_controller
from .common import controlled_by, key_of_controller, with_status
from .job import is_finished
from .plan import (
    NOTHING,
    Action,
    Controller,
    Create,
    Delete,
    Event,
    Keys,
    Later,
    Plan,
    Source,
    StillAbsent,
    Tell,
    Update,
    View,
    own,
)

_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MISSED_MAX = 100  # more than these are worth a warning
_DELTA_S = 0.1  # late rather than early


class _Recent(NamedTuple):
    since: float  # the last one that was started, or the CronJob's creation
    due: int | None  # the latest time that has passed since
    missed: int  # about how many have, from the second on


class CronJobController(Controller):
    name = "cronjob"
    component = "cronjob-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"cronjobs.batch": _of_cron_job, "jobs.batch": _of_job}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"jobs.batch": {"controller": by_controller}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        cron_job = view.of("cronjobs.batch").get(*split_key(key))
        if cron_job is None:
            return NOTHING
        jobs = view.of("jobs.batch").by_index("controller", uid_of(cron_job))
        turn = _Turn(cron_job, jobs, now)
        turn.clean_up()
        turn.look_at_jobs()
        requeue_s = None if is_deleting(cron_job) else turn.schedule()
        if turn.creates is None:
            return Plan([*turn.actions, *turn.status_update()], requeue_s)
        return Plan(
            [*turn.actions, turn.creates], requeue_s, lambda errors: turn.status_update() if errors else []
        )


def _of_cron_job(old: Object | None, new: Object | None, view: View) -> Keys:
    """Another schedule takes effect at its next time, not for times that would have been before."""
    if old and new and any(old["spec"].get(k) != new["spec"].get(k) for k in ("schedule", "timeZone")):
        try:
            schedule = _schedule_of(new["spec"])
        except cron.ScheduleError:
            return []
        return [Later(key_of(new), lambda now: _next_in_s(new, schedule, now) or 0.0)]
    return own(old, new, view)


def _schedule_of(spec: Object) -> cron.Schedule:
    zone, text = spec.get("timeZone"), spec["schedule"]
    return cron.parse(
        text if "TZ" in text or zone is None or cron.zone_problem(zone) else f"TZ={zone} {text}"
    )


def _of_job(old: Object | None, new: Object | None, view: View) -> list[str]:
    return [k for k in (key_of_controller(j, "CronJob", "batch") for j in (old, new)) if k]


class _Turn:
    def __init__(self, cron_job: Object, jobs: list[Object], now: float):
        self.cron_job, self.jobs, self.now = cron_job, jobs, now
        self.spec = cron_job["spec"]
        self.status: Object = dict(cron_job.get("status") or {})
        self.active: list[Object] = list(self.status.get("active") or [])
        self.actions: list[Action] = []
        self.creates: Create | None = None

    # -- what became of the Jobs -----------------------------------------------------------------------------------

    def clean_up(self) -> None:
        for type_, limit in (
            ("Complete", self.spec.get("successfulJobsHistoryLimit")),
            ("Failed", self.spec.get("failedJobsHistoryLimit")),
        ):
            ended = [j for j in self.jobs if (c := is_finished(j)) and c["type"] == type_]
            if limit is None or len(ended) <= limit:
                continue
            ended.sort(key=lambda j: (get(j, "status.startTime") or "~", name_of(j)))
            for job in ended[: len(ended) - limit]:
                if not is_deleting(job):
                    self._delete(job)

    def look_at_jobs(self) -> None:
        known = {reference.get("uid") for reference in self.active}
        for job in self.jobs:
            finished = is_finished(job)
            if uid_of(job) not in known and not finished:
                message = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
                self._tell("Warning", "UnexpectedJob", message)
            elif finished:
                if uid_of(job) in known:
                    self._forget(job)
                    self._tell(
                        "Normal",
                        "SawCompletedJob",
                        f"Saw completed job: {name_of(job)}, condition: {finished['type']}",
                    )
                ended = get(job, "status.completionTime")
                if finished["type"] == "Complete" and ended:
                    self.status["lastSuccessfulTime"] = max(
                        ended, self.status.get("lastSuccessfulTime") or ""
                    )
        there = {uid_of(job) for job in self.jobs}
        for reference in list(self.active):
            if reference.get("uid") in there:
                continue
            where = reference.get("namespace", ""), reference["name"]
            self.actions.append(StillAbsent("jobs.batch", *where, reference.get("uid", "")))
            self._tell("Normal", "MissingJob", f"Active job went missing: {reference['name']}")
            self.active.remove(reference)

    # -- the next one ----------------------------------------------------------------------------------------------

    def schedule(self) -> float | None:
        """Starts what is due; returns how long until the next time."""
        zone, text = self.spec.get("timeZone"), self.spec["schedule"]
        if zone is not None and (wrong := cron.zone_problem(zone)):
            self._tell("Warning", "UnknownTimeZone", f'invalid timeZone: "{zone}": {wrong}')
            return None
        if self.spec.get("suspend"):
            return None
        if "TZ" in text:
            message = (
                f'CRON_TZ or TZ used in schedule "{text}" is not officially supported, see '
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )
            self._tell("Warning", "UnsupportedSchedule", message)
        try:
            schedule = _schedule_of(self.spec)
        except cron.ScheduleError as error:
            self._tell("Warning", "UnparseableSchedule", f'unparseable schedule: "{text}" : {error}')
            return None
        try:
            recent = _recent(self.cron_job, schedule, self.now, self.spec.get("startingDeadlineSeconds"))
        except cron.ScheduleError as error:
            self._tell("Warning", "InvalidSchedule", f"invalid schedule: {text} : {error}")
            return None
        if recent.due is not None:
            if recent.missed > _MISSED_MAX:
                message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
                self._tell("Warning", "TooManyMissedTimes", message)
            self._start_if_allowed(recent.due)
        return _next_in_s(self.cron_job, schedule, self.now)

    def _start_if_allowed(self, due: int) -> None:
        deadline_s = self.spec.get("startingDeadlineSeconds")
        if deadline_s is not None and due + deadline_s < self.now:
            at = datetime.datetime.fromtimestamp(due, datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S %z")
            self._tell("Warning", "MissSchedule", f"Missed scheduled time to start a job: {at}")
            return
        name = f"{name_of(self.cron_job)}-{int(due) // 60}"
        if any(r["name"] == name for r in self.active) or self.status.get("lastScheduleTime") == timestamp(
            due
        ):
            return
        policy = self.spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and self.active:
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._tell("Normal", "JobAlreadyActive", message)
            return
        if policy == "Replace":
            running = {r.get("uid") for r in self.active}
            for job in self.jobs:
                if uid_of(job) in running:
                    self._delete(job)
        self._create(name, due)

    def _create(self, name: str, due: int) -> None:
        template = self.spec["jobTemplate"]
        at = datetime.datetime.fromtimestamp(due, cron.zone_of(self.spec.get("timeZone") or "")).isoformat()
        job: Object = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "namespace": namespace_of(self.cron_job),
                "annotations": {
                    **get(template, "metadata.annotations", {}),
                    _SCHEDULED: at.replace("+00:00", "Z"),
                },
                "ownerReferences": [owner_reference(self.cron_job, "batch/v1", "CronJob")],
            },
            "spec": template["spec"],
        }
        if labels := labels_of(template):
            job["metadata"]["labels"] = dict(labels)
        done = ("SuccessfulCreate", "Created job {name}")
        failed = ("FailedCreate", "Error creating job: {error}")

        def started(made: Object) -> list[Action]:
            """An earlier turn may have made it and not come to telling; if it is somebody else's, it is theirs to tell."""
            if controlled_by(made, self.cron_job) and uid_of(made) not in {r.get("uid") for r in self.active}:
                self.active = [*self.active, _reference(made)]
                self.status["lastScheduleTime"] = timestamp(due)
            return self.status_update()

        tell = Tell(self.cron_job, done, failed)
        self.creates = Create("jobs.batch", job, tell, ignore=("AlreadyExists",), then=started)

    # -- small things ----------------------------------------------------------------------------------------------

    def status_update(self) -> list[Action]:
        status = {k: v for k, v in self.status.items() if k != "active"}
        if self.active:
            status["active"] = self.active
        before = self.cron_job.get("status") or {}
        if status == before:
            return []
        return [Update("cronjobs.batch", with_status(self.cron_job, status), "status")]

    def _delete(self, job: Object) -> None:
        done = ("SuccessfulDelete", f"Deleted job {name_of(job)}")
        failed = ("FailedDelete", "Deleted job: {error}")
        self.actions.append(
            Delete(
                "jobs.batch",
                namespace_of(job),
                name_of(job),
                uid_of(job),
                "Background",
                tell=Tell(self.cron_job, done, failed),
            )
        )
        self._forget(job)

    def _forget(self, job: Object) -> None:
        self.active = [r for r in self.active if r.get("uid") != uid_of(job)]

    def _tell(self, type_: str, reason: str, message: str) -> None:
        self.actions.append(Event(self.cron_job, type_, reason, message))


def _reference(job: Object) -> Object:
    return {
        "kind": "Job",
        "apiVersion": "batch/v1",
        "namespace": namespace_of(job),
        "name": name_of(job),
        "uid": uid_of(job),
        "resourceVersion": job["metadata"].get("resourceVersion", ""),
    }


def _recent(cron_job: Object, schedule: cron.Schedule, now: float, deadline_s: float | None) -> _Recent:
    """The latest of the times that have passed. They are not walked through one by one: a jump by the first interval
    leads near the end, and, where intervals differ, sometimes past the last one."""
    since = parse_timestamp(
        get(cron_job, "status.lastScheduleTime") or cron_job["metadata"]["creationTimestamp"]
    )
    if deadline_s is not None:
        since = max(since, now - deadline_s)
    first = schedule.after(since)
    if first is not None and now < first:
        return _Recent(since, None, 0)
    second = schedule.after(first) if first is not None else None
    if first is None or second is None:
        raise cron.ScheduleError("time difference between two schedules is less than 1 second")
    if now < second:
        return _Recent(since, first, 0)
    missed = int(now - first) // (second - first) + 1
    due, following = None, schedule.after(first + (missed - 2) * (second - first))
    while following is not None and following <= now:
        due, following = following, schedule.after(following)
    return _Recent(since, due, missed)


def _next_in_s(cron_job: Object, schedule: cron.Schedule, now: float) -> float | None:
    try:
        recent = _recent(cron_job, schedule, now, None)
    except cron.ScheduleError:
        start = now
    else:
        start = recent.due or (now if recent.missed else recent.since)
    following = schedule.after(start)
    return None if following is None else following + _DELTA_S - now
