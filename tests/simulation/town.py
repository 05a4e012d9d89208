"""A busy quarter of an hour with a bit of everything, run as a program of its own: `python town.py SEED [faults]`.

Three namespaces of workloads, services, jobs, claims, budgets and quotas; a rollout, a foreground deletion, a node that evicts, one
that dies and comes back, a namespace that goes. Prints, as JSON, what there is in the end, and the digest of all that was written.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from typing import Any

from pilothouse.sim import Faults, SimulatedCluster, simulate

NAMESPACES = ("one", "two", "three")
FAULTS = {"refuse": 0.1, "lose_answer": 0.1, "break_watch": 0.02, "expire_watch": 0.01, "lag_max_s": 0.5}


def meta(name: str, namespace: str = "") -> dict[str, Any]:
    return {"name": name, **({"namespace": namespace} if namespace else {})}


def template(name: str, *command: str) -> dict[str, Any]:
    container = {"name": "c", "image": f"{name}:1", "resources": {"requests": {"cpu": "100m"}}}
    if command:
        container["command"] = list(command)
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}


async def settle(cluster: SimulatedCluster) -> None:
    """All that the town has at its beginning."""
    create = cluster.client.create
    for namespace in NAMESPACES:
        await create("namespaces", {"metadata": meta(namespace)})
    await cluster.clock.sleep(2)
    for namespace in NAMESPACES:
        hard = {"pods": "40", "requests.cpu": "9"}
        await create("resourcequotas", {"metadata": meta("q", namespace), "spec": {"hard": hard}})
        for kind, resource, name, more in (
            ("Deployment", "deployments.apps", "web", {"replicas": 5}),
            ("Deployment", "deployments.apps", "api", {"replicas": 3}),
            ("StatefulSet", "statefulsets.apps", "db", {"replicas": 3, "serviceName": "db"}),
            ("DaemonSet", "daemonsets.apps", "agent", {}),
        ):
            selector = {"matchLabels": {"app": name}}
            spec = {"selector": selector, "template": template(name), **more}
            obj = {"apiVersion": "apps/v1", "kind": kind, "metadata": meta(name, namespace), "spec": spec}
            await create(resource, obj)
        for name in ("web", "api", "db"):
            spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
            if name == "web":
                spec["type"] = "LoadBalancer"
            await create("services", {"metadata": meta(name, namespace), "spec": spec})
        budget = {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}}
        await create("poddisruptionbudgets.policy", {"metadata": meta("web", namespace), "spec": budget})
        indexed = template("indexed", "sh", "-c", "sleep 7")
        indexed["spec"]["restartPolicy"] = "Never"
        spec = {"completions": 6, "parallelism": 3, "completionMode": "Indexed", "template": indexed}
        await create("jobs.batch", {"metadata": meta("indexed", namespace), "spec": spec})
        failing = template("failing", "false")
        failing["spec"]["restartPolicy"] = "Never"
        spec = {"backoffLimit": 2, "template": failing}
        await create("jobs.batch", {"metadata": meta("failing", namespace), "spec": spec})
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
        scaler = {"maxReplicas": 2, "scaleTargetRef": target}
        await create(
            "horizontalpodautoscalers.autoscaling", {"metadata": meta("api", namespace), "spec": scaler}
        )
        storage = {"storageClassName": "x", "accessModes": ["ReadWriteOnce"]}
        for number in range(2):
            claim = {**storage, "resources": {"requests": {"storage": "1Gi"}}}
            await create("persistentvolumeclaims", {"metadata": meta(f"c{number}", namespace), "spec": claim})
    for number in range(6):
        volume = {**storage, "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}
        await create("persistentvolumes", {"metadata": meta(f"v{number}"), "spec": volume})


async def live(cluster: SimulatedCluster) -> None:
    client, clock = cluster.client, cluster.clock
    await clock.sleep(120)
    taint = {"key": "k", "value": "v", "effect": "NoExecute"}
    await client.patch("nodes", "", "node-2", {"spec": {"taints": [taint]}})
    for namespace in NAMESPACES:
        spec = {"replicas": 9, "template": {"metadata": {"labels": {"v": "2"}}}}
        await client.patch("deployments.apps", namespace, "web", {"spec": spec})
        await client.delete("deployments.apps", namespace, "api", propagation="Foreground")
    await clock.sleep(120)
    await cluster.stop("node-3")
    await clock.sleep(400)  # long enough for its pods to be given up
    cluster.start("node-3")
    await client.delete("namespaces", "", "two")
    await clock.sleep(200)
    await client.patch("nodes", "", "node-2", {"spec": {"taints": None}})
    await clock.sleep(120)


async def look(cluster: SimulatedCluster) -> dict[str, Any]:
    """What a user would see, without what chance decides."""
    client = cluster.client
    pods = (await client.list("pods")).items
    counted = Counter(
        (pod["metadata"]["namespace"], pod["metadata"]["labels"]["app"])
        for pod in pods
        if pod["status"]["phase"] == "Running"
    )
    jobs = (await client.list("jobs.batch")).items
    claims = (await client.list("persistentvolumeclaims")).items
    quotas = (await client.list("resourcequotas")).items
    nodes = (await client.list("nodes")).items
    return {
        "running": sorted([*key, count] for key, count in counted.items()),
        "namespaces": [n["metadata"]["name"] for n in (await client.list("namespaces")).items],
        "jobs": [[c["type"] for c in job["status"].get("conditions") or ()] for job in jobs],
        "indexes": [job["status"].get("completedIndexes") for job in jobs],
        "claims": [claim["status"]["phase"] for claim in claims],
        "quotas": [quota["status"]["used"] for quota in quotas],
        "taints": [node["spec"].get("taints") for node in nodes],
        "sandboxes": sum([len(await engine.pod_sandboxes()) for engine in cluster.engines.values()])
        == len(pods),
    }


def main(seed: int, faulty: bool) -> None:
    faults = Faults(**FAULTS, crash_every_s=60.0) if faulty else Faults()
    seen: dict[str, Any] = {}

    async def story(cluster: SimulatedCluster) -> None:
        await settle(cluster)
        await live(cluster)
        faults.calm()
        await cluster.clock.sleep(400)
        seen.update(await look(cluster))

    history = simulate(story, seed=seed, nodes=5, faults=faults)
    print(json.dumps({"seen": seen, "changes": len(history), "digest": history.digest()}))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main(int(sys.argv[1]), "faults" in sys.argv)
