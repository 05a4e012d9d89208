"""CronJob: makes a Job at each scheduled time.

Its own clock is the time of the last Job: each turn asks which scheduled time is the latest that has passed since then,
starts that one (earlier ones are missed for good), and comes back at the next. A Job's name contains its scheduled
minute, so that the same time is never started twice, whatever else fails.
"""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Mapping

from ..api.object import (
    Object,
    annotations_of,
    get,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from ..base.clock import parse_timestamp, timestamp
from ..client.informer import IndexFunction, by_controller
from .common import key_of_controller, with_status
from .job import is_finished
from .plan import (
    NOTHING,
    Action,
    Controller,
    Create,
    Delete,
    Event,
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

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class CronJobController(Controller):
    name = "cronjob"
    component = "cronjob-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"cronjobs.batch": own, "jobs.batch": _of_job}

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
        return Plan([*turn.actions, *turn.status_update()], requeue_s)


def _of_job(old: Object | None, new: Object | None, view: View) -> list[str]:
    return [k for k in (key_of_controller(j, "CronJob", "batch") for j in (old, new)) if k]


class _Turn:
    def __init__(self, cron_job: Object, jobs: list[Object], now: float):
        self.cron_job, self.jobs, self.now = cron_job, jobs, now
        self.spec = cron_job["spec"]
        self.status: Object = dict(cron_job.get("status") or {})
        self.active: list[Object] = list(self.status.get("active") or [])
        self.actions: list[Action] = []

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
                if self._is_ours(job):
                    self.active.append(_reference(job))
                else:
                    self._tell(
                        "Warning",
                        "UnexpectedJob",
                        f"Saw a job that the controller did not create or forgot: {name_of(job)}",
                    )
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

    def _is_ours(self, job: Object) -> bool:
        """Made by a turn of ours whose status did not tell of it yet."""
        return _SCHEDULED in annotations_of(job) and name_of(job).startswith(f"{name_of(self.cron_job)}-")

    # -- the next one ----------------------------------------------------------------------------------------------

    def schedule(self) -> float | None:
        """Starts what is due; returns how long until the next time."""
        zone_name = self.spec.get("timeZone")
        try:
            zone = zoneinfo.ZoneInfo(zone_name) if zone_name else datetime.UTC
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            self._tell("Warning", "UnknownTimeZone", f'invalid timeZone: "{zone_name}": {error}')
            return None
        if self.spec.get("suspend"):
            return None
        try:
            schedule = Schedule(self.spec["schedule"], zone)
        except ValueError as error:
            message = f'unparseable schedule: "{self.spec["schedule"]}" : {error}'
            self._tell("Warning", "UnparseableCronJobSchedule", message)
            return None
        due = self._due(schedule)
        next_time = schedule.after(max(self.now, due or 0.0))
        if due is not None:
            self._start_if_allowed(due, zone)
        return None if next_time is None else max(0.1, next_time - self.now)

    def _due(self, schedule: Schedule) -> float | None:
        earliest = parse_timestamp(self.cron_job["metadata"]["creationTimestamp"])
        if self.status.get("lastScheduleTime"):
            earliest = parse_timestamp(self.status["lastScheduleTime"])
        deadline_s = self.spec.get("startingDeadlineSeconds")
        if deadline_s is not None:
            earliest = max(earliest, self.now - deadline_s)
        due, missed = schedule.latest(earliest, self.now)
        if missed > _MISSED_MAX:
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._tell("Warning", "TooManyMissedTimes", message)
        return due

    def _start_if_allowed(self, due: float, zone: datetime.tzinfo) -> None:
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
        self._create(name, due, zone)

    def _create(self, name: str, due: float, zone: datetime.tzinfo) -> None:
        template = self.spec["jobTemplate"]
        at = datetime.datetime.fromtimestamp(due, zone).isoformat()
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
        self.actions.append(
            Create("jobs.batch", job, Tell(self.cron_job, done, failed), ignore=("AlreadyExists",))
        )
        self.status["lastScheduleTime"] = timestamp(due)

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


class Schedule:
    """A cron expression in a time zone. `@every 90s` counts from a fixed origin, so it is the same in every process."""

    def __init__(self, text: str, zone: datetime.tzinfo):
        self._zone = zone
        self._every_s = _duration_s(text.removeprefix("@every ")) if text.startswith("@every ") else 0.0
        self._text = _MACROS.get(text, text).replace("?", "*")  # Go's cron takes ? for *, cronsim does not
        if not self._every_s:
            self.after(0.0)  # raises ValueError now rather than later

    def after(self, seconds: float) -> float | None:
        """The first time after."""
        if self._every_s:
            return (seconds // self._every_s + 1) * self._every_s
        from cronsim import CronSim, CronSimError

        try:
            found = next(CronSim(self._text, datetime.datetime.fromtimestamp(seconds, self._zone)))
        except CronSimError as error:
            raise ValueError(str(error)) from error
        except StopIteration:
            return None
        return float(found.timestamp())

    def latest(self, earliest: float, now: float) -> tuple[float | None, int]:
        """The latest time in (earliest, now], and about how many there were."""
        first = self.after(earliest)
        if first is None or first > now:
            return None, 0
        second = self.after(first)
        if second is None or second > now:
            return first, 1
        # after a long sleep, jump near the end instead of walking through every missed time
        interval = second - first
        missed = int((now - first) // interval) + 1
        latest = first
        back = interval * 2
        while back < now - first:
            candidate = self.after(now - back)
            if candidate is not None and candidate <= now:
                latest = max(latest, candidate)
                break
            back *= 4
        following = self.after(latest)
        while following is not None and following <= now:
            latest, following = following, self.after(following)
        return latest, missed


def _duration_s(text: str) -> float:
    """Go's duration: 1h30m, 90s."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    total, number = 0.0, ""
    for char in text.strip():
        if char.isdigit() or char == ".":
            number += char
        elif char in units and number:
            total, number = total + float(number) * units[char], ""
        else:
            raise ValueError(f"failed to parse duration @every {text}")
    if number or total < 1:
        raise ValueError(f"failed to parse duration @every {text}")
    return float(int(total))
