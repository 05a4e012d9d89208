"""Jobs and CronJobs, as a user sees them."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.api.object import owner_reference
from pilothouse.base.clock import parse_timestamp
from pilothouse.controllers.job_rules import finished_at, format_indexes, parse_indexes

NAMES = ["job"]


def job(name: str = "one", **spec: Any) -> dict[str, Any]:
    labels = {"job-name": name}
    return {
        "spec": {
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "parallelism": 1,
            "completions": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]},
            },
            **spec,
        }
    }


async def end(w: Any, pods: list[dict[str, Any]], code: int = 0) -> None:
    from pilothouse.base.clock import timestamp

    for pod in pods:
        ended = {"terminated": {"exitCode": code, "finishedAt": timestamp(w.clock.now())}}
        await w.set_pod(
            pod,
            "Failed" if code else "Succeeded",
            containerStatuses=[{"name": "c", "state": ended}],
        )


def live(w: Any) -> list[dict[str, Any]]:
    return [p for p in w.all("pods") if p["status"]["phase"] in ("Pending", "Running")]


def kinds(w: Any, name: str = "one") -> list[str]:
    return [f"{c['type']}/{c['reason']}" for c in w.get("jobs.batch", name)["status"].get("conditions", [])]


def test_a_job_runs_one_pod_to_its_end_and_counts_it(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job())
        await w.settle()
        (pod,) = w.all("pods")
        assert pod["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]
        status = w.get("jobs.batch", "one")["status"]
        assert {k: status[k] for k in ("active", "ready", "terminating", "uncountedTerminatedPods")} == {
            "active": 1,
            "ready": 0,
            "terminating": 0,
            "uncountedTerminatedPods": {},
        }
        await end(w, [pod])
        await w.settle()
        status = w.get("jobs.batch", "one")["status"]
        assert kinds(w) == ["SuccessCriteriaMet/CompletionsReached", "Complete/CompletionsReached"]
        assert (status["succeeded"], "active" in status, "completionTime" in status) == (1, False, True)
        assert not w.all("pods")[0]["metadata"].get("finalizers")
        assert w.events("Completed") == [("Completed", "Job completed")]

    run(story, NAMES)


def test_completions_are_worked_off_in_parallel(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job(completions=5, parallelism=2))
        for expected in (2, 2, 1):
            await w.settle()
            assert len(live(w)) == expected
            await end(w, live(w))
        await w.settle()
        assert w.get("jobs.batch", "one")["status"]["succeeded"] == 5

    run(story, NAMES)


def test_failures_back_off_and_end_at_the_limit(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job(backoffLimit=1))
        await w.settle()
        await end(w, live(w), 1)
        await w.settle(5)
        assert live(w) == []
        await w.settle(6)
        assert len(live(w)) == 1
        await end(w, live(w), 1)
        await w.settle()
        assert kinds(w) == ["FailureTarget/BackoffLimitExceeded", "Failed/BackoffLimitExceeded"]
        assert w.get("jobs.batch", "one")["status"]["failed"] == 2
        message = "Job has reached the specified backoff limit"
        assert w.events("BackoffLimitExceeded") == [("BackoffLimitExceeded", message)]

    run(story, NAMES)


def test_others_are_not_told_of_while_a_failure_is_backed_off_from(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job(parallelism=2, completions=2))
        await w.settle()
        await end(w, live(w)[:1], 1)
        await w.settle(3)
        status = w.get("jobs.batch", "one")["status"]
        assert (len(live(w)), status.get("active"), status["failed"]) == (1, None, 1)
        await w.settle(10)
        assert w.get("jobs.batch", "one")["status"]["active"] == 2

    run(story, NAMES)


def test_a_pod_that_was_deleted_backs_off_too_though_it_is_gone(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job())
        await w.settle()
        (pod,) = w.all("pods")
        await w.api.delete("pods", "default", pod["metadata"]["name"])
        await w.settle(7)
        assert w.all("pods") == []
        assert w.get("jobs.batch", "one")["status"]["failed"] == 1
        await w.settle(5)
        assert len(live(w)) == 1

    run(story, NAMES)


def test_the_deadline_ends_the_job_and_its_pods(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job(activeDeadlineSeconds=10))
        await w.settle(9)
        assert kinds(w) == []
        await w.settle(3)
        assert kinds(w) == ["FailureTarget/DeadlineExceeded", "Failed/DeadlineExceeded"]
        assert w.all("pods") == []
        assert w.get("jobs.batch", "one")["status"]["failed"] == 1

    run(story, NAMES)


def test_suspending_deletes_pods_and_resuming_makes_them_again(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job(suspend=True, parallelism=2, completions=2))
        await w.settle()
        assert w.all("pods") == []
        assert kinds(w) == ["Suspended/JobSuspended"]
        await w.change("jobs.batch", "one", {"spec": {"suspend": False}})
        await w.settle()
        assert len(live(w)) == 2
        assert kinds(w) == ["Suspended/JobResumed"]
        await w.change("jobs.batch", "one", {"spec": {"suspend": True}})
        await w.settle()
        assert w.all("pods") == []
        status = w.get("jobs.batch", "one")["status"]
        assert "startTime" not in status
        assert "failed" not in status
        assert [r for r, _ in w.events()].count("SuccessfulDelete") == 2

    run(story, NAMES)


def test_an_indexed_job_runs_each_index_once(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job(completionMode="Indexed", completions=3, parallelism=3))
        await w.settle()
        assert sorted(p["spec"]["hostname"] for p in live(w)) == ["one-0", "one-1", "one-2"]
        pods = {p["spec"]["hostname"]: p for p in live(w)}
        assert pods["one-1"]["metadata"]["generateName"] == "one-1-"
        await end(w, [pods["one-0"], pods["one-2"]])
        await w.settle()
        status = w.get("jobs.batch", "one")["status"]
        assert (status["completedIndexes"], status["active"]) == ("0,2", 1)
        await end(w, [pods["one-1"]])
        await w.settle()
        assert w.get("jobs.batch", "one")["status"]["completedIndexes"] == "0-2"
        assert kinds(w)[-1] == "Complete/CompletionsReached"

    run(story, NAMES)


def test_a_failure_policy_may_ignore_or_fail_at_once(run):
    async def story(w):
        codes = {"containerName": "c", "operator": "In", "values": [42]}
        rules = [
            {"action": "FailJob", "onExitCodes": codes},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
        await w.apply("jobs.batch", "one", **job(backoffLimit=0, podFailurePolicy={"rules": rules}))
        await w.settle()
        (pod,) = live(w)
        condition = {"type": "DisruptionTarget", "status": "True"}
        await w.api.patch(
            "pods",
            "default",
            pod["metadata"]["name"],
            {"status": {"phase": "Failed", "conditions": [condition]}},
        )
        await w.settle(12)
        assert "failed" not in w.get("jobs.batch", "one")["status"]
        (again,) = live(w)
        await end(w, [again], 42)
        await w.settle()
        assert kinds(w)[-1] == "Failed/PodFailurePolicy"
        message = w.get("jobs.batch", "one")["status"]["conditions"][-1]["message"]
        name = again["metadata"]["name"]
        assert message == (
            f"Container c for pod default/{name} failed with exit code 42 matching FailJob rule at index 0"
        )
        assert w.get("jobs.batch", "one")["status"]["failed"] == 1

    run(story, NAMES)


def test_a_limit_per_index_lets_the_others_go_on(run):
    async def story(w):
        spec = job(
            completionMode="Indexed",
            completions=2,
            parallelism=2,
            backoffLimitPerIndex=1,
            backoffLimit=2**31 - 1,
        )
        await w.apply("jobs.batch", "one", **spec)
        await w.settle()
        zero = [p for p in live(w) if p["spec"]["hostname"] == "one-0"]
        await end(w, zero, 1)
        await w.settle(30)
        (zero,) = [p for p in live(w) if p["spec"]["hostname"] == "one-0"]
        assert zero["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "1"
        await end(w, [zero], 1)
        await w.settle(30)
        assert w.get("jobs.batch", "one")["status"]["failedIndexes"] == "0"
        await end(w, live(w))
        await w.settle()
        assert kinds(w) == ["FailureTarget/FailedIndexes", "Failed/FailedIndexes"]
        status = w.get("jobs.batch", "one")["status"]
        assert (status["succeeded"], status["failed"]) == (1, 2)

    run(story, NAMES)


def test_an_index_that_waits_for_its_next_try_keeps_its_place(run):
    async def story(w):
        spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 1, "backoffLimitPerIndex": 1}
        await w.apply("jobs.batch", "one", **job(**spec))
        await w.settle()
        await end(w, live(w), 1)
        await w.settle(8)
        assert live(w) == []
        await w.settle(4)
        assert [p["spec"]["hostname"] for p in live(w)] == ["one-0"]

    run(story, NAMES)


def test_of_pods_that_are_too_many_the_youngest_go(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job(completions=9, parallelism=2))
        await w.settle(3)
        await w.ready_all()
        first = {p["metadata"]["name"] for p in live(w)}
        await w.change("jobs.batch", "one", {"spec": {"parallelism": 4}})
        await w.settle(3)
        await w.ready_all()
        assert len(live(w)) == 4
        await w.change("jobs.batch", "one", {"spec": {"parallelism": 2}})
        await w.settle()
        assert {p["metadata"]["name"] for p in live(w)} == first

    run(story, NAMES)


def test_an_adopted_pod_is_tracked(run):
    async def story(w):
        labels = {"job-name": "one"}
        await w.apply("pods", "stray", metadata={"labels": labels}, spec={}, status={"phase": "Pending"})
        await w.apply("jobs.batch", "one", **job())
        await w.settle()
        (pod,) = w.all("pods")
        assert pod["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]

    run(story, NAMES)


ENDED = {"terminated": {"finishedAt": "2026-01-01T00:00:09Z"}}
STOPPED = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:08Z"}


@pytest.mark.parametrize(
    ("status", "at"),
    [
        ({"containerStatuses": [{"name": "c", "state": ENDED}], "conditions": [STOPPED]}, 9),
        ({"containerStatuses": [{"name": "c", "state": {"running": {}}}], "conditions": [STOPPED]}, 8),
        ({"conditions": [{**STOPPED, "status": "True"}]}, 6),
    ],
)
def test_when_a_pod_finished(status, at):
    metadata = {"deletionTimestamp": "2026-01-01T00:00:36Z", "deletionGracePeriodSeconds": 30}
    finished = finished_at({"metadata": metadata, "spec": {}, "status": status})
    assert finished - parse_timestamp("2026-01-01T00:00:00Z") == at


def test_a_success_policy_ends_the_job_early(run):
    async def story(w):
        rule = {"succeededIndexes": "1,3", "succeededCount": 1}
        spec = job(completionMode="Indexed", completions=4, parallelism=4, successPolicy={"rules": [rule]})
        await w.apply("jobs.batch", "one", **spec)
        await w.settle()
        await end(w, [p for p in live(w) if p["spec"]["hostname"] == "one-3"])
        await w.settle()
        assert kinds(w) == ["SuccessCriteriaMet/SuccessPolicy", "Complete/SuccessPolicy"]
        status = w.get("jobs.batch", "one")["status"]
        assert (status["completedIndexes"], status["succeeded"], "failed" in status) == ("3", 1, False)
        assert len(w.all("pods")) == 1

    run(story, NAMES)


def test_pods_of_a_job_that_is_gone_are_let_go(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job())
        await w.settle()
        await w.api.delete("jobs.batch", "default", "one")
        await w.settle()
        assert not w.all("pods")[0]["metadata"].get("finalizers")

    run(story, NAMES)


def test_a_finished_job_goes_after_its_time_to_live(run):
    async def story(w):
        await w.apply("jobs.batch", "one", **job(ttlSecondsAfterFinished=60))
        await w.settle()
        await end(w, live(w))
        await w.settle(50)
        assert w.get("jobs.batch", "one")
        await w.settle(15)
        assert w.get("jobs.batch", "one") is None

    run(story, [*NAMES, "ttl-after-finished", "garbage-collector"])


@pytest.mark.parametrize(
    ("text", "indexes"), [("", set()), ("3", {3}), ("0,2", {0, 2}), ("1,3-5,7,8", {1, 3, 4, 5, 7, 8})]
)
def test_indexes_are_printed_as_kubernetes_does(text, indexes):
    assert format_indexes(indexes) == text
    assert parse_indexes(text) == indexes


# -- CronJobs ----------------------------------------------------------------------------------------------------------


def cron_job(schedule: str = "*/5 * * * *", **spec: Any) -> dict[str, Any]:
    template = job("c")["spec"]
    return {
        "spec": {
            "schedule": schedule,
            "concurrencyPolicy": "Allow",
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {"spec": template},
            **spec,
        }
    }


def jobs(w: Any) -> list[str]:
    return sorted(j["metadata"]["name"] for j in w.all("jobs.batch"))


def test_a_cron_job_makes_a_job_at_its_time_named_after_the_minute(run):
    async def story(w):
        await w.apply("cronjobs.batch", "batch-app", **cron_job())
        await w.settle(299)
        assert jobs(w) == []
        await w.settle(2)
        minutes = int(w.clock.now()) // 60
        assert jobs(w) == [f"batch-app-{minutes}"]
        assert w.events("SuccessfulCreate") == [("SuccessfulCreate", f"Created job batch-app-{minutes}")]
        status = w.get("cronjobs.batch", "batch-app")["status"]
        assert status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
        assert [r["name"] for r in status["active"]] == [f"batch-app-{minutes}"]
        assert not w.events("UnexpectedJob")
        await w.settle(600)
        assert len(jobs(w)) == 3

    run(story, ["cronjob"])


def test_forbid_skips_and_replace_replaces_what_still_runs(run):
    async def story(w):
        await w.apply("cronjobs.batch", "f", **cron_job(concurrencyPolicy="Forbid"))
        await w.apply("cronjobs.batch", "r", **cron_job(concurrencyPolicy="Replace"))
        await w.settle(601)
        first, second = (int(w.clock.now()) // 60 - minutes for minutes in (5, 0))
        assert jobs(w) == [f"f-{first}", f"r-{second}"]
        assert w.events("JobAlreadyActive")

    run(story, ["cronjob"])


def test_the_history_keeps_the_latest(run):
    async def story(w):
        await w.apply("cronjobs.batch", "c", **cron_job(successfulJobsHistoryLimit=1))
        for _ in range(3):
            await w.settle(301)
            for j in w.all("jobs.batch"):
                now = "2026-01-01T00:00:00Z"
                done = {
                    "startTime": j["metadata"]["creationTimestamp"],
                    "completionTime": now,
                    "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": now}],
                }
                await w.change("jobs.batch", j["metadata"]["name"], {"status": done})
        await w.settle()
        assert len(jobs(w)) == 1
        assert "active" not in w.get("cronjobs.batch", "c")["status"]
        assert w.get("cronjobs.batch", "c")["status"]["lastSuccessfulTime"]
        assert ("SawCompletedJob", f"Saw completed job: {jobs(w)[0]}, condition: Complete") in w.events()

    run(story, ["cronjob"])


def test_a_time_zone_moves_the_schedule_and_a_suspended_one_rests(run):
    async def story(w):
        await w.apply("cronjobs.batch", "tokyo", **cron_job("30 9 * * *", timeZone="Asia/Tokyo"))
        await w.apply("cronjobs.batch", "rests", **cron_job(suspend=True))
        await w.settle(30 * 60 + 1)
        assert len(jobs(w)) == 1
        (made,) = w.all("jobs.batch")
        at = made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        assert at == "2026-01-01T09:30:00+09:00"

    run(story, ["cronjob"])


def test_a_cron_job_that_slept_starts_the_latest_of_the_times_it_missed(run):
    async def story(w):
        early = {"lastScheduleTime": "2025-12-31T00:00:00Z"}
        await w.apply("cronjobs.batch", "many", status=early, **cron_job("* * * * *"))
        few = {"lastScheduleTime": "2025-12-31T23:00:00Z"}
        await w.apply("cronjobs.batch", "few", status=few, **cron_job())
        late = cron_job("30 23 * * *", startingDeadlineSeconds=600)
        await w.apply("cronjobs.batch", "late", status=few, **late)
        # a minute in the day, then none until tomorrow: upstream jumps by minutes, past it
        await w.apply("cronjobs.batch", "past", status=few, **cron_job("10,11 23 * * *"))
        await w.apply("cronjobs.batch", "never", **cron_job("0 0 31 2 *"))
        await w.settle()
        minute = int(w.clock.now()) // 60
        assert jobs(w) == [f"few-{minute}", f"many-{minute}"]
        assert [
            e["involvedObject"]["name"] for e in w.all("events") if e["reason"] == "TooManyMissedTimes"
        ] == ["many"]
        assert w.events("InvalidSchedule") == [
            (
                "InvalidSchedule",
                "invalid schedule: 0 0 31 2 * : time difference between two schedules is less than 1 second",
            )
        ]

    run(story, ["cronjob"])


def test_another_schedule_waits_for_its_next_time(run):
    async def story(w):
        await w.apply("cronjobs.batch", "c", **cron_job("0 0 1 1 *"))
        await w.settle(200)
        await w.change("cronjobs.batch", "c", {"spec": {"schedule": "* * * * *"}})
        await w.settle(30)
        assert jobs(w) == []
        await w.settle(30)
        assert len(jobs(w)) == 1

    run(story, ["cronjob"])


def test_a_job_that_was_made_but_not_told_of_becomes_active(run):
    async def story(w):
        await w.apply("cronjobs.batch", "c", **cron_job())
        await w.settle(1)
        owner = owner_reference(w.get("cronjobs.batch", "c"), "batch/v1", "CronJob")
        name = f"c-{int(w.clock.now()) // 60 + 5}"
        await w.apply("jobs.batch", name, metadata={"ownerReferences": [owner]})
        await w.settle(1)
        assert w.events("UnexpectedJob")
        assert "active" not in w.get("cronjobs.batch", "c").get("status", {})
        await w.settle(300)
        assert [r["name"] for r in w.get("cronjobs.batch", "c")["status"]["active"]] == [name]
        assert w.get("cronjobs.batch", "c")["status"]["lastScheduleTime"] == "2026-01-01T00:05:00Z"
        assert not w.events("SuccessfulCreate")

    run(story, ["cronjob"])
