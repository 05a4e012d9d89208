"""Admission webhooks: who is asked, what they may change, what their refusal and their silence mean."""

from __future__ import annotations

import pytest

from pilothouse.apiserver.config import ADMIN

from .hooks import admission, ask

MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


async def configure(server, hooks, kind, name, operations=("CREATE", "UPDATE"), **changes):
    webhook = {
        "name": f"{name}.example.com",
        "clientConfig": hooks.config(name),
        "rules": [{**RULE, "operations": list(operations)}],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 5,
        **changes,
    }
    path = f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}webhookconfigurations"
    status, body, _ = await ask(server, "POST", path, {"metadata": {"name": name}, "webhooks": [webhook]})
    assert status == 201, body


async def test_a_mutating_webhook_sees_the_request_and_patches_the_object(server, hooks):
    add = {"op": "add", "path": "/data", "value": {"added": "yes"}}
    hooks.answer = lambda path, review: admission(review, add, warnings=["look here"])
    await configure(server, hooks, "Mutating", "m")
    status, body, warnings = await ask(server, "POST", MAPS, {"metadata": {"name": "a"}})
    assert (status, body["data"], warnings) == (201, {"added": "yes"}, ["look here"])
    ((path, review),) = hooks.reviews
    request = review["request"]
    assert path == "m"
    assert (request["operation"], request["name"], request["namespace"]) == ("CREATE", "a", "default")
    assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert request["userInfo"]["username"] == ADMIN.name
    assert request["object"]["kind"] == "ConfigMap" and request["oldObject"] is None
    assert request["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}


async def test_what_a_webhook_makes_is_validated_and_has_its_type(server, hooks):
    hooks.answer = lambda path, review: admission(
        review, {"op": "add", "path": "/data", "value": {"a b": "x"}}
    )
    await configure(server, hooks, "Mutating", "m")
    assert (await ask(server, "POST", MAPS, {"metadata": {"name": "a"}}))[0] == 422
    hooks.answer = lambda path, review: admission(review, {"op": "add", "path": "/data", "value": {"a": 1}})
    assert (await ask(server, "POST", MAPS, {"metadata": {"name": "a"}}))[0] == 500


async def test_webhooks_run_in_order_and_those_that_want_it_again_after_a_change(server, hooks):
    def answer(path, review):
        data = review["request"]["object"].get("data") or {}
        seen = ",".join(filter(None, [data.get("seen"), path]))
        return admission(review, {"op": "add", "path": "/data", "value": {"seen": seen}})

    hooks.answer = answer
    await configure(server, hooks, "Mutating", "a", reinvocationPolicy="IfNeeded")
    await configure(server, hooks, "Mutating", "b")
    body = (await ask(server, "POST", MAPS, {"metadata": {"name": "x"}}))[1]
    assert body["data"] == {"seen": "a,b,a"}


async def test_a_validating_webhook_refuses_in_its_own_words(server, hooks):
    refusal = {"allowed": False, "status": {"code": 409, "reason": "Conflict", "message": "not now"}}
    hooks.answer = lambda path, review: admission(review, **refusal)
    await configure(server, hooks, "Validating", "v", ["CREATE", "DELETE"])
    status, body, _ = await ask(server, "POST", MAPS, {"metadata": {"name": "a"}})
    assert (status, body["reason"]) == (409, "Conflict")
    assert body["message"] == 'admission webhook "v.example.com" denied the request: not now'
    hooks.answer = lambda path, review: admission(review, allowed=False)
    status, body, _ = await ask(server, "POST", MAPS, {"metadata": {"name": "a"}})
    assert (status, body["message"]) == (
        400,
        'admission webhook "v.example.com" denied the request without explanation',
    )


async def test_a_delete_is_told_by_the_old_object(server, hooks):
    hooks.answer = lambda path, review: admission(review)
    await configure(server, hooks, "Validating", "v", ["DELETE"])
    await ask(server, "POST", MAPS, {"metadata": {"name": "a"}, "data": {"x": "y"}})
    assert (await ask(server, "DELETE", f"{MAPS}/a"))[0] == 200
    ((_, review),) = hooks.reviews
    assert review["request"]["object"] is None and review["request"]["oldObject"]["data"] == {"x": "y"}


async def test_selectors_and_match_conditions_say_what_is_not_asked(server, hooks):
    hooks.answer = lambda path, review: admission(review, allowed=False)
    condition = {"name": "big", "expression": "object.data.size() > 1"}
    selector = {"matchLabels": {"checked": "yes"}}
    await configure(server, hooks, "Validating", "v", objectSelector=selector, matchConditions=[condition])
    labels = {"checked": "yes"}
    cases = [({}, {"a": "1", "b": "2"}, 201), (labels, {"a": "1"}, 201), (labels, {"a": "1", "b": "2"}, 400)]
    for index, (metadata, data, status) in enumerate(cases):
        body = {"metadata": {"name": f"c{index}", "labels": metadata}, "data": data}
        assert (await ask(server, "POST", MAPS, body))[0] == status
    assert len(hooks.reviews) == 1


@pytest.mark.parametrize(("policy", "status"), [("Fail", 500), ("Ignore", 201)])
async def test_an_answer_to_another_question_counts_as_a_failure(server, hooks, policy, status):
    hooks.answer = lambda path, review: admission({"request": {"uid": "x"}})
    await configure(server, hooks, "Validating", "v", failurePolicy=policy)
    given, body, _ = await ask(server, "POST", MAPS, {"metadata": {"name": "a"}})
    assert given == status
    if status == 500:
        assert 'received invalid webhook response: expected response.uid="' in body["message"]


async def test_a_certificate_that_nobody_vouches_for_is_a_failure(server, hooks):
    config = {"url": f"https://localhost:{hooks.port}/v"}
    await configure(server, hooks, "Validating", "v", clientConfig=config)
    status, body, _ = await ask(server, "POST", MAPS, {"metadata": {"name": "a"}})
    assert status == 500 and body["message"].endswith("x509: certificate signed by unknown authority")
    assert hooks.reviews == []


async def test_a_dry_run_reaches_only_those_without_side_effects(server, hooks):
    hooks.answer = lambda path, review: admission(review)
    await configure(server, hooks, "Validating", "v", sideEffects="NoneOnDryRun")
    body = {"metadata": {"name": "a"}}
    assert (await ask(server, "POST", MAPS, body, query="dryRun=All"))[0] == 201
    assert hooks.reviews[0][1]["request"]["dryRun"] is True


async def test_a_webhook_of_a_scale_changes_how_many(server, hooks):
    hooks.answer = lambda path, review: admission(
        review, {"op": "replace", "path": "/spec/replicas", "value": 2}
    )
    rules = [
        {
            "apiGroups": ["apps"],
            "apiVersions": ["v1"],
            "resources": ["deployments/scale"],
            "operations": ["UPDATE"],
        }
    ]
    await configure(server, hooks, "Mutating", "m", rules=rules)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    assert (await ask(server, "POST", path, {"metadata": {"name": "d"}, "spec": spec}))[0] == 201
    assert (await ask(server, "PATCH", f"{path}/d/scale", {"spec": {"replicas": 9}}))[1]["spec"][
        "replicas"
    ] == 2
    assert hooks.reviews[0][1]["request"]["object"]["kind"] == "Scale"
    assert (await ask(server, "GET", f"{path}/d"))[1]["spec"]["replicas"] == 2
