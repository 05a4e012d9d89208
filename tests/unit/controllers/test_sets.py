"""StatefulSets and DaemonSets, as a user sees them."""

from __future__ import annotations

from typing import Any

from pilothouse.api.errors import forbidden

STATEFUL, DAEMON = ["statefulset", "garbage-collector"], ["daemonset"]


def template(app: str, v: str = "one", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": app, "v": v}}, "spec": {"containers": [{"name": "c"}], **spec}}


def stateful_set(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    return {
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template("db"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "volumeClaimTemplates": [claim],
            "revisionHistoryLimit": 10,
            **spec,
        }
    }


def names(w: Any, v: str = "") -> list[str]:
    return sorted(p["metadata"]["name"] for p in w.all("pods", f"v={v}" if v else ""))


def claims(w: Any) -> list[str]:
    return sorted(c["metadata"]["name"] for c in w.all("persistentvolumeclaims"))


async def all_up(w: Any) -> None:
    while await w.ready_all():
        await w.settle()


def test_pods_come_one_after_the_other_each_with_its_claim(run):
    async def story(w):
        await w.apply("statefulsets.apps", "db", **stateful_set())
        await w.settle()
        assert names(w) == ["db-0"]
        pod = w.get("pods", "db-0")
        labels = pod["metadata"]["labels"]
        assert (labels["apps.kubernetes.io/pod-index"], labels["statefulset.kubernetes.io/pod-name"]) == (
            "0",
            "db-0",
        )
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-0", "db")
        assert pod["spec"]["volumes"] == [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}
        ]
        status = w.get("statefulsets.apps", "db")["status"]
        assert (status["replicas"], status["collisionCount"], status["availableReplicas"]) == (1, 0, 0)
        assert status["currentRevision"] == status["updateRevision"]
        await all_up(w)
        assert names(w) == ["db-0", "db-1", "db-2"]
        assert claims(w) == ["data-db-0", "data-db-1", "data-db-2"]
        assert ("SuccessfulCreate", "Create Pod db-2 in StatefulSet db successful") in w.events()
        assert ("SuccessfulCreate", "Create Claim data-db-0 Pod db-0 in StatefulSet db success") in w.events()
        before = w.api.revision
        await w.settle(60)
        assert w.api.revision == before

    run(story, STATEFUL)


def test_an_update_goes_from_the_back_and_a_partition_holds_it(run):
    async def story(w):
        await w.apply("statefulsets.apps", "db", **stateful_set())
        await w.settle()
        await all_up(w)
        partition = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
        change = {"updateStrategy": partition, "template": template("db", "two")}
        await w.change("statefulsets.apps", "db", {"spec": change})
        await w.settle()
        await all_up(w)
        assert names(w, "two") == ["db-2"]
        status = w.get("statefulsets.apps", "db")["status"]
        assert (status["currentReplicas"], status["updatedReplicas"]) == (2, 1)
        await w.api.delete("pods", "default", "db-1")
        await w.settle()
        assert names(w, "one") == ["db-0", "db-1"]
        await all_up(w)
        partition = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
        await w.change("statefulsets.apps", "db", {"spec": {"updateStrategy": partition}})
        await w.settle()
        assert names(w, "one") == ["db-0"]
        await all_up(w)
        assert names(w, "two") == ["db-0", "db-1", "db-2"]
        status = w.get("statefulsets.apps", "db")["status"]
        assert (status["currentReplicas"], status["updatedReplicas"]) == (3, 3)
        assert status["currentRevision"] == status["updateRevision"]
        await w.change("statefulsets.apps", "db", {"spec": {"template": template("db", "one")}})
        await w.settle()
        assert sorted(r["revision"] for r in w.all("controllerrevisions.apps")) == [2, 3]

    run(story, STATEFUL)


def test_a_claim_that_is_refused_keeps_its_pod_back(run):
    async def story(w):
        no = forbidden("persistentvolumeclaims", "", "data-db-0", "exceeded quota")
        w.api.refuse = lambda verb, resource, _: no if resource == "persistentvolumeclaims" else None
        await w.apply("statefulsets.apps", "db", **stateful_set())
        await w.settle(0.004)
        assert names(w) == []
        failed = f"failed error: {no.message}"
        assert [message for _, message in w.events("FailedCreate")] == [
            f"Create Claim data-db-0 for Pod db-0 in StatefulSet db {failed}",
            f"Create Pod db-0 in StatefulSet db failed error: failed to create PVC data-db-0: {no.message}",
        ]

    run(story, STATEFUL)


def test_scaling_down_goes_from_the_back_and_keeps_the_claims(run):
    async def story(w):
        await w.apply("statefulsets.apps", "db", **stateful_set())
        await w.settle()
        await all_up(w)
        await w.change("statefulsets.apps", "db", {"spec": {"replicas": 1}})
        await w.settle()
        assert names(w) == ["db-0"]
        assert len(claims(w)) == 3

    run(story, STATEFUL)


def test_parallel_starts_all_and_the_retention_policy_takes_claims_along(run):
    async def story(w):
        retention = {"whenDeleted": "Delete", "whenScaled": "Delete"}
        spec = stateful_set(
            podManagementPolicy="Parallel",
            ordinals={"start": 5},
            persistentVolumeClaimRetentionPolicy=retention,
        )
        await w.apply("statefulsets.apps", "db", **spec)
        await w.settle()
        assert names(w) == ["db-5", "db-6", "db-7"]
        owner = w.get("persistentvolumeclaims", "data-db-5")["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"]) == ("StatefulSet", "db")
        await w.change("statefulsets.apps", "db", {"spec": {"replicas": 1}})
        await w.settle(3)
        assert (names(w), claims(w)) == (["db-5"], ["data-db-5"])
        await w.api.delete("statefulsets.apps", "default", "db")
        await w.settle()
        assert claims(w) == []

    run(story, STATEFUL)


