"""The controllers against the real API server in memory, in virtual time: what the small one of conftest.py does not check
(validation, defaults, strategies, real patches)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from pilothouse.api.errors import ApiError
from pilothouse.api.kinds import kind_of_resource
from pilothouse.api.object import Object
from pilothouse.apiserver.authorization import Attributes
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import CONTROLLER_MANAGER, control_plane_user
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock, run_virtual
from pilothouse.base.random import Random
from pilothouse.client.informer import Informers
from pilothouse.client.local import LocalClient
from pilothouse.controllers import local_path
from pilothouse.controllers.runtime import ControllerManager, Environment
from pilothouse.store.memory import MemoryStore


class Cluster:
    def __init__(self, clock: VirtualClock, client: LocalClient, manager: ControllerManager):
        self.clock, self.client, self.manager = clock, client, manager

    async def settle(self, seconds: float = 2.0) -> None:
        await self.clock.sleep(seconds)

    async def all(self, resource: str, namespace: str = "default", labels: str = "") -> list[Object]:
        return (await self.client.list(resource, namespace, label_selector=labels)).items

    async def set_pods(self, labels: str, phase: str = "Running") -> int:
        pods = [
            p
            for p in await self.all("pods", labels=labels)
            if p["status"].get("phase") != phase and "deletionTimestamp" not in p["metadata"]
        ]
        ready = "True" if phase == "Running" else "False"
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for pod in pods:
            patch = {"status": {"phase": phase, "conditions": [condition]}}
            name = pod["metadata"]["name"]
            await self.client.patch("pods", "default", name, patch, type="strategic", subresource="status")
        return len(pods)

    async def errors(self) -> dict[str, Any]:
        return {n: m["defects"] for n, m in self.manager.metrics.items() if m.get("defects")}


def refused(server: ApiServer) -> list[str]:
    """What is asked of the server from here on without a right to it."""
    found: list[str] = []
    check = server.authorizer.check

    def watched(question: Attributes) -> None:
        try:
            check(question)
        except ApiError as error:
            found.append(error.message)
            raise

    server.authorizer.check = watched  # type: ignore[method-assign]
    return found


def on_cluster(story: Any, names: list[str] | None = None) -> None:
    clock, random = VirtualClock(), Random(7)

    async def main() -> None:
        store = MemoryStore()
        server = ApiServer(store, clock, random.fork("server"), ApiConfig(cluster_ca_pem="PEM"))
        await server.start()
        client, own = LocalClient(server, ADMIN), LocalClient(server, CONTROLLER_MANAGER)
        await local_path.install(client)
        refusals = refused(server)
        informers = Informers(own, clock, random.fork("informers"), detect_mutations=True)
        environment = Environment(
            random.fork("env"),
            root_ca="PEM",
            load_balancer_pool=("198.18.0.1", "198.18.0.9"),
            issue_token=server.tokens.issue_legacy,
        )
        manager = ControllerManager(
            own,
            clock,
            random,
            names,
            environment=environment,
            informers=informers,
            client_for=lambda account: LocalClient(server, control_plane_user(account)),
        )
        await informers.start()
        task = asyncio.get_running_loop().create_task(manager.run())
        cluster = Cluster(clock, client, manager)
        try:
            await cluster.settle()
            await story(cluster)
            assert await cluster.errors() == {}
            assert refusals == []  # each controller's account has the rights that it needs
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await informers.stop()
            await server.stop()

    run_virtual(main(), clock)


def workload(kind: str, group: str = "apps/v1", **spec: Any) -> Object:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]},
    }
    selector = {"matchLabels": {"app": "web"}}
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": selector, "template": template, **spec},
    }


def test_a_deployment_rolls_out_updates_and_is_collected():
    async def story(c: Cluster) -> None:
        await c.client.create("deployments.apps", workload("Deployment", replicas=3))
        await c.settle()
        assert await c.set_pods("app=web") == 3
        await c.settle()
        deployment = await c.client.get("deployments.apps", "default", "web")
        assert deployment["status"]["availableReplicas"] == 3
        patch = {"spec": {"template": {"metadata": {"labels": {"v": "two"}}}}}
        await c.client.patch("deployments.apps", "default", "web", patch)
        await c.settle()
        while await c.set_pods("app=web"):
            await c.settle()
        assert len(await c.all("pods", labels="v=two")) == 3
        assert len(await c.all("pods")) == 3
        await c.client.delete("deployments.apps", "default", "web")
        await c.settle()
        assert await c.all("replicasets.apps") == []
        assert await c.all("pods") == []

    on_cluster(story)


def test_a_job_runs_to_completion():
    async def story(c: Cluster) -> None:
        job = workload("Job", "batch/v1")
        del job["spec"]["selector"]
        job["spec"]["template"]["spec"]["restartPolicy"] = "Never"
        await c.client.create("jobs.batch", job)
        await c.settle()
        assert await c.set_pods("job-name=web", "Succeeded") == 1
        await c.settle()
        job = await c.client.get("jobs.batch", "default", "web")
        assert [x["type"] for x in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]

    on_cluster(story)


def test_a_stateful_set_gets_pods_and_claims():
    async def story(c: Cluster) -> None:
        claim = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "none",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        body = workload("StatefulSet", replicas=2, serviceName="web", volumeClaimTemplates=[claim])
        await c.client.create("statefulsets.apps", body)
        await c.settle()
        while await c.set_pods("app=web"):
            await c.settle()
        assert sorted(p["metadata"]["name"] for p in await c.all("pods")) == ["web-0", "web-1"]
        assert len(await c.all("persistentvolumeclaims")) == 2
        status = (await c.client.get("statefulsets.apps", "default", "web"))["status"]
        assert status["availableReplicas"] == 2

    on_cluster(story)


def test_a_daemon_set_puts_a_pod_on_each_node():
    async def story(c: Cluster) -> None:
        for name in ("a", "b"):
            await c.client.create("nodes", {"metadata": {"name": name}})
        body = workload("DaemonSet")
        tolerations = [{"operator": "Exists"}]
        body["spec"]["template"]["spec"]["tolerations"] = tolerations
        await c.client.create("daemonsets.apps", body)
        await c.settle()
        assert len(await c.all("pods")) == 2
        status = (await c.client.get("daemonsets.apps", "default", "web"))["status"]
        assert status["desiredNumberScheduled"] == 2

    on_cluster(story)


def test_a_cron_job_makes_jobs():
    async def story(c: Cluster) -> None:
        spec = {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}]}
        body = {
            "metadata": {"name": "tick", "namespace": "default"},
            "spec": {
                "schedule": "*/5 * * * *",
                "jobTemplate": {"spec": {"template": {"spec": spec}}},
            },
        }
        await c.client.create("cronjobs.batch", body)
        await c.settle(700)
        assert len(await c.all("jobs.batch")) == 2
        assert len(await c.all("pods")) == 2

    on_cluster(story)


def test_a_service_gets_its_slices():
    async def story(c: Cluster) -> None:
        service = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }
        await c.client.create("services", service)
        await c.settle()
        (s,) = await c.all("endpointslices.discovery.k8s.io", labels="kubernetes.io/service-name=web")
        assert s["endpoints"] is None or s["endpoints"] == []
        await c.client.delete("services", "default", "web")
        await c.settle()
        assert await c.all("endpointslices.discovery.k8s.io", labels="kubernetes.io/service-name=web") == []

    on_cluster(story)


def test_a_namespace_comes_with_its_account_and_goes_with_its_content():
    async def story(c: Cluster) -> None:
        await c.client.create("namespaces", {"metadata": {"name": "n"}})
        await c.settle()
        assert [a["metadata"]["name"] for a in await c.all("serviceaccounts", "n")] == ["default"]
        body = workload("Deployment", replicas=2)
        body["metadata"]["namespace"] = "n"
        await c.client.create("deployments.apps", body)
        await c.settle()
        await c.client.delete("namespaces", "", "n")
        await c.settle(15)
        assert "n" not in [x["metadata"]["name"] for x in await c.all("namespaces", "")]

    on_cluster(story)


def test_a_namespace_goes_whatever_custom_kinds_have_come_and_gone():
    def definition(plural: str, scope: str) -> Object:
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object"}},
        }
        names = {"plural": plural, "kind": plural.title()}
        spec = {"group": "x.io", "scope": scope, "names": names, "versions": [version]}
        return {"metadata": {"name": f"{plural}.x.io"}, "spec": spec}

    def custom(plural: str, namespace: str = "") -> Object:
        return {
            "apiVersion": "x.io/v1",
            "kind": plural.title(),
            "metadata": {"name": "a", **({"namespace": namespace} if namespace else {})},
        }

    async def story(c: Cluster) -> None:
        crds = "customresourcedefinitions.apiextensions.k8s.io"
        for plural, scope in (("gone", "Namespaced"), ("here", "Namespaced"), ("wide", "Cluster")):
            await c.client.create(crds, definition(plural, scope))
        await c.settle()
        await c.client.create("namespaces", {"metadata": {"name": "n"}})
        await c.client.create("here.x.io", custom("here", "n"))
        await c.client.create("wide.x.io", custom("wide"))
        owner = await c.client.create("gone.x.io", custom("gone", "n"))
        reference = {"apiVersion": "x.io/v1", "kind": "Gone", "name": "a", "uid": owner["metadata"]["uid"]}
        owned = {"name": "owned", "namespace": "n", "ownerReferences": [reference]}
        await c.client.create("configmaps", {"metadata": owned})
        await c.settle()
        await c.client.delete(crds, "", "gone.x.io")
        await c.settle()
        assert [x["metadata"]["name"] for x in await c.all("configmaps", "n")] == ["kube-root-ca.crt"]
        await c.client.delete("namespaces", "", "n")
        await c.settle(15)
        assert "n" not in [x["metadata"]["name"] for x in await c.all("namespaces", "")]
        assert await c.all("here.x.io", "") == [] and len(await c.all("wide.x.io", "")) == 1
        await c.client.create(crds, definition("gone", "Namespaced"))  # and it comes again
        await c.client.create("namespaces", {"metadata": {"name": "m"}})
        await c.settle()
        assert [x["metadata"]["name"] for x in await c.all("serviceaccounts", "m")] == ["default"]
        await c.client.create("gone.x.io", custom("gone", "m"))
        await c.client.delete("namespaces", "", "m")
        await c.settle(15)
        assert await c.all("gone.x.io", "") == []

    on_cluster(story)


def test_every_controller_may_do_what_its_work_takes():
    """One of everything, on a node that falls silent, and then all of it deleted; `on_cluster` finds what was refused."""
    meta = {"namespace": "town"}

    def pods(app: str, **spec: Any) -> Object:
        containers = [{"name": "c", "image": "i"}]
        spec = {"nodeName": "n", "terminationGracePeriodSeconds": 0, "containers": containers, **spec}
        return {"metadata": {"labels": {"app": app}}, "spec": spec}

    def workload(app: str, **spec: Any) -> Object:
        return {"spec": {"selector": {"matchLabels": {"app": app}}, "template": pods(app), **spec}}

    once = pods("once", restartPolicy="Never")
    size = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    retention = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    claims = [{"metadata": {"name": "data"}, "spec": {**size, "storageClassName": "fast"}}]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
    ephemeral = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": size}}}
    orphan = {"metadata": {"name": "orphan", "labels": {"app": "set"}}, "spec": pods("")["spec"]}
    objects: list[tuple[str, Object]] = [
        ("namespaces", {"metadata": {"name": "town"}}),
        ("nodes", {"metadata": {"name": "n"}, "spec": {"podCIDR": "10.0.0.0/24"}}),
        ("pods", orphan),
        ("deployments.apps", workload("web", replicas=1)),
        ("daemonsets.apps", workload("all")),
        ("replicasets.apps", workload("set", replicas=2)),
        (
            "statefulsets.apps",
            workload(
                "db",
                serviceName="x",
                volumeClaimTemplates=claims,
                persistentVolumeClaimRetentionPolicy=retention,
            ),
        ),
        ("replicationcontrollers", {"spec": {"selector": {"app": "old"}, "template": pods("old")}}),
        ("jobs.batch", {"spec": {"template": once, "ttlSecondsAfterFinished": 1}}),
        ("cronjobs.batch", {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": once}}}}),
        (
            "horizontalpodautoscalers.autoscaling",
            {"spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 3}},
        ),
        (
            "poddisruptionbudgets.policy",
            {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}},
        ),
        ("resourcequotas", {"spec": {"hard": {"pods": "100"}}}),
        (
            "services",
            {"spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]}},
        ),
        ("services", {"metadata": {"name": "own"}, "spec": {"ports": [{"port": 80}]}}),
        (
            "endpoints",
            {
                "metadata": {"name": "own"},
                "subsets": [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 80}]}],
            },
        ),
        ("storageclasses.storage.k8s.io", {"metadata": {"name": "fast"}, "provisioner": "example.com/p"}),
        (
            "persistentvolumes",
            {
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "1Gi"},
                    "hostPath": {"path": "/x"},
                    "storageClassName": "fast",
                }
            },
        ),
        ("persistentvolumeclaims", {"spec": {**size, "storageClassName": "fast"}}),
        ("persistentvolumeclaims", {"metadata": {"name": "waits"}, "spec": {**size}}),
        (
            "persistentvolumeclaims",
            {
                "metadata": {"name": "local", "annotations": {"volume.kubernetes.io/selected-node": "n"}},
                "spec": {**size, "storageClassName": "standard"},
            },
        ),
        ("pods", {"metadata": {"name": "lost"}, "spec": pods("", nodeName="m", volumes=[ephemeral])["spec"]}),
        ("volumeattributesclasses.storage.k8s.io", {"driverName": "d", "parameters": {"a": "b"}}),
        (
            "secrets",
            {
                "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "default"}},
                "type": "kubernetes.io/service-account-token",
            },
        ),
        (
            "clusterroles.rbac.authorization.k8s.io",
            {
                "metadata": {
                    "name": "more",
                    "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
                },
                "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}],
            },
        ),
        (
            "validatingadmissionpolicies.admissionregistration.k8s.io",
            {
                "spec": {
                    "matchConstraints": {
                        "resourceRules": [
                            {
                                "apiGroups": [""],
                                "apiVersions": ["v1"],
                                "operations": ["CREATE"],
                                "resources": ["pods"],
                            }
                        ]
                    },
                    "validations": [{"expression": "object.metadata.name != 'never'"}],
                }
            },
        ),
        ("servicecidrs.networking.k8s.io", {"spec": {"cidrs": ["10.200.0.0/24"]}}),
    ]

    async def story(c: Cluster) -> None:
        made = []
        for resource, obj in objects:
            kind = kind_of_resource(resource)
            obj = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
            obj["metadata"] = {"name": "x", **(meta if kind.namespaced else {}), **obj.get("metadata", {})}
            await c.client.create(resource, obj)
            if resource == "namespaces":
                await c.settle()
            if resource not in ("namespaces", "nodes"):
                made.append((resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
        await c.settle(70)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for pod in await c.all("pods", "town"):
            patch = {"status": {"phase": "Running", "podIP": "10.0.0.9", "conditions": [ready]}}
            name = pod["metadata"]["name"]
            await c.client.patch("pods", "town", name, patch, type="strategic", subresource="status")
        assert (await c.client.get("deployments.apps", "town", "x"))["spec"]["replicas"] == 2
        assert (await c.client.get("persistentvolumeclaims", "town", "x"))["status"]["phase"] == "Bound"
        assert (await c.client.get("services", "town", "x"))["status"]["loadBalancer"]["ingress"]
        assert (await c.client.get("secrets", "town", "t"))["data"]["token"]
        down = {"status": {"conditions": [{**ready, "status": "Unknown"}]}}
        await c.client.patch("nodes", "", "n", down, type="strategic", subresource="status")
        await c.settle(400)  # evicted
        for resource, namespace, name in made:
            with suppress(ApiError):
                await c.client.delete(resource, namespace, name)
        await c.client.delete("nodes", "", "n")
        await c.settle(90)
        await c.client.delete("namespaces", "", "town")
        await c.settle(30)
        left = [n["metadata"]["name"] for n in await c.all("namespaces", "")]
        assert "town" not in left

    on_cluster(story)
