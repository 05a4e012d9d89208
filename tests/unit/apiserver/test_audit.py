"""The audit log tells what its policy asks for, and no more."""

from __future__ import annotations

import json

import pytest

from pilothouse.apiserver.audit import AuditError, Policy
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import Request, Response, User
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.store.memory import MemoryStore

MAPS = "/api/v1/namespaces/default/configmaps"


async def told(tmp_path, rules: list[dict], *requests: tuple, **policy) -> list[dict]:
    log = tmp_path / "audit.log"
    await answered(log, rules, *requests, **policy)
    return [json.loads(line) for line in log.read_text().splitlines()]


async def answered(log, rules: list[dict], *requests: tuple, **policy) -> list[int]:
    config = ApiConfig(
        tokens={"t": ADMIN},
        audit_policy=Policy({"kind": "Policy", "rules": rules, **policy}),
        audit_log=str(log),
    )
    server = ApiServer(MemoryStore(), RealClock(), Random(7), config)
    await server.start()
    statuses = []
    for method, path, body in requests:
        headers = {"authorization": "Bearer t", "content-type": "application/json", "user-agent": "test"}
        data = json.dumps(body).encode() if body else b""
        answer = server.handle(Request(method, path, "", headers, data, peer="127.0.0.1:5"))
        statuses.append((answer if isinstance(answer, Response) else await answer).status)
    await server.stop()
    return statuses


CREATE = ("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "v"}})


async def test_a_write_is_told_with_who_did_what(tmp_path):
    (event,) = await told(tmp_path, [{"level": "Metadata"}], CREATE, omitStages=["RequestReceived"])
    assert event["stage"] == "ResponseComplete" and event["verb"] == "create"
    assert event["user"]["username"] == "kubernetes-admin"
    assert event["objectRef"] == {"resource": "configmaps", "namespace": "default", "apiVersion": "v1"}
    assert event["responseStatus"]["code"] == 201 and event["sourceIPs"] == ["127.0.0.1"]
    assert "requestObject" not in event


async def test_bodies_are_told_where_the_level_says_so(tmp_path):
    request, response = await told(tmp_path, [{"level": "RequestResponse"}], CREATE)
    assert request["stage"] == "RequestReceived" and request["auditID"] == response["auditID"]
    assert response["requestObject"]["data"] == {"k": "v"}
    assert response["responseObject"]["metadata"]["uid"]


async def test_the_first_rule_that_matches_decides(tmp_path):
    rules = [
        {"level": "None", "verbs": ["get"]},
        {"level": "None", "resources": [{"group": "", "resources": ["secrets"]}]},
        {"level": "Metadata", "namespaces": ["default"]},
    ]
    events = await told(
        tmp_path,
        rules,
        ("GET", MAPS + "/none", None),
        ("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}}),
        ("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}}),
        ("DELETE", MAPS + "/none", None),
        omitStages=["RequestReceived"],
    )
    assert [(e["verb"], e["responseStatus"]["code"]) for e in events] == [("delete", 404)]
    assert events[0]["responseStatus"]["reason"] == "NotFound"


def test_a_policy_that_is_no_good_is_refused_with_its_place():
    with pytest.raises(AuditError, match=r"rules\[0\].level: must be one of"):
        Policy({"kind": "Policy", "rules": [{"level": "All"}]})


async def test_what_would_violate_a_pod_security_standard_is_told(tmp_path):
    key = "pod-security.kubernetes.io/"
    labels = {f"{key}enforce": "baseline", f"{key}audit": "restricted"}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    *_, event = await told(
        tmp_path,
        [{"level": "Metadata"}],
        ("POST", "/api/v1/namespaces", {"metadata": {"name": "n", "labels": labels}}),
        ("POST", "/api/v1/namespaces/n/serviceaccounts", {"metadata": {"name": "default"}}),
        ("POST", "/api/v1/namespaces/n/pods", pod),
        omitStages=["RequestReceived"],
    )
    assert event["responseStatus"]["code"] == 201
    assert event["annotations"][f"{key}enforce-policy"] == "baseline:latest"
    assert event["annotations"][f"{key}audit-violations"].startswith(
        'would violate PodSecurity "restricted:latest": '
    )


async def test_a_full_disk_fails_no_request(caplog):
    statuses = await answered("/dev/full", [{"level": "Metadata"}], CREATE, ("GET", MAPS + "/a", None))
    assert statuses == [201, 200]
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "events are missing in /dev/full" in line


async def test_who_was_allowed_why_and_who_was_not_let_in(tmp_path):
    log = tmp_path / "audit.log"
    policy = Policy({"kind": "Policy", "rules": [{"level": "Metadata"}], "omitStages": ["RequestReceived"]})
    robot = User("robot", ("system:authenticated",))
    config = ApiConfig(tokens={"t": ADMIN, "r": robot}, audit_policy=policy, audit_log=str(log))
    server = ApiServer(MemoryStore(), RealClock(), Random(7), config)
    await server.start()

    async def ask(token: str, path: str, **headers: str) -> None:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        answer = server.handle(Request("GET", path, "", {"authorization": f"Bearer {token}", **named}))
        if not isinstance(answer, Response):
            await answer

    await ask("t", MAPS)
    await ask("r", "/version")
    await ask("r", MAPS)
    await ask("r", MAPS, impersonate_user="bob")
    await ask("t", "/version", impersonate_user="bob")
    await ask("x", MAPS)
    await server.stop()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    decision = [
        tuple(e.get("annotations", {}).get(f"authorization.k8s.io/{k}") for k in ("decision", "reason"))
        for e in events
    ]
    assert decision[0] == ("allow", "")
    assert decision[1][0] == "allow" and decision[1][1].startswith("RBAC: allowed by ClusterRoleBinding")
    assert decision[2] == ("forbid", "")
    assert decision[3] == (None, None) and events[3]["responseStatus"]["code"] == 403
    assert events[4]["impersonatedUser"]["username"] == "bob" and decision[4][1].startswith("RBAC: allowed")
    assert events[5]["stage"] == "ResponseStarted" and events[5]["user"] == {}
    assert events[5]["responseStatus"] == {
        "metadata": {},
        "message": "Authentication failed, attempted: bearer",
        "code": 401,
    }
