"""Deployments and ReplicaSets, as a user sees them."""

from __future__ import annotations

from typing import Any

from pilothouse.api.errors import forbidden

NAMES = ["deployment", "replicaset"]


def template(**labels: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "web", **labels}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


def deployment(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    rolling = {"maxSurge": spec.pop("surge", 1), "maxUnavailable": spec.pop("unavailable", 1)}
    return {
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": template(v="one"),
            **spec,
        }
    }


def conditions(obj: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in obj["status"]["conditions"]}


def test_a_new_deployment_makes_a_replica_set_and_its_pods_and_says_so(run):
    async def story(w):
        await w.apply("deployments.apps", "web", **deployment())
        await w.settle()
        (rs,) = w.all("replicasets.apps")
        assert rs["spec"]["replicas"] == 3
        assert rs["metadata"]["labels"]["pod-template-hash"] == rs["metadata"]["name"].removeprefix("web-")
        assert rs["metadata"]["annotations"] == {
            "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4",
        }
        assert len(w.all("pods")) == 3
        status = w.get("deployments.apps", "web")["status"]
        assert (status["replicas"], status["updatedReplicas"], status["unavailableReplicas"]) == (3, 3, 3)
        assert [c["type"] for c in status["conditions"]] == ["Available", "Progressing"]
        assert conditions({"status": status}) == {
            "Available": ("False", "MinimumReplicasUnavailable"),
            "Progressing": ("True", "ReplicaSetUpdated"),
        }
        name = rs["metadata"]["name"]
        assert w.events("ScalingReplicaSet") == [
            ("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to 3")
        ]
        assert sorted(w.events("SuccessfulCreate")) == sorted(
            ("SuccessfulCreate", f"Created pod: {p['metadata']['name']}") for p in w.all("pods")
        )
        await w.ready_all()
        await w.settle()
        web = w.get("deployments.apps", "web")
        assert web["status"]["availableReplicas"] == 3
        assert conditions(web)["Progressing"] == ("True", "NewReplicaSetAvailable")
        assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"

    run(story, NAMES)


def test_nothing_is_written_once_all_is_as_it_should_be(run):
    async def story(w):
        await w.apply("deployments.apps", "web", **deployment())
        await w.settle()
        await w.ready_all()
        await w.settle()
        before = w.api.revision
        for runner in w.manager.runners.values():
            runner.queue.add("default/web")
            for rs in w.all("replicasets.apps"):
                runner.queue.add(f"default/{rs['metadata']['name']}")
        await w.settle(100)
        assert w.api.revision == before

    run(story, NAMES)


