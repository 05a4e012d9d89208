"""Deployments and their like, jobs, cron jobs."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.api import cron
from pilothouse.api.kinds import kind_of_resource
from pilothouse.api.validation import validate_update

from .checking import defaulted, fields, of_create, of_update, pod, workload

JOB = {"spec": {"template": pod(restartPolicy="Never")}}


def job(**spec: Any) -> dict[str, Any]:
    own = {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}}
    template = {"metadata": {"labels": {"a": "b"}}, **pod(restartPolicy="Never")}
    return {"spec": {"template": template, **own, **spec}}


@pytest.mark.parametrize(
    "resource", ["deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps"]
)
def test_a_good_workload_has_no_causes_and_its_selector_must_find_its_pods(resource: str) -> None:
    assert of_create(resource, workload()) == []
    other = workload(selector={"matchLabels": {"a": "c"}})
    assert of_create(resource, other) == [
        ("spec.template.metadata.labels", 'Invalid value: {"a":"b"}: `selector` does not match template `labels`')
    ]  # fmt: skip


@pytest.mark.parametrize("resource", ["deployments.apps", "replicasets.apps", "daemonsets.apps"])
def test_selectors_are_immutable(resource: str) -> None:
    new = workload(
        selector={"matchLabels": {"c": "d"}}, template={"metadata": {"labels": {"c": "d"}}, **pod()}
    )
    assert of_update(resource, new, workload()) == [
        ("spec.selector", 'Invalid value: {"matchLabels":{"c":"d"}}: field is immutable')
    ]


def test_rolling_updates_must_get_somewhere() -> None:
    body = workload(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}})
    at = "spec.strategy.rollingUpdate.maxUnavailable"
    assert of_create("deployments.apps", body) == [
        (at, 'Invalid value: "0%": may not be 0 when `maxSurge` is 0')
    ]


def test_a_stateful_set_changes_only_what_can_be_rolled_out() -> None:
    assert of_update("statefulsets.apps", workload(replicas=3, minReadySeconds=1), workload()) == []
    assert fields(of_update("statefulsets.apps", workload(serviceName="s"), workload())) == ["spec"]


def test_claims_of_a_stateful_set_are_volumes_of_its_pods() -> None:
    mounts = pod(containers=[{"name": "a", "image": "i", "volumeMounts": [{"name": "d", "mountPath": "/d"}]}])
    claim = {
        "metadata": {"name": "d"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    assert of_create("statefulsets.apps", workload(mounts, volumeClaimTemplates=[claim])) == []
    assert fields(of_create("statefulsets.apps", workload(mounts))) == ["spec.template.spec.containers[0].volumeMounts[0].name"]  # fmt: skip


def test_a_status_counts_no_more_ready_than_there_are() -> None:
    new = workload() | {"status": {"replicas": 1, "readyReplicas": 2}}
    assert of_update("replicasets.apps", new, workload(), "status") == [
        ("status.readyReplicas", "Invalid value: 2: cannot be greater than status.replicas")
    ]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"parallelism": -1}, "spec.parallelism"),
        ({"completionMode": "Indexed", "completions": 3, "maxFailedIndexes": 1}, "spec.backoffLimitPerIndex"),
        ({"managedBy": "me"}, "spec.managedBy"),
        ({"podFailurePolicy": {"rules": [{"action": "FailJob"}]}}, "spec.podFailurePolicy.rules[0]"),
        ({"successPolicy": {"rules": [{"succeededCount": 1}]}}, "spec.successPolicy"),
        ({"template": {"metadata": {"labels": {"a": "b"}}, **pod()}}, "spec.template.spec.restartPolicy"),
    ],
)
def test_jobs(spec: dict[str, Any], field: str) -> None:
    assert of_create("jobs.batch", job()) == []
    assert fields(of_create("jobs.batch", job(**spec))) == [field]


@pytest.mark.parametrize(
    ("indexes", "problem"),
    [
        ("0,2-2", "non-increasing order, previous: 2, current: 2"),
        ("4,3", "non-increasing order, previous: 4, current: 3"),
        ("9", 'too large index: "9"'),
        ("1-2-3", "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'"),
    ],
)  # fmt: skip
def test_indexes_of_a_success_policy(indexes: str, problem: str) -> None:
    rules = {"rules": [{"succeededIndexes": indexes}]}
    causes = of_create("jobs.batch", job(completionMode="Indexed", completions=5, successPolicy=rules))
    assert [message for _, message in causes] == [
        f'Invalid value: "{indexes}": error parsing succeededIndexes: {problem}'
    ]


def test_a_jobs_template_is_fixed_except_while_it_waits() -> None:
    other = {"metadata": {"labels": {"a": "b"}}, **pod(restartPolicy="Never", nodeSelector={"a": "b"})}
    assert fields(of_update("jobs.batch", job(template=other), job())) == ["spec.template"]
    assert of_update("jobs.batch", job(template=other, suspend=True), job(suspend=True)) == []


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("*/5 0-23/2 1,15 jan-DEC mon", ""),
        ("@daily", ""),
        ("@every 1h30m", ""),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("TZ=Mars/Base * * * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
    ],
)
def test_schedules(schedule: str, problem: str) -> None:
    assert cron.problem(schedule) == problem


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("TZ=UTC", "invalid schedule format: runtime error: slice bounds out of range [:-1]"),
        ("@every 1x", 'failed to parse duration @every 1x: time: unknown unit "x" in duration "1x"'),
        ("@every 1h ", 'failed to parse duration @every 1h : time: unknown unit "h " in duration "1h "'),
        ("@every 1h5", 'failed to parse duration @every 1h5: time: missing unit in duration "1h5"'),
        (
            f"{1 << 63} * * * *",
            f'failed to parse int from {1 << 63}: strconv.Atoi: parsing "{1 << 63}": value out of range',
        ),
    ],
)
def test_go_says_what_a_schedule_lacks(schedule: str, problem: str) -> None:
    assert cron.problem(schedule) == problem


def test_the_pods_of_a_suspended_job_are_fixed_while_some_are_left() -> None:
    old = job(suspend=True) | {"status": {"active": 1}}
    new = job(suspend=True, template=job()["spec"]["template"] | {"metadata": {"labels": {"x": "y"}}})
    assert "spec.template" in fields(of_update("jobs.batch", new | {"status": {"active": 1}}, old))


def test_cron_jobs() -> None:
    good = {"spec": {"schedule": "* * * * *", "timeZone": "Etc/UTC", "jobTemplate": JOB}}
    assert of_create("cronjobs.batch", good) == []
    bad = {
        "metadata": {"name": "a" * 53},
        "spec": {"schedule": "CRON_TZ=UTC * * * * *", "timeZone": "Local", "jobTemplate": JOB},
    }
    assert fields(of_create("cronjobs.batch", bad)) == ["spec.schedule", "spec.timeZone", "metadata.name"]


def ended(*true: str, **status: Any) -> dict[str, Any]:
    times = {"startTime": "2026-01-01T00:00:00Z"}
    if "Complete" in true:
        times["completionTime"] = "2026-01-01T00:00:01Z"
    conditions = [{"type": type_, "status": "True"} for type_ in true]
    return job() | {"status": {**times, "conditions": conditions, **status}}


RUNNING = ended(succeeded=1)
DONE = ended("SuccessCriteriaMet", "Complete", succeeded=1)


@pytest.mark.parametrize(
    ("status", "old", "causes"),
    [
        (DONE, RUNNING, []),
        (ended("FailureTarget", "Failed", succeeded=1), RUNNING, []),
        (ended("Failed", succeeded=1), RUNNING, ["status.conditions"]),
        (ended("Complete", succeeded=1), RUNNING, ["status.conditions"]),
        (ended("SuccessCriteriaMet", "Complete", succeeded=1, active=1), RUNNING, ["status.active"]),
        (ended("SuccessCriteriaMet", "Complete", succeeded=1, terminating=1), RUNNING, ["status.terminating"]),
        (ended(succeeded=0), RUNNING, ["status.succeeded"]),
        (ended(succeeded=1, ready=2, active=1), RUNNING, ["status.ready"]),
        (ended(succeeded=1, completedIndexes="0"), RUNNING, ["status.completedIndexes"]),
        (ended(succeeded=1, startTime=None), RUNNING, ["status.startTime"]),
        (ended("SuccessCriteriaMet", succeeded=1), DONE, ["status.conditions"]),
    ],
)  # fmt: skip
def test_a_jobs_end(status: dict[str, Any], old: dict[str, Any], causes: list[str]) -> None:
    assert fields(of_update("jobs.batch", status, old, "status")) == causes


def test_an_index_has_either_failed_or_succeeded() -> None:
    spec = {"completionMode": "Indexed", "completions": 9, "backoffLimitPerIndex": 1}
    status = {"completedIndexes": "0,2-4,7", "failedIndexes": "1,5-7"}
    new, old = job(**spec) | {"status": status}, job(**spec)
    assert of_update("jobs.batch", new, old, "status") == [
        ("status.failedIndexes", 'Invalid value: "1,5-7": failedIndexes and completedIndexes overlap at index: 7')
    ]  # fmt: skip


def test_the_pods_of_an_indexed_job_can_be_named() -> None:
    long = {"metadata": {"name": "a" * 62}, **job(completionMode="Indexed", completions=2)}
    assert fields(of_create("jobs.batch", long)) == ["metadata.name"]


def test_a_stateful_sets_template_may_have_names_that_the_controller_replaces() -> None:
    assert of_create("statefulsets.apps", workload(pod(hostname="A_B", subdomain="A_B"))) == []


def test_an_update_of_a_replication_controller_is_checked_once() -> None:
    old = {"spec": {"selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}, **pod()}}}
    new = {"spec": {**old["spec"], "replicas": -1}}
    assert fields(of_update("replicationcontrollers", new, old)) == ["spec.replicas"]


@pytest.mark.parametrize(
    ("resource", "field", "strategy", "message"),
    [
        (
            "deployments.apps",
            "strategy",
            {"type": "x"},
            'Unsupported value: {"Type":"x","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"',
        ),
        (
            "statefulsets.apps",
            "updateStrategy",
            {"type": "x", "rollingUpdate": {"partition": 1}},
            'Invalid value: {"Type":"x","RollingUpdate":{"Partition":1,"MaxUnavailable":null}}: must be \'RollingUpdate\' or \'OnDelete\'',
        ),
    ],
)
def test_strategies_are_shown_as_the_internal_type(
    resource: str, field: str, strategy: dict[str, Any], message: str
) -> None:
    assert of_create(resource, workload(**{field: strategy})) == [(f"spec.{field}", message)]


def test_an_update_names_what_is_wrong_once() -> None:
    for resource in ("replicasets.apps", "daemonsets.apps"):
        new = workload(minReadySeconds=-1)
        assert fields(of_update(resource, new, workload())) == ["spec.minReadySeconds"]


def test_a_collision_count_that_was_not_there_cannot_have_been_more() -> None:
    wrong = [("status.collisionCount", "Invalid value: -1: must be greater than or equal to 0")]
    assert of_update("deployments.apps", {**workload(), "status": {"collisionCount": -1}}, workload(), "status") == wrong  # fmt: skip
    old = {**workload(), "status": {"collisionCount": 0}}
    assert fields(of_update("deployments.apps", workload(), old, "status")) == ["status.collisionCount"]


def test_claims_of_a_template_are_claims_whatever_they_say_and_keep_their_source() -> None:
    source = {"kind": "x", "name": "x"}
    claim = {"metadata": {"name": "v"}, "kind": "Odd", "apiVersion": "odd/v1", "spec": {"dataSource": source}}
    made = defaulted("statefulsets.apps", workload(volumeClaimTemplates=[claim]))
    (one,) = made["spec"]["volumeClaimTemplates"]
    assert (one["apiVersion"], one["kind"]) == ("v1", "PersistentVolumeClaim")
    assert one["spec"]["dataSource"] == source and "dataSourceRef" not in one["spec"]


def test_jobs_without_completions_and_what_may_be_empty_but_not_absent_later() -> None:
    unbounded = job(completionMode="Indexed", parallelism=1, maxFailedIndexes=1000000, backoffLimitPerIndex=1)
    assert fields(of_create("jobs.batch", unbounded)) == ["spec.completions", "spec.maxFailedIndexes"]
    assert of_update("jobs.batch", job(managedBy=""), job())[-1] == (
        "spec.managedBy",
        'Invalid value: "": field is immutable',
    )
    active = {**job(), "status": {"active": -1}}
    assert fields(of_update("jobs.batch", active, job(), "status")) == ["status.active"]
    finished = {
        "active": 0,
        "uncountedTerminatedPods": {"failed": ["u"]},
        "startTime": "2024-01-01T00:00:00Z",
    }
    failed = [{"type": type_, "status": "True"} for type_ in ("FailureTarget", "Failed")]
    assert of_update(
        "jobs.batch", {**job(), "status": {**finished, "conditions": failed}}, job(), "status"
    ) == [
        (
            "status.uncountedTerminatedPods",
            'Invalid value: {"Succeeded":null,"Failed":["u"]}: must be empty for finished job',
        )
    ]


def test_labels_that_a_patch_took_away_are_an_empty_map() -> None:
    old = defaulted("deployments.apps", workload())
    new = defaulted("deployments.apps", workload(template={"metadata": {"labels": {}}, **pod()}))
    for of_patch, shown in ((False, "null"), (True, "{}")):
        (cause,) = validate_update(kind_of_resource("deployments.apps"), new, old, of_patch=of_patch)
        assert cause.message == f"Invalid value: {shown}: `selector` does not match template `labels`"


def test_a_condition_of_a_failure_policy_is_true_in_a_cron_jobs_template_too() -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    template = {"spec": {**job()["spec"], "podFailurePolicy": {"rules": [rule]}}}
    made = defaulted("cronjobs.batch", {"spec": {"schedule": "* * * * *", "jobTemplate": template}})
    (rule,) = made["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
