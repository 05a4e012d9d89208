"""Users who do anything to a cluster that fails all the time: `python anything.py SEED [ACTIONS]`.

Random actions on random workloads and nodes, under faults; then peace, and everything must be as the objects say. Prints what is not.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import Any

from pilothouse.api.errors import ApiError
from pilothouse.base.random import Random
from pilothouse.sim import Faults, SimulatedCluster, simulate

FAULTS = {"refuse": 0.1, "lose_answer": 0.1, "break_watch": 0.03, "expire_watch": 0.01, "lag_max_s": 1.0}
NAMES = ("ann", "bob", "cid")
NAMESPACES = ("red", "blue")
RESOURCES = {
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "DaemonSet": "daemonsets.apps",
    "ReplicaSet": "replicasets.apps",
}
NODES = 4


class User:
    """Does one thing after the other; what is refused is refused."""

    def __init__(self, cluster: SimulatedCluster, random: Random):
        self.client, self.clock, self.random = cluster.client, cluster.clock, random
        self.actions = [
            self.make,
            self.make,
            self.scale,
            self.change,
            self.remove,
            self.kill,
            self.cordon,
            self.taint,
        ]
        self.actions += [self.run_job, self.serve, self.end_namespace, self.relabel, self.orphan]
        self.actions += [self.drain, self.lose_node, self.guard]

    async def act(self) -> None:
        try:
            await self.random.choice(self.actions)()
        except ApiError:
            pass

    def some(self) -> tuple[str, str, str]:
        """(kind, namespace, name): one name is of one kind, so that selectors do not overlap."""
        kind = self.random.choice(list(RESOURCES))
        return kind, self.random.choice(NAMESPACES), f"{self.random.choice(NAMES)}-{kind.lower()}"

    async def make(self) -> None:
        kind, namespace, name = self.some()
        await self.ensure(namespace)
        spec: dict[str, Any] = {"selector": {"matchLabels": {"app": name}}, "template": template(name)}
        if kind != "DaemonSet":
            spec["replicas"] = self.random.below(5)
        if kind == "StatefulSet":
            spec |= {
                "serviceName": name,
                "podManagementPolicy": self.random.choice(["OrderedReady", "Parallel"]),
            }
        if kind == "Deployment":
            spec["strategy"] = {"type": self.random.choice(["RollingUpdate", "Recreate"])}
        metadata = {"name": name, "namespace": namespace}
        await self.client.create(
            RESOURCES[kind], {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}
        )

    async def ensure(self, namespace: str) -> None:
        try:
            await self.client.create("namespaces", {"metadata": {"name": namespace}})
            await self.clock.sleep(5)
        except ApiError:
            pass

    async def scale(self) -> None:
        kind, namespace, name = self.some()
        if kind != "DaemonSet":
            patch = {"spec": {"replicas": self.random.below(7)}}
            await self.client.patch(RESOURCES[kind], namespace, name, patch)

    async def change(self) -> None:
        kind, namespace, name = self.some()
        image = f"{name}:{self.random.below(4)}"
        containers = template(name)["spec"]["containers"]
        patch = {"spec": {"template": {"spec": {"containers": [{**containers[0], "image": image}]}}}}
        await self.client.patch(RESOURCES[kind], namespace, name, patch)

    async def remove(self) -> None:
        kind, namespace, name = self.some()
        propagation = self.random.choice(["Background", "Foreground"])
        await self.client.delete(RESOURCES[kind], namespace, name, propagation=propagation)

    async def orphan(self) -> None:
        """And take its pods in again under another owner of the same selector."""
        _, namespace, _ = self.some()
        name = f"{self.random.choice(NAMES)}-replicaset"
        old = await self.client.get("replicasets.apps", namespace, name)
        await self.client.delete("replicasets.apps", namespace, name, propagation="Orphan")
        again = {"metadata": {"name": name, "namespace": namespace}, "spec": old["spec"]}
        for _ in range(60):
            await self.clock.sleep(5)
            try:
                await self.client.create("replicasets.apps", again)
            except ApiError as error:
                if error.reason == "AlreadyExists":  # it is still going
                    continue
            return

    async def kill(self) -> None:
        pods = (await self.client.list("pods")).items
        if pods:
            metadata = self.random.choice(pods)["metadata"]
            grace_s = self.random.choice([None, 0, 5])
            await self.client.delete("pods", metadata["namespace"], metadata["name"], grace_period_s=grace_s)

    async def relabel(self) -> None:
        """Takes a pod away from its owner: for good, so it is ended too."""
        pods = (await self.client.list("pods")).items
        if pods:
            metadata = self.random.choice(pods)["metadata"]
            where = metadata["namespace"], metadata["name"]
            await self.client.patch("pods", *where, {"metadata": {"labels": {"app": "nobody"}}})
            await self.clock.sleep(10)
            await self.client.delete("pods", *where)

    async def cordon(self) -> None:
        name = f"node-{1 + self.random.below(NODES)}"
        await self.client.patch(
            "nodes", "", name, {"spec": {"unschedulable": self.random.choice([True, None])}}
        )

    async def taint(self) -> None:
        name = f"node-{1 + self.random.below(NODES)}"
        taints = self.random.choice(
            [None, [{"key": "k", "effect": "NoExecute"}], [{"key": "k", "effect": "NoSchedule"}]]
        )
        await self.client.patch("nodes", "", name, {"spec": {"taints": taints}})

    async def drain(self) -> None:
        name = f"node-{1 + self.random.below(NODES)}"
        for pod in (await self.client.list("pods", field_selector=f"spec.nodeName={name}")).items:
            namespace, pod_name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            eviction = {"metadata": {"name": pod_name, "namespace": namespace}}
            try:
                await self.client.create(
                    "pods", eviction, namespace=namespace, name=pod_name, subresource="eviction"
                )
            except ApiError:
                pass  # a budget

    async def lose_node(self) -> None:
        """Its kubelet registers it again."""
        if self.random.below(3) == 0:
            await self.client.delete("nodes", "", f"node-{1 + self.random.below(NODES)}")

    async def guard(self) -> None:
        _, namespace, name = self.some()
        spec = {
            "maxUnavailable": self.random.choice([0, 1, "50%"]),
            "selector": {"matchLabels": {"app": name}},
        }
        metadata = {"name": name, "namespace": namespace}
        await self.client.create("poddisruptionbudgets.policy", {"metadata": metadata, "spec": spec})

    async def run_job(self) -> None:
        namespace = self.random.choice(NAMESPACES)
        name = f"{self.random.choice(NAMES)}-job"
        work = template(
            name, "sh", "-c", f"sleep {self.random.below(20)}; exit {self.random.choice([0, 0, 1])}"
        )
        work["spec"]["restartPolicy"] = "Never"
        spec = {
            "completions": 1 + self.random.below(4),
            "parallelism": 2,
            "backoffLimit": 1,
            "template": work,
        }
        spec["ttlSecondsAfterFinished"] = 30
        await self.client.create(
            "jobs.batch", {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
        )

    async def serve(self) -> None:
        _, namespace, name = self.some()
        spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
        await self.client.create(
            "services", {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
        )

    async def end_namespace(self) -> None:
        if self.random.below(4) == 0:
            await self.client.delete("namespaces", "", self.random.choice(NAMESPACES))


def template(name: str, *command: str) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "c",
        "image": f"{name}:0",
        "resources": {"requests": {"cpu": "100m"}},
    }
    if command:
        container["command"] = list(command)
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 3},
    }


def _was_rejected(pod: dict[str, Any]) -> bool:
    """By a kubelet that knew better than the scheduler: it stays as a witness, in Kubernetes too, and another is made."""
    return pod["status"]["phase"] == "Failed" and "containerStatuses" not in pod["status"]


async def wrong(cluster: SimulatedCluster) -> list[str]:
    """What is not as the objects say."""
    client, found = cluster.client, []
    pods = [pod for pod in (await client.list("pods")).items if not _was_rejected(pod)]
    by_owner: Counter[str] = Counter()
    for pod in pods:
        metadata, status = pod["metadata"], pod["status"]
        owner = next((r for r in metadata.get("ownerReferences") or () if r.get("controller")), None)
        where = f"pod {metadata['namespace']}/{metadata['name']}"
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
        if metadata.get("deletionTimestamp"):
            found.append(f"{where} is still going")
        elif owner is None:
            found.append(f"{where} is nobody's")
        elif owner["kind"] != "Job" and not ready:
            found.append(f"{where} is {status['phase']} and not ready")
        if owner:
            by_owner[owner["uid"]] += 1
    for resource in ("replicasets.apps", "statefulsets.apps", "deployments.apps"):
        for each in (await client.list(resource)).items:
            metadata, spec, status = each["metadata"], each["spec"], each["status"]
            where = f"{resource} {metadata['namespace']}/{metadata['name']}"
            if (status.get("availableReplicas") or 0) != spec["replicas"]:
                found.append(f"{where} has {status.get('availableReplicas')} of {spec['replicas']}")
            if status.get("observedGeneration") != metadata["generation"]:
                found.append(f"{where} was not looked at")
            if resource != "deployments.apps" and by_owner[metadata["uid"]] != spec["replicas"]:
                found.append(f"{where} has {by_owner[metadata['uid']]} pods, wants {spec['replicas']}")
    for each in (await client.list("daemonsets.apps")).items:
        status = each["status"]
        if status["numberAvailable"] != NODES or status["desiredNumberScheduled"] != NODES:
            found.append(f"daemon set {each['metadata']['name']}: {status}")
    for job in (await client.list("jobs.batch")).items:
        found.append(f"job {job['metadata']['name']} is still there: {job['status']}")
    for namespace in (await client.list("namespaces")).items:
        if namespace["status"]["phase"] != "Active":
            found.append(f"namespace {namespace['metadata']['name']} is still going: {namespace['status']}")
    found += await _wrong_endpoints(cluster, pods)
    for name, engine in cluster.engines.items():
        have = sorted(sandbox.uid for sandbox in await engine.pod_sandboxes())
        want = sorted(p["metadata"]["uid"] for p in pods if p["spec"].get("nodeName") == name)
        if have != want:
            found.append(f"{name} has the sandboxes {have}, its pods are {want}")
    return found


async def _wrong_endpoints(cluster: SimulatedCluster, pods: list[dict[str, Any]]) -> list[str]:
    found = []
    slices = (await cluster.client.list("endpointslices.discovery.k8s.io")).items
    for service in (await cluster.client.list("services")).items:
        metadata, selector = service["metadata"], service["spec"].get("selector")
        if not selector:
            continue
        have = {
            address
            for each in slices
            if each["metadata"]["namespace"] == metadata["namespace"]
            and each["metadata"]["labels"]["kubernetes.io/service-name"] == metadata["name"]
            for endpoint in each.get("endpoints") or ()
            for address in endpoint["addresses"]
        }
        want = {
            pod["status"].get("podIP")
            for pod in pods
            if pod["metadata"]["namespace"] == metadata["namespace"]
            and pod["metadata"]["labels"].get("app") == selector["app"]
        }
        if have != want:
            found.append(f"service {metadata['name']} has the endpoints {have}, its pods are {want}")
    return found


def run(seed: int, actions: int = 60, faulty: bool = True) -> list[str]:
    faults = Faults(**FAULTS, crash_every_s=40.0) if faulty else Faults()
    found: list[str] = []

    async def story(cluster: SimulatedCluster) -> None:
        random = Random(seed).fork("user")
        user = User(cluster, random)
        for _ in range(actions):
            await user.act()
            await cluster.clock.sleep(random.uniform(0, 15))
        faults.calm()
        for number in range(NODES):
            patch = {"spec": {"unschedulable": None, "taints": None}}
            while True:
                try:
                    await cluster.client.patch("nodes", "", f"node-{number + 1}", patch)
                    break
                except ApiError:
                    await cluster.clock.sleep(10)  # it comes back with its kubelet's next report
        await cluster.clock.sleep(1800)
        found.extend(await wrong(cluster))

    simulate(story, seed=seed, nodes=NODES, faults=faults)
    return found


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    problems = run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60)
    print(sys.argv[1], *(problems or ["ok"]), sep="\n  ")
