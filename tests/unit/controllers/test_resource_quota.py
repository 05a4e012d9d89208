"""ResourceQuota's status: what there is, counted as documented."""

from __future__ import annotations

from typing import Any


def pod(cpu: str, memory: str) -> dict[str, Any]:
    return {
        "spec": {
            "containers": [
                {"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"memory": memory}}}
            ]
        }
    }


def test_usage_follows_what_comes_and_goes(run):
    async def story(w):
        hard = {
            "pods": "3",
            "requests.cpu": "400m",
            "limits.memory": "512Mi",
            "secrets": "2",
            "services.nodeports": "1",
            "requests.storage": "3Gi",
            "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
            "count/deployments.apps": "1",
        }
        await w.apply("resourcequotas", "q", spec={"hard": hard})
        await w.settle()
        assert set(w.get("resourcequotas", "q")["status"]["used"].values()) == {"0"}
        await w.apply("pods", "one", **pod("100m", "128Mi"))
        await w.apply("pods", "two", **pod("250m", "64Mi"))
        await w.apply("secrets", "s")
        await w.apply("services", "np", spec={"type": "NodePort", "ports": [{"port": 80}]})
        spec = {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}
        await w.apply("persistentvolumeclaims", "c", spec=spec)
        await w.apply("deployments.apps", "d", spec={})
        await w.settle()
        status = w.get("resourcequotas", "q")["status"]
        assert status["hard"] == hard
        assert status["used"] == {
            "pods": "2",
            "requests.cpu": "350m",
            "limits.memory": "192Mi",
            "secrets": "1",
            "services.nodeports": "1",
            "requests.storage": "1Gi",
            "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
            "count/deployments.apps": "1",
        }
        await w.set_pod("one", "Succeeded")
        await w.settle()
        assert w.get("resourcequotas", "q")["status"]["used"]["pods"] == "1"

    run(story, ["resourcequota"])


def test_a_scoped_quota_counts_only_its_pods(run):
    async def story(w):
        await w.apply("resourcequotas", "q", spec={"hard": {"pods": "9"}, "scopes": ["BestEffort"]})
        await w.apply("pods", "light", spec={"containers": [{"name": "c"}]})
        await w.apply("pods", "heavy", **pod("1", "1Gi"))
        await w.settle()
        assert w.get("resourcequotas", "q")["status"]["used"] == {"pods": "1"}

    run(story, ["resourcequota"])
