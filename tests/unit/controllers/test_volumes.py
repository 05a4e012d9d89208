"""Claims, volumes, the default class; budgets and load balancers."""

from __future__ import annotations

import os
from typing import Any

from pilothouse.controllers import local_path

BINDER = ["persistentvolume-binder"]


def volume(size: str, cls: str = "fast", **spec: Any) -> dict[str, Any]:
    return {
        "spec": {
            "storageClassName": cls,
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "volumeMode": "Filesystem",
            **spec,
        }
    }


def claim(size: str, cls: str = "fast", **spec: Any) -> dict[str, Any]:
    return {
        "spec": {
            "storageClassName": cls,
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": size}},
            **spec,
        },
        "status": {"phase": "Pending"},
    }


def test_a_claim_gets_the_smallest_volume_that_fits(run):
    async def story(w):
        for name, size in (("small", "1Gi"), ("big", "10Gi"), ("fits", "3Gi")):
            await w.apply("persistentvolumes", name, **volume(size))
        await w.settle()
        assert w.get("persistentvolumes", "small")["status"]["phase"] == "Available"
        await w.apply("persistentvolumeclaims", "c", **claim("2Gi"))
        await w.settle()
        c = w.get("persistentvolumeclaims", "c")
        assert c["spec"]["volumeName"] == "fits"
        assert c["metadata"]["annotations"] == {
            "pv.kubernetes.io/bind-completed": "yes",
            "pv.kubernetes.io/bound-by-controller": "yes",
        }
        assert c["status"] == {
            "phase": "Bound",
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "3Gi"},
        }
        assert w.get("persistentvolumes", "fits")["status"]["phase"] == "Bound"
        await w.api.delete("persistentvolumeclaims", "default", "c")
        await w.settle()
        assert w.get("persistentvolumes", "fits")["status"]["phase"] == "Released"
        await w.change("persistentvolumes", "fits", {"spec": {"claimRef": None}})
        await w.settle()
        assert w.get("persistentvolumes", "fits")["status"]["phase"] == "Available"

    run(story, BINDER)


def test_a_claim_that_names_its_volume_gets_that_one_or_says_who_has_it(run):
    async def story(w):
        await w.apply("persistentvolumes", "v", **volume("1Gi"))
        await w.apply("persistentvolumeclaims", "c", **claim("1Gi", volumeName="v"))
        await w.settle()
        annotations = w.get("persistentvolumeclaims", "c")["metadata"]["annotations"]
        assert annotations == {"pv.kubernetes.io/bind-completed": "yes"}
        await w.apply("persistentvolumeclaims", "late", **claim("1Gi", volumeName="v"))
        await w.settle()
        assert ("FailedBinding", 'volume "v" already bound to a different claim.') in w.events()

    run(story, BINDER)


