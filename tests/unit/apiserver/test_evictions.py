"""Evictions, and what a disruption budget says of them (upstream's eviction.go)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilothouse.apiserver.config import ADMIN
from pilothouse.apiserver.request import Request, Response
from pilothouse.apiserver.server import ApiServer
from pilothouse.client.local import LocalClient

BUDGETS = "poddisruptionbudgets.policy"
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


class Place:
    def __init__(self, server: ApiServer):
        self.server, self.client = server, LocalClient(server, ADMIN)

    async def pod(self, labels: dict[str, str] | None = None, ready: bool = True) -> dict[str, Any]:
        meta = {"name": "p", "namespace": "default", "labels": labels or {}}
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
        account = {"metadata": {"name": "default", "namespace": "default"}}
        await self.client.create("serviceaccounts", account)
        pod = await self.client.create("pods", {"metadata": meta, "spec": spec})
        pod = {**pod}
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        pod["status"] = {"phase": "Running", "conditions": conditions}
        return await self.client.update("pods", pod, subresource="status")

    async def budget(self, name: str = "b", **status: Any) -> None:
        meta = {"name": name, "namespace": "default"}
        made = await self.client.create(BUDGETS, {"metadata": meta, "spec": {"selector": {}}})
        made = {**made}
        counts = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 1}
        made["status"] = {"observedGeneration": 1, **counts, **status}
        await self.client.update(BUDGETS, made, subresource="status")

    async def evict(self, query: str = "", **eviction: Any) -> tuple[int, dict[str, Any]]:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, **eviction}
        path = "/api/v1/namespaces/default/pods/p/eviction"
        headers = {"authorization": "Bearer t", "content-type": "application/json"}
        answer = self.server.handle(Request("POST", path, query, headers, json.dumps(body).encode()))
        answer = answer if isinstance(answer, Response) else await answer
        return answer.status, json.loads(answer.body)


@pytest.fixture
def place(server):
    return Place(server)


FALSE = {"type": "DisruptionAllowed", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (
            {"desiredHealthy": 3, "currentHealthy": 3},
            "The disruption budget b needs 3 healthy pods and has 3 currently",
        ),
        (
            {"conditions": [{**FALSE, "reason": "SyncFailed", "message": "hoge"}]},
            "The disruption budget b does not allow evicting pods currently because it failed sync: hoge",
        ),
        (
            {
                "desiredHealthy": 3,
                "currentHealthy": 4,
                "conditions": [{**FALSE, "reason": "R", "message": "m"}],
            },
            "The disruption budget b does not allow evicting pods currently (R): m",
        ),
        (
            {"desiredHealthy": 3, "currentHealthy": 4},
            "The disruption budget b does not allow evicting pods currently",
        ),
        ({"observedGeneration": 0}, "The disruption budget b is still being processed by the server."),
    ],
)
async def test_why_a_budget_refuses(place, status, why):
    await place.pod()
    await place.budget(**status)
    code, body = await place.evict()
    assert (code, body["reason"], body["message"]) == (429, "TooManyRequests", REFUSED)
    assert body["details"]["causes"] == [{"reason": "DisruptionBudget", "message": why}]


async def test_an_eviction_takes_one_disruption(place):
    pod = await place.pod()
    await place.budget(desiredHealthy=1, currentHealthy=2, disruptionsAllowed=1)
    code, _ = await place.evict(query="dryRun=All")
    budget = await place.client.get(BUDGETS, "default", "b")
    assert code == 201 and budget["status"]["disruptionsAllowed"] == 1
    assert await place.evict() == (
        201,
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201},
    )
    budget = await place.client.get(BUDGETS, "default", "b")
    status = budget["status"]
    assert status["disruptionsAllowed"] == 0 and list(status["disruptedPods"]) == ["p"]
    assert status["conditions"][0]["reason"] == "InsufficientPods"
    assert budget["metadata"]["managedFields"][-1]["manager"] == "kube-apiserver"
    gone = await place.client.get("pods", "default", "p")
    assert gone["metadata"]["deletionTimestamp"] and gone["metadata"]["uid"] == pod["metadata"]["uid"]
    assert gone["status"]["conditions"][-1]["reason"] == "EvictionByEvictionAPI"


async def test_preconditions_are_looked_at_before_the_pod_is_marked(place):
    pod = await place.pod()
    code, body = await place.evict(deleteOptions={"preconditions": {"uid": "x"}})
    uid = pod["metadata"]["uid"]
    assert (code, body["message"]) == (
        409,
        f'Operation cannot be fulfilled on Pod "p": the UID in the precondition (x) does not match the UID in record ({uid}). '
        "The object might have been deleted and then recreated",
    )
    kept = await place.client.get("pods", "default", "p")
    assert [c["type"] for c in kept["status"]["conditions"]] == ["Ready"]
    version = kept["metadata"]["resourceVersion"]
    code, _ = await place.evict(deleteOptions={"preconditions": {"resourceVersion": version}})
    assert code == 201


async def test_the_evictions_name_and_more_budgets_than_one(place):
    await place.pod()
    code, body = await place.evict(metadata={})
    assert (code, body["message"]) == (400, "name in URL does not match name in Eviction object")
    await place.budget("b")
    await place.budget("c")
    code, body = await place.evict()
    assert code == 500 and "reason" not in body and body["message"].startswith("This pod has more than one")
