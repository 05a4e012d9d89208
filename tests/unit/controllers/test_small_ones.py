"""Ephemeral volumes, the nodes' TTL, ServiceCIDRs: controllers of one rule."""

from __future__ import annotations

from typing import Any

TTL = "node.alpha.kubernetes.io/ttl"
CIDRS, ADDRESSES = "servicecidrs.networking.k8s.io", "ipaddresses.networking.k8s.io"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"


def ephemeral(**metadata: Any) -> dict[str, Any]:
    template = {"metadata": metadata, "spec": {"accessModes": ["ReadWriteOnce"]}}
    volume = {"name": "v", "ephemeral": {"volumeClaimTemplate": template}}
    return {"containers": [{"name": "c"}], "volumes": [volume]}


def test_an_ephemeral_volume_gets_a_claim_that_the_pod_owns(run):
    async def story(w):
        pod = await w.apply("pods", "p", spec=ephemeral(labels={"a": "b"}), status={"phase": "Pending"})
        await w.settle()
        claim = w.get("persistentvolumeclaims", "p-v")
        assert claim["metadata"]["labels"] == {"a": "b"}
        assert claim["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
        assert claim["spec"] == {"accessModes": ["ReadWriteOnce"]}
        await w.api.delete("persistentvolumeclaims", "default", "p-v")
        await w.settle()
        assert w.get("persistentvolumeclaims", "p-v"), "while the pod lives it comes again"

    run(story, ["ephemeral-volume", "persistentvolumeclaim-protection"])


def test_a_claim_of_somebody_else_is_not_taken(run):
    async def story(w):
        await w.apply("persistentvolumeclaims", "p-v", spec={})
        await w.apply("pods", "p", spec=ephemeral(), status={"phase": "Pending"})
        await w.settle()
        assert w.events("FailedBinding") == [
            (
                "FailedBinding",
                "ephemeral volume v: PVC default/p-v was not created for pod default/p (pod is not owner)",
            )
        ]

    run(story, ["ephemeral-volume"])


def test_kubelets_of_large_clusters_look_less_often(run):
    async def story(w):
        for number in range(100):
            await w.apply("nodes", f"n{number}")
        await w.settle()
        assert {n["metadata"]["annotations"][TTL] for n in w.all("nodes")} == {"0"}
        await w.apply("nodes", "n100")
        await w.settle()
        assert {n["metadata"]["annotations"][TTL] for n in w.all("nodes")} == {"15"}

    run(story, ["ttl"])


def test_a_service_cidr_is_ready_and_stays_while_its_addresses_are_used(run):
    async def story(w):
        await w.apply(CIDRS, "more", spec={"cidrs": ["10.1.0.0/24"]})
        await w.apply(ADDRESSES, "10.1.0.5", spec={})
        await w.settle()
        cidr = w.get(CIDRS, "more")
        assert cidr["metadata"]["finalizers"] == [FINALIZER]
        ready = cidr["status"]["conditions"][0]
        assert (ready["status"], ready["message"]) == ("True", "Kubernetes Service CIDR is ready")
        await w.api.delete(CIDRS, "", "more")
        await w.settle()
        assert w.get(CIDRS, "more")["status"]["conditions"][0]["reason"] == "Terminating"
        await w.api.delete(ADDRESSES, "", "10.1.0.5")
        await w.settle()
        assert w.get(CIDRS, "more") is None

    run(story, ["service-cidr"])


def test_a_class_of_volumes_stays_while_it_is_used(run):
    async def story(w):
        await w.apply("volumeattributesclasses.storage.k8s.io", "gold", driverName="d")
        await w.apply("persistentvolumeclaims", "c", spec={"volumeAttributesClassName": "gold"})
        await w.settle()
        gold = w.get("volumeattributesclasses.storage.k8s.io", "gold")
        assert gold["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]
        await w.api.delete("volumeattributesclasses.storage.k8s.io", "", "gold")
        await w.settle()
        assert w.get("volumeattributesclasses.storage.k8s.io", "gold")
        await w.api.delete("persistentvolumeclaims", "default", "c")
        await w.settle()
        assert w.get("volumeattributesclasses.storage.k8s.io", "gold") is None

    run(story, ["volumeattributesclass-protection"])
