"""A day in the life of a small cluster, run as a program of its own: `python day.py SEED HOURS`.

Prints, as JSON, what a user would see at the end, and the digest of all that was written. The test runs it under different hash
seeds, since whatever depends on the order of a set shows only then.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pilothouse.sim import History, SimulatedCluster, simulate

CRON_JOB = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "tick", "namespace": "default"},
    "spec": {
        "schedule": "*/5 * * * *",
        "jobTemplate": {
            "spec": {
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [
                            {"name": "c", "image": "batch:1", "command": ["sh", "-c", "sleep 20"]}
                        ],
                    }
                }
            }
        },
    },
}


def deployment(image: str) -> dict[str, Any]:
    labels = {"app": "web"}
    containers = [
        {"name": "c", "image": image, "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5}}
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def fewest_ready(history: History) -> int:
    """Of the Deployment's pods, from when all four were ready for the first time."""
    ready: set[str] = set()
    counts = []
    for change in history.of("/registry/core/pods/default/web-"):
        pod = json.loads(change.value) if change.value else {"metadata": {"deletionTimestamp": "gone"}}
        conditions = pod.get("status", {}).get("conditions") or ()
        is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        if is_ready and "deletionTimestamp" not in pod["metadata"]:
            ready.add(change.key)
        else:
            ready.discard(change.key)
        if len(ready) == 4 or counts:
            counts.append(len(ready))
    return min(counts)


def main(seed: int, hours: float) -> None:
    seen: dict[str, Any] = {}

    async def story(cluster: SimulatedCluster) -> None:
        client = cluster.client
        await client.create("deployments.apps", deployment("web:1"))
        await client.create("cronjobs.batch", CRON_JOB)
        await cluster.clock.sleep(hours * 3600 / 2)
        await client.patch("deployments.apps", "default", "web", {"spec": deployment("web:2")["spec"]})
        await cluster.clock.sleep(hours * 3600 / 2)
        web = await client.get("deployments.apps", "default", "web")
        seen["web"] = {k: web["status"].get(k) for k in ("replicas", "updatedReplicas", "availableReplicas")}
        pods = (await client.list("pods", "default")).items
        seen["images"] = sorted(
            p["spec"]["containers"][0]["image"] for p in pods if p["metadata"]["labels"].get("app") == "web"
        )
        seen["nodes"] = sorted({p["spec"]["nodeName"] for p in pods if p["status"]["phase"] == "Running"})
        jobs = (await client.list("jobs.batch", "default")).items
        seen["jobs kept"] = sum(bool(job["status"].get("completionTime")) for job in jobs)

    history = simulate(story, seed=seed, nodes=3)
    created: set[str] = set()
    for change in history.of("/registry/batch/jobs/"):
        created.add(change.key)
    seen["jobs"] = len(created)
    seen["fewest ready"] = fewest_ready(history)
    seen["changes"], seen["digest"] = len(history), history.digest()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