def test_what_a_pending_claim_waits_for_is_told(run):
    async def story(w):
        await w.apply("persistentvolumeclaims", "no-class", **claim("1Gi", ""))
        await w.apply("persistentvolumeclaims", "absent", **claim("1Gi", "absent"))
        wait = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
        await w.apply("storageclasses.storage.k8s.io", "wait", **wait)
        await w.apply("storageclasses.storage.k8s.io", "ext", provisioner="example.com/p")
        await w.apply("persistentvolumeclaims", "waits", **claim("1Gi", "wait"))
        await w.apply("persistentvolumeclaims", "external", **claim("1Gi", "ext"))
        await w.settle()
        assert set(w.events()) >= {
            ("FailedBinding", "no persistent volumes available for this claim and no storage class is set"),
            ("ProvisioningFailed", 'storageclass.storage.k8s.io "absent" not found'),
            ("WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
        }
        annotations = w.get("persistentvolumeclaims", "external")["metadata"]["annotations"]
        assert annotations["volume.kubernetes.io/storage-provisioner"] == "example.com/p"
        before = w.all("persistentvolumeclaims")
        await w.settle(60)
        assert w.all("persistentvolumeclaims") == before
        counts = {e["reason"]: e["count"] for e in w.all("events")}
        assert counts["FailedBinding"] == counts["WaitForFirstConsumer"] == 5, "every 15 s"

    run(story, BINDER)


def test_the_default_class_makes_a_volume_on_the_chosen_node(run):
    async def story(w):
        await local_path.install(w.api)
        await w.apply("nodes", "n", metadata={"labels": {"kubernetes.io/hostname": "n"}})
        await w.settle()
        assert w.get("storageclasses.storage.k8s.io", "standard")
        await w.apply("persistentvolumeclaims", "data", **claim("1Gi", "standard"))
        await w.settle()
        assert not w.all("persistentvolumes")
        chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}}
        await w.change("persistentvolumeclaims", "data", chosen)
        await w.settle()
        (v,) = w.all("persistentvolumes")
        data = w.get("persistentvolumeclaims", "data")
        assert v["metadata"]["name"] == f"pvc-{data['metadata']['uid']}"
        terms = v["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert terms[0]["matchExpressions"][0]["values"] == ["n"]
        assert (data["status"]["phase"], v["status"]["phase"]) == ("Bound", "Bound")
        await w.api.delete("persistentvolumeclaims", "default", "data")
        await w.settle()
        assert w.all("persistentvolumes") == []

    run(story, [*BINDER, "local-path-provisioner"])


def test_only_children_of_the_data_directory_are_made_or_removed(tmp_path):
    import pytest

    from pilothouse.controllers.local_path import _make, _remove

    root = str(tmp_path / "volumes")
    _make(root, f"{root}/v1")
    assert os.stat(f"{root}/v1").st_mode & 0o777 == 0o777
    _remove(root, f"{root}/v1")
    assert not os.path.exists(f"{root}/v1")
    for path in (f"{root}/../other", root, "/etc", f"{root}/a/b"):
        with pytest.raises(ValueError, match="is not a volume"):
            _remove(root, path)


def test_a_claim_in_use_stays_until_its_pod_is_gone(run):
    async def story(w):
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
        await w.apply("persistentvolumeclaims", "c", **claim("1Gi"))
        await w.apply("pods", "user", spec={"nodeName": "n", "containers": [], "volumes": volumes})
        await w.settle()
        assert w.get("persistentvolumeclaims", "c")["metadata"]["finalizers"] == [
            "kubernetes.io/pvc-protection"
        ]
        await w.api.delete("persistentvolumeclaims", "default", "c")
        await w.settle()
        assert w.get("persistentvolumeclaims", "c")
        await w.api.delete("pods", "default", "user", grace_period_s=0)
        await w.settle()
        assert w.get("persistentvolumeclaims", "c") is None

    run(story, ["persistentvolumeclaim-protection"])


def test_a_claim_names_a_volume_that_it_cannot_have(run):
    async def story(w):
        await w.apply("persistentvolumes", "small", **volume("1Gi"))
        await w.apply("persistentvolumeclaims", "c", **claim("2Gi", volumeName="small"))
        await w.settle()
        assert w.get("persistentvolumeclaims", "c")["status"]["phase"] == "Pending"
        message = 'Cannot bind to requested volume "small": requested PV is too small'
        assert w.events("VolumeMismatch") == [("VolumeMismatch", message)]

    run(story, BINDER)


def test_the_fewest_modes_come_before_the_smallest_size(run):
    async def story(w):
        await w.apply(
            "persistentvolumes", "many", **volume("1Gi", accessModes=["ReadWriteOnce", "ReadOnlyMany"])
        )
        await w.apply("persistentvolumes", "big", **volume("9Gi"))
        await w.settle()
        await w.apply("persistentvolumeclaims", "c", **claim("1Gi"))
        await w.settle()
        assert w.get("persistentvolumeclaims", "c")["spec"]["volumeName"] == "big"

    run(story, BINDER)


def test_a_volume_that_nobody_can_delete_fails(run):
    async def story(w):
        delete = {"persistentVolumeReclaimPolicy": "Delete"}
        await w.apply("persistentvolumes", "v", **volume("1Gi", hostPath={"path": "/data"}, **delete))
        await w.settle()
        await w.apply("persistentvolumeclaims", "c", **claim("1Gi"))
        await w.settle()
        await w.api.delete("persistentvolumeclaims", "default", "c")
        await w.settle()
        why = "host_path deleter only supports /tmp/.+ but received provided /data"
        assert w.get("persistentvolumes", "v")["status"]["phase"] == "Failed"
        assert w.get("persistentvolumes", "v")["status"]["message"] == why
        assert w.events("VolumeFailedDelete") == [("VolumeFailedDelete", why)]

    run(story, BINDER)


# -- budgets -----------------------------------------------------------------------------------------------------------


async def members(w: Any, count: int, owner: dict[str, Any] | None) -> None:
    for i in range(count):
        metadata: dict[str, Any] = {"labels": {"app": "w"}}
        if owner:
            metadata["ownerReferences"] = [
                {
                    "apiVersion": "apps/v1",
                    "kind": "StatefulSet",
                    "name": "w",
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                }
            ]
        await w.apply("pods", f"w-{i}", metadata=metadata, spec={"containers": []})


def budget(**spec: Any) -> dict[str, Any]:
    return {"spec": {"selector": {"matchLabels": {"app": "w"}}, **spec}}


def test_a_budget_counts_what_may_go(run):
    async def story(w):
        owner = await w.apply("statefulsets.apps", "w", spec={"replicas": 3})
        await members(w, 3, owner)
        await w.apply("poddisruptionbudgets.policy", "b", **budget(minAvailable=2))
        await w.apply("poddisruptionbudgets.policy", "half", **budget(maxUnavailable="50%"))
        await w.settle()
        status = w.get("poddisruptionbudgets.policy", "b")["status"]
        assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (3, 2, 0)
        assert status["conditions"][0]["reason"] == "InsufficientPods"
        await w.ready_all()
        await w.settle()
        status = w.get("poddisruptionbudgets.policy", "b")["status"]
        assert (status["currentHealthy"], status["disruptionsAllowed"]) == (3, 1)
        assert status["conditions"][0]["reason"] == "SufficientPods"
        status = w.get("poddisruptionbudgets.policy", "half")["status"]
        assert (status["desiredHealthy"], status["disruptionsAllowed"]) == (1, 2)

    run(story, ["disruption"])


def test_a_budget_that_cannot_be_counted_lets_nothing_go(run):
    async def story(w):
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "1", "controller": True}
        await w.apply("pods", "p", metadata={"labels": {"app": "w"}, "ownerReferences": [owner]})
        await w.apply("poddisruptionbudgets.policy", "b", **budget(maxUnavailable=1))
        await w.settle()
        why = "jobs.batch does not implement the scale subresource"
        (event,) = w.events("CalculateExpectedPodCountFailed")
        assert event[1] == f"Failed to calculate the number of expected pods: {why}"
        (condition,) = w.get("poddisruptionbudgets.policy", "b")["status"]["conditions"]
        assert [condition[k] for k in ("status", "reason", "message")] == ["False", "SyncFailed", why]

    run(story, ["disruption"])


