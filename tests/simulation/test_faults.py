"""Bad luck on virtual time: whatever fails on the way, the end is the one that it would have been without."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from typing import Any

import pytest

from pilothouse.sim import Faults, History, SimulatedCluster, simulate

from .day import CRON_JOB, deployment

HOURS = 1


def workload(kind: str, name: str, image: str, **spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def end_of_an_hour(seed: int, faults: Faults) -> tuple[dict[str, Any], History]:
    """Rollouts, scalings and jobs for an hour under these faults, then a quarter in peace: what there is in the end."""
    seen: dict[str, Any] = {}

    async def story(cluster: SimulatedCluster) -> None:
        client = cluster.client
        await client.create("deployments.apps", deployment("web:0"))
        await client.create(
            "statefulsets.apps", workload("StatefulSet", "db", "db:0", replicas=3, serviceName="db")
        )
        await client.create("daemonsets.apps", workload("DaemonSet", "agent", "agent:0"))
        await client.create("cronjobs.batch", CRON_JOB)
        ports = [{"port": 80}]
        service = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": ports},
        }
        await client.create("services", service)
        for turn in range(4 * HOURS):
            await cluster.clock.sleep(900)
            spec = {**deployment(f"web:{turn}")["spec"], "replicas": 4 + turn % 3}
            await client.patch("deployments.apps", "default", "web", {"spec": spec})
            template = workload("StatefulSet", "db", f"db:{turn}")["spec"]["template"]
            await client.patch("statefulsets.apps", "default", "db", {"spec": {"template": template}})
        faults.calm()
        await cluster.clock.sleep(960)  # the last job has ended too
        pods = (await client.list("pods", "default")).items
        seen["pods"] = Counter((p["spec"]["containers"][0]["image"], p["status"]["phase"]) for p in pods)
        for resource, count in (
            ("deployments.apps", "availableReplicas"),
            ("statefulsets.apps", "availableReplicas"),
            ("daemonsets.apps", "numberAvailable"),
        ):
            seen[resource] = [o["status"].get(count) for o in (await client.list(resource, "default")).items]
        seen["jobs"] = [job["metadata"]["name"] for job in (await client.list("jobs.batch", "default")).items]
        slices = (await client.list("endpointslices.discovery.k8s.io", "default")).items
        behind = {a for s in slices for e in s.get("endpoints") or () for a in e["addresses"]}
        web = {p["status"]["podIP"] for p in pods if p["metadata"]["labels"].get("app") == "web"}
        assert behind == web, "the slices have the addresses of the pods, no more and no less"
        sandboxes = {name: len(await engine.pod_sandboxes()) for name, engine in cluster.engines.items()}
        assert sandboxes == Counter(p["spec"]["nodeName"] for p in pods), "nothing is left in the engines"

    history = simulate(story, seed=seed, nodes=3, faults=faults)
    seen["all jobs"] = sorted({change.key for change in history.of("/registry/batch/jobs/")})
    return seen, history


def misfortune() -> Faults:
    return Faults(
        refuse=0.15, lose_answer=0.15, break_watch=0.05, expire_watch=0.02, lag_max_s=2.0, crash_every_s=30.0
    )


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def in_peace() -> dict[str, Any]:
    return end_of_an_hour(0, Faults())[0]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_crashes_failed_writes_and_broken_watches_change_nothing_in_the_end(seed, in_peace):
    seen, _ = end_of_an_hour(seed, misfortune())
    assert seen == in_peace
    assert len(seen["all jobs"]) == 15 * HOURS  # each tick once, and none twice


def test_bad_luck_has_one_history_a_seed_too():
    digests = {hashlib.sha256(end_of_an_hour(5, misfortune())[1].dump()).hexdigest() for _ in range(2)}
    assert len(digests) == 1