def test_a_failed_pod_is_made_again(run):
    async def story(w):
        await w.apply("statefulsets.apps", "db", **stateful_set(1))
        await w.settle()
        first = w.get("pods", "db-0")["metadata"]["uid"]
        await w.set_pod("db-0", "Failed")
        await w.settle()
        assert w.get("pods", "db-0")["metadata"]["uid"] != first
        assert ("SuccessfulDelete", "Delete Pod db-0 in StatefulSet db successful") in w.events()

    run(story, STATEFUL)


# -- DaemonSets --------------------------------------------------------------------------------------------------------


def daemon_set(**spec: Any) -> dict[str, Any]:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    return {
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": template("agent"),
            "updateStrategy": strategy,
            "revisionHistoryLimit": 10,
            **spec,
        }
    }


def on(w: Any, v: str = "") -> list[str]:
    def node(pod: dict[str, Any]) -> str:
        affinity = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        return affinity["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]

    return sorted(node(p) for p in w.all("pods", f"v={v}" if v else ""))


async def bind(w: Any) -> None:
    for pod in w.all("pods"):
        if not pod["spec"].get("nodeName"):
            affinity = pod["spec"]["affinity"]["nodeAffinity"][
                "requiredDuringSchedulingIgnoredDuringExecution"
            ]
            node = affinity["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
            await w.change("pods", pod["metadata"]["name"], {"spec": {"nodeName": node}})


async def ended(w: Any) -> None:
    for pod in w.all("pods"):
        if "deletionTimestamp" in pod["metadata"]:
            await w.change("pods", pod["metadata"]["name"], {"metadata": {"deletionGracePeriodSeconds": 0}})


def test_each_fitting_node_gets_one_pod(run):
    async def story(w):
        await w.apply("nodes", "a")
        await w.apply("nodes", "b", spec={"unschedulable": True})
        await w.apply("nodes", "c", spec={"taints": [{"key": "only", "value": "me", "effect": "NoSchedule"}]})
        await w.apply("daemonsets.apps", "agent", **daemon_set())
        await w.settle()
        assert on(w) == ["a", "b"]
        pod = w.all("pods")[0]
        assert pod["spec"]["tolerations"][0] == {
            "key": "node.kubernetes.io/not-ready",
            "operator": "Exists",
            "effect": "NoExecute",
        }
        status = w.get("daemonsets.apps", "agent")["status"]
        assert {k: v for k, v in status.items() if k != "observedGeneration"} == {
            "currentNumberScheduled": 2,
            "desiredNumberScheduled": 2,
            "numberMisscheduled": 0,
            "numberReady": 0,
            "numberUnavailable": 2,
            "updatedNumberScheduled": 2,
        }
        await w.apply("nodes", "d")
        await w.settle()
        assert on(w) == ["a", "b", "d"]
        before = w.api.revision
        await w.settle(60)
        assert w.api.revision == before

    run(story, DAEMON)


def test_a_node_that_no_longer_fits_loses_its_pod(run):
    async def story(w):
        await w.apply("nodes", "a", metadata={"labels": {"disk": "ssd"}})
        spec = daemon_set(template=template("agent", nodeSelector={"disk": "ssd"}))
        await w.apply("daemonsets.apps", "agent", **spec)
        await w.settle()
        assert on(w) == ["a"]
        await w.change("nodes", "a", {"metadata": {"labels": {"disk": "hdd"}}})
        await w.settle()
        assert on(w) == []

    run(story, DAEMON)


def test_an_update_replaces_one_pod_at_a_time(run):
    async def story(w):
        for name in "abc":
            await w.apply("nodes", name)
        await w.apply("daemonsets.apps", "agent", **daemon_set())
        await w.settle()
        await bind(w)
        await w.ready_all()
        await w.settle()
        await w.change("daemonsets.apps", "agent", {"spec": {"template": template("agent", "two")}})
        for done in (1, 2, 3):
            await w.settle()
            await ended(w)
            await w.settle()
            assert len(on(w, "two")) == done
            await bind(w)
            await w.ready_all()
        await w.settle()
        assert w.get("daemonsets.apps", "agent")["status"]["updatedNumberScheduled"] == 3
        assert sorted(r["revision"] for r in w.all("controllerrevisions.apps")) == [1, 2]

    run(story, DAEMON)


def test_with_surge_the_new_pod_comes_before_the_old_one_goes(run):
    async def story(w):
        await w.apply("nodes", "a")
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await w.apply("daemonsets.apps", "agent", **daemon_set(updateStrategy=strategy))
        await w.settle()
        await bind(w)
        await w.ready_all()
        await w.settle()
        await w.change("daemonsets.apps", "agent", {"spec": {"template": template("agent", "two")}})
        await w.settle()
        assert (on(w, "one"), on(w, "two")) == (["a"], ["a"])
        await bind(w)
        await w.ready_all()
        await w.settle()
        await ended(w)
        await w.settle()
        assert (on(w, "one"), on(w, "two")) == ([], ["a"])

    run(story, DAEMON)


def test_with_surge_an_old_pod_that_is_no_use_does_not_wait_for_the_new_one(run):
    async def story(w):
        await w.apply("nodes", "a")
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await w.apply("daemonsets.apps", "agent", **daemon_set(updateStrategy=strategy))
        await w.settle()
        await bind(w)
        await w.ready_all()
        await w.settle()
        await w.change("daemonsets.apps", "agent", {"spec": {"template": template("agent", "two")}})
        await w.settle()
        (old,) = w.all("pods", "v=one")
        await w.set_pod(old, ready=False)
        await w.settle()
        await ended(w)
        assert (on(w, "one"), on(w, "two")) == ([], ["a"])
        await bind(w)
        (new,) = w.all("pods")
        await w.api.delete("pods", "default", new["metadata"]["name"], grace_period_s=30)
        await w.settle()
        assert on(w, "two") == ["a", "a"]  # one that ends, one that begins

    run(story, DAEMON)


def test_a_node_that_is_left_keeps_its_pod_until_there_are_enough(run):
    async def story(w):
        tainted = {"taints": [{"key": "x", "effect": "NoSchedule"}]}
        await w.apply("nodes", "a")
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await w.apply("daemonsets.apps", "agent", **daemon_set(updateStrategy=strategy))
        await w.settle()
        await bind(w)
        await w.ready_all()
        await w.apply("nodes", "b")
        await w.change("nodes", "a", {"spec": tainted})
        await w.settle()
        await w.change("daemonsets.apps", "agent", {"spec": {"template": template("agent", "two")}})
        await w.settle()
        await ended(w)
        assert (on(w, "one"), on(w, "two")) == (["a"], ["b"])
        await bind(w)
        await w.ready_all()
        await w.settle()
        await ended(w)
        assert (on(w, "one"), on(w, "two")) == ([], ["b"])

    run(story, DAEMON)


def test_a_failed_daemon_pod_is_replaced_with_growing_delay(run):
    async def story(w):
        await w.apply("nodes", "a")
        await w.apply("daemonsets.apps", "agent", **daemon_set())
        await w.settle()
        for _ in range(2):
            (pod,) = w.all("pods")
            await w.set_pod(pod, "Failed")
            await w.settle(3)
            (again,) = w.all("pods")
            assert again["metadata"]["uid"] != pod["metadata"]["uid"]
        assert "FailedDaemonPod" in [r for r, _ in w.events()]

    run(story, DAEMON)