def test_a_budget_over_unmanaged_or_no_pods_says_so(run):
    async def story(w):
        await members(w, 1, None)
        await w.apply("poddisruptionbudgets.policy", "u", **budget(maxUnavailable=1))
        none = {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "none"}}}}
        await w.apply("poddisruptionbudgets.policy", "n", **none)
        await w.settle()
        reasons = [r for r, _ in w.events()]
        assert sorted(reasons) == ["NoPods", "UnmanagedPods"]
        assert w.get("poddisruptionbudgets.policy", "u")["status"]["disruptionsAllowed"] == 0

    run(story, ["disruption"])


# -- load balancers ----------------------------------------------------------------------------------------------------


def ip(w: Any, name: str) -> str | None:
    ingress = (w.get("services", name).get("status") or {}).get("loadBalancer", {}).get("ingress")
    return ingress[0]["ip"] if ingress else None


def test_load_balancers_get_addresses_until_the_pool_is_empty(run):
    async def story(w):
        for name in ("a", "b", "c"):
            await w.apply("services", name, spec={"type": "LoadBalancer", "ports": [{"port": 80}]})
            await w.settle(0.5)
        assert [ip(w, n) for n in "abc"] == ["192.0.2.1", "192.0.2.2", None]
        assert "SyncLoadBalancerFailed" in [r for r, _ in w.events()]
        await w.api.delete("services", "default", "a")
        await w.settle()
        assert w.get("services", "a") is None
        assert ip(w, "c") == "192.0.2.1"
        await w.change("services", "b", {"spec": {"type": "ClusterIP"}})
        await w.settle()
        assert ip(w, "b") is None
        assert not w.get("services", "b")["metadata"].get("finalizers")

    run(story, ["service-lb-controller"], load_balancer_pool=("192.0.2.1", "192.0.2.2"))


def test_roles_are_aggregated(run):
    async def story(w):
        resource = "clusterroles.rbac.authorization.k8s.io"
        selector = {"matchLabels": {"to": "view"}}
        await w.apply(resource, "view", aggregationRule={"clusterRoleSelectors": [selector]}, rules=[])
        rule = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}
        await w.apply(resource, "widgets", metadata={"labels": {"to": "view"}}, rules=[rule])
        await w.settle()
        assert w.get(resource, "view")["rules"] == [rule]

    run(story, ["clusterrole-aggregation"])


def test_token_secrets_are_filled_and_go_with_their_account(run):
    async def story(w):
        account = await w.apply("serviceaccounts", "robot")
        metadata = {"annotations": {"kubernetes.io/service-account.name": "robot"}}
        await w.apply("secrets", "robot-token", metadata=metadata, type="kubernetes.io/service-account-token")
        await w.settle()
        secret = w.get("secrets", "robot-token")
        assert set(secret["data"]) == {"ca.crt", "namespace", "token"}
        uid = secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"]
        assert uid == account["metadata"]["uid"]
        await w.api.delete("serviceaccounts", "default", "robot")
        await w.settle()
        assert w.get("secrets", "robot-token") is None

    run(story, ["serviceaccount-token"], root_ca="PEM", issue_token=lambda account, secret: "jwt")