def test_a_new_template_rolls_within_surge_and_unavailability_and_a_rollback_uses_the_old_set_again(run):
    async def story(w):
        await w.apply("deployments.apps", "web", **deployment())
        await w.settle()
        await w.ready_all()
        await w.settle()
        await w.change("deployments.apps", "web", {"spec": {"template": template(v="two")}})
        await w.settle()
        assert len(w.all("pods", "v=one")) == 2
        assert len(w.all("pods", "v=two")) == 2
        while await w.ready_all():
            await w.settle()
        assert len(w.all("pods", "v=one")) == 0
        assert len(w.all("pods", "v=two")) == 3
        assert len(w.all("replicasets.apps")) == 2
        await w.change("deployments.apps", "web", {"spec": {"template": template(v="one")}})
        await w.settle()
        while await w.ready_all():
            await w.settle()
        assert len(w.all("pods", "v=one")) == 3
        assert len(w.all("replicasets.apps")) == 2
        web = w.get("deployments.apps", "web")
        assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        again = next(rs for rs in w.all("replicasets.apps") if rs["spec"]["replicas"])
        assert again["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"

    run(story, NAMES)


def test_recreate_ends_all_old_pods_before_it_makes_a_new_one(run):
    async def story(w):
        await w.apply("deployments.apps", "web", **deployment(2, strategy={"type": "Recreate"}))
        await w.settle()
        await w.ready_all()
        for pod in w.all("pods"):
            await w.change("pods", pod["metadata"]["name"], {"spec": {"nodeName": "n"}})
        await w.settle()
        await w.change("deployments.apps", "web", {"spec": {"template": template(v="two")}})
        await w.settle()
        assert w.all("pods", "v=two") == []
        for pod in w.all("pods", "v=one"):
            assert pod["metadata"]["deletionTimestamp"]
            await w.change("pods", pod["metadata"]["name"], {"metadata": {"deletionGracePeriodSeconds": 0}})
        await w.settle()
        assert len(w.all("pods", "v=two")) == 2

    run(story, NAMES)


def test_scaling_in_the_middle_of_a_rollout_is_proportional(run):
    async def story(w):
        await w.apply("deployments.apps", "web", **deployment(10, surge=3, unavailable=2))
        await w.settle()
        await w.ready_all()
        await w.settle()
        await w.change("deployments.apps", "web", {"spec": {"template": template(v="two")}})
        await w.settle()
        assert [len(w.all("pods", f"v={v}")) for v in ("one", "two")] == [8, 5]
        await w.change("deployments.apps", "web", {"spec": {"replicas": 15}})
        await w.settle()
        # the documentation's own example ("Proportional scaling"): 3 of the 5 more go to the old set, 2 to the new
        assert [len(w.all("pods", f"v={v}")) for v in ("one", "two")] == [11, 7]

    run(story, NAMES)


def test_a_rollout_without_progress_is_reported_after_its_deadline(run):
    async def story(w):
        await w.apply("deployments.apps", "web", **deployment(1, progressDeadlineSeconds=10))
        await w.settle(9)
        assert conditions(w.get("deployments.apps", "web"))["Progressing"][0] == "True"
        await w.settle(5)
        assert conditions(w.get("deployments.apps", "web"))["Progressing"] == (
            "False",
            "ProgressDeadlineExceeded",
        )

    run(story, NAMES)


def test_a_refused_pod_shows_in_events_and_conditions_up_to_the_deployment(run):
    async def story(w):
        w.api.refuse = lambda verb, resource, obj: (
            forbidden("pods", "", "x", "exceeded quota: q")
            if (verb, resource) == ("create", "pods")
            else None
        )
        await w.apply("deployments.apps", "web", **deployment(2))
        await w.settle(3)
        web = w.get("deployments.apps", "web")
        assert conditions(web)["ReplicaFailure"] == ("True", "FailedCreate")
        assert ("FailedCreate", 'Error creating: pods "x" is forbidden: exceeded quota: q') in w.events()
        w.api.refuse = lambda *_: None
        await w.settle(30)
        assert len(w.all("pods")) == 2
        assert "ReplicaFailure" not in conditions(w.get("deployments.apps", "web"))

    run(story, NAMES)


def test_a_paused_deployment_scales_but_does_not_roll(run):
    async def story(w):
        await w.apply("deployments.apps", "web", **deployment(2))
        await w.settle()
        await w.ready_all()
        await w.settle()
        change = {"paused": True, "replicas": 3, "template": template(v="two")}
        await w.change("deployments.apps", "web", {"spec": change})
        await w.settle()
        assert len(w.all("pods", "v=one")) == 3
        assert w.all("pods", "v=two") == []
        assert conditions(w.get("deployments.apps", "web"))["Progressing"] == ("Unknown", "DeploymentPaused")

    run(story, NAMES)


def test_old_replica_sets_beyond_the_history_limit_go(run):
    async def story(w):
        await w.apply("deployments.apps", "web", **deployment(1, revisionHistoryLimit=1))
        for v in ("two", "three", "four"):
            await w.settle()
            while await w.ready_all():
                await w.settle()
            await w.change("deployments.apps", "web", {"spec": {"template": template(v=v)}})
        await w.settle()
        while await w.ready_all():
            await w.settle()
        assert sorted(
            rs["spec"]["template"]["metadata"]["labels"]["v"] for rs in w.all("replicasets.apps")
        ) == [
            "four",
            "three",
        ]

    run(story, NAMES)


def test_a_replica_set_adopts_matching_orphans_and_releases_what_no_longer_matches(run):
    async def story(w):
        orphan = {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": []},
            "status": {"phase": "Running"},
        }
        await w.apply("pods", "lonely", **orphan)
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template()}
        await w.apply("replicasets.apps", "rs", spec=spec)
        await w.settle()
        assert len(w.all("pods")) == 2
        assert w.get("pods", "lonely")["metadata"]["ownerReferences"][0]["name"] == "rs"
        await w.change("pods", "lonely", {"metadata": {"labels": {"app": "other"}}})
        await w.settle()
        assert "ownerReferences" not in w.get("pods", "lonely")["metadata"]
        assert len(w.all("pods")) == 3
        assert w.get("replicasets.apps", "rs")["status"]["replicas"] == 2

    run(story, NAMES)


def test_scaling_down_prefers_pods_that_do_least_good(run):
    async def story(w):
        spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template()}
        await w.apply("replicasets.apps", "rs", spec=spec)
        await w.settle()
        a, b, c = (p["metadata"]["name"] for p in w.all("pods"))
        for name in (a, b, c):
            await w.change("pods", name, {"spec": {"nodeName": "n"}})
            await w.set_pod(name, ready=name != b)
        cost = {"controller.kubernetes.io/pod-deletion-cost": "-1"}
        await w.change("pods", c, {"metadata": {"annotations": cost}})
        await w.change("replicasets.apps", "rs", {"spec": {"replicas": 1}})
        await w.settle()
        assert [n for n in (a, b, c) if "deletionTimestamp" not in w.get("pods", n)["metadata"]] == [a]

    run(story, NAMES)


def test_min_ready_seconds_holds_availability_back(run):
    async def story(w):
        spec = {
            "replicas": 1,
            "minReadySeconds": 20,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
        }
        await w.apply("replicasets.apps", "rs", spec=spec)
        await w.settle()
        await w.ready_all()
        await w.settle(10)
        status = w.get("replicasets.apps", "rs")["status"]
        assert (status["readyReplicas"], status.get("availableReplicas", 0)) == (1, 0)
        await w.settle(12)
        assert w.get("replicasets.apps", "rs")["status"]["availableReplicas"] == 1

    run(story, NAMES)
