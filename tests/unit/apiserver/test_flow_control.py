"""Priority and fairness: who waits, who is refused, and that one flow in spate does not starve the others."""

from __future__ import annotations

import asyncio
import collections
import json

import pytest

from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.flow_control import Full, Level, hand
from pilothouse.apiserver.request import Request, Response, User
from pilothouse.apiserver.routes import request_info
from pilothouse.apiserver.seat_lending import Limits
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore

ANN = User("ann", ("system:authenticated",))


def level(seats: int, **queuing: int) -> Level:
    made = Level("l", "u", RealClock())
    names = {"queues": "queues", "hand": "handSize", "length": "queueLengthLimit"}
    queues = {names[key]: value for key, value in queuing.items()}
    response = {"type": "Queue", "queuing": queues} if queues else {"type": "Reject"}
    made.configure({"type": "Limited", "limited": {"limitResponse": response}}, Limits())
    made.lend(seats)
    return made


async def test_seats_are_taken_given_back_and_waited_for():
    one = level(1, queues=2, hand=1, length=5)
    assert one.enter("a") is None
    waiting = one.enter("b")
    assert not waiting.done()
    one.leave(0.0)
    assert waiting.done() and (one.executing, one.waiting) == (1, 0)


async def test_a_level_without_queues_refuses_at_once_and_an_exempt_one_never():
    one = level(1)
    one.enter("a")
    with pytest.raises(Full, match="concurrency-limit"):
        one.enter("b")
    exempt = Level("exempt", "u", RealClock())
    assert all(exempt.enter("a") is None for _ in range(1000))


async def test_a_flow_in_spate_does_not_starve_another():
    one = level(1, queues=64, hand=4, length=50)
    one.enter("first")
    flood = [one.enter("flood") for _ in range(100)]
    other = one.enter("other")
    served = 0
    while not other.done():
        one.leave(0.0)
        served += 1
    assert served <= 6, "the other flow waits for one of each of the flood's queues at the most"
    assert sum(future.done() for future in flood) < 6


async def test_a_full_queue_refuses_and_who_gives_up_frees_its_place():
    one = level(1, queues=1, hand=1, length=1)
    one.enter("a")
    waiting = one.enter("b")
    with pytest.raises(Full, match="queue-full"):
        one.enter("c")
    one.give_up(waiting)
    assert one.waiting == 0
    one.enter("c")


def test_a_hand_has_different_queues_and_is_always_the_same():
    dealt = list(hand("flow", 64, 6))
    assert len(set(dealt)) == 6 and dealt == list(hand("flow", 64, 6))
    spread = collections.Counter(q for i in range(2000) for q in hand(f"flow-{i}", 64, 6))
    assert max(spread.values()) < 2 * min(spread.values())


@pytest.fixture
async def server():
    server = ApiServer(MemoryStore(), RealClock(), Random(7), ApiConfig(tokens={"t": ANN, "root": ADMIN}))
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize(
    ("user", "method", "path", "schema"),
    [
        (ADMIN, "GET", "/api/v1/pods", "exempt"),
        (ANN, "GET", "/healthz", "probes"),
        (ANN, "POST", "/api/v1/namespaces/default/pods", "global-default"),
        (User("system:node:n", ("system:nodes",)), "PATCH", "/api/v1/nodes/n/status", "system-node-high"),
        (User("system:node:n", ("system:nodes",)), "GET", "/api/v1/pods", "system-nodes"),
        (
            User("system:serviceaccount:a:b", ("system:serviceaccounts",)),
            "GET",
            "/api/v1/pods",
            "service-accounts",
        ),
        (User("system:serviceaccount:kube-system:x"), "GET", "/api/v1/pods", "kube-system-service-accounts"),
    ],
)
async def test_each_request_has_its_schema(server, user, method, path, schema):
    assert server.flow_control.schema_of(user, request_info(method, path, {})).name == schema


async def test_when_all_seats_are_taken_the_answer_is_429_and_says_when_to_come_again(server):
    client = LocalClient(server, ADMIN)
    binding = {
        "metadata": {"name": "ann"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await client.create("clusterrolebindings.rbac.authorization.k8s.io", binding)
    spec = {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject", "queuing": None}},
    }
    levels = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
    await client.patch(levels, "", "global-default", {"spec": spec}, type="merge")
    await asyncio.sleep(0)
    taken = server.flow_control.levels["global-default"]
    taken.executing = taken.seats
    headers = {"authorization": "Bearer t", "content-type": "application/json"}
    body = json.dumps({"metadata": {"name": "c"}}).encode()
    answer = server.handle(Request("POST", "/api/v1/namespaces/default/configmaps", "", headers, body))
    answer = answer if isinstance(answer, Response) else await answer
    assert answer.status == 429 and ("Retry-After", "1") in answer.headers
    uid = (await client.get(levels, "", "global-default"))["metadata"]["uid"]
    assert ("X-Kubernetes-PF-PriorityLevel-UID", uid) in answer.headers
    shown = server.metrics.exposition()
    assert b'reason="concurrency-limit"} 1.0' in shown
    assert b'apiserver_flowcontrol_lower_limit_seats{priority_level="workload-low"}' in shown


async def test_a_schema_whose_level_is_absent_is_said_to_dangle(server):
    client, schemas = LocalClient(server, ADMIN), "flowschemas.flowcontrol.apiserver.k8s.io"
    spec = {"priorityLevelConfiguration": {"name": "none"}, "matchingPrecedence": 77}
    await client.create(schemas, {"metadata": {"name": "lost"}, "spec": spec})
    async with asyncio.timeout(5):
        while not (await client.get(schemas, "", "lost")).get("status", {}).get("conditions"):
            await asyncio.sleep(0.01)
    (condition,) = (await client.get(schemas, "", "lost"))["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Dangling", "True", "NotFound")
