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


BAD = "received invalid webhook response: "
ODD_ANSWERS = [
    ({"response": None}, BAD + "webhook response was absent"),
    ({"kind": ""}, BAD + "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v1, Kind="),
    ({"kind": "Pod", "apiVersion": "v1"}, 'failed to call webhook: no kind "Pod" is registered for version "v1" in scheme "k8s.io/apiserver/pkg/util/webhook/client.go:71"'),
    ({"response": {"allowed": "yes"}}, "failed to call webhook: json: cannot unmarshal string into Go struct field AdmissionResponse.response.allowed of type bool"),
    ({"response": {"uid": "x"}}, BAD + 'expected response.uid="UID", got "x"'),
    ({"response": {"patch": "W10="}}, BAD + "webhook returned response.patch but not response.patchType"),
    ({"response": {"allowed": False, "patchType": "JSONPatch"}}, BAD + "webhook returned response.patchType but not response.patch"),
    ({"response": {"patch": "e30=", "patchType": "JSONPatch"}}, "received undecodable patch in webhook response: json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
    ({"response": {"patch": "W3t9XQ==", "patchType": "Other"}}, 'unsupported patch type "Other"'),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), ODD_ANSWERS)
async def test_an_answer_that_is_none_fails_the_call(server, hooks, changes, message):
    def answer(path, review):
        given = admission(review)
        response = changes.get("response", {})
        return {
            **given,
            **changes,
            "response": None if response is None else {**given["response"], **response},
        }

    hooks.answer = answer
    await configure(server, hooks, "Mutating", "m")
    status, body, _ = await ask(server, "POST", MAPS, {"metadata": {"name": "a"}})
    uid = hooks.reviews[-1][1]["request"]["uid"]
    why = f'Internal error occurred: failed calling webhook "m.example.com": {message.replace("UID", uid)}'
    assert (status, body["message"]) == (500, why)


async def test_a_patch_that_cannot_be_applied_refuses_whatever_the_failure_policy(server, hooks):
    hooks.answer = lambda path, review: admission(review, {"op": "remove", "path": "/data/a"})
    await configure(server, hooks, "Mutating", "m", ("CREATE", "DELETE"), failurePolicy="Ignore")
    status, body, _ = await ask(server, "POST", MAPS, {"metadata": {"name": "a"}, "data": {"b": "c"}})
    missing = "error in remove for path: '/data/a': Unable to remove nonexistent key: a: missing value"
    assert (status, body["message"]) == (500, f"Internal error occurred: {missing}")
    hooks.answer = lambda path, review: admission(review)
    await ask(server, "POST", MAPS, {"metadata": {"name": "a"}})
    hooks.answer = lambda path, review: admission(review, {"op": "remove", "path": "/data/a"})
    status, body, _ = await ask(server, "DELETE", f"{MAPS}/a")
    what = "attempted to modify the object, which is not supported for this operation"
    assert (status, body["message"]) == (
        500,
        f'Internal error occurred: admission webhook "m.example.com" {what}',
    )


async def test_connections_to_a_webhook_are_kept_and_replaced_when_it_closes_them(server, hooks):
    hooks.answer = lambda path, review: admission(review)
    await configure(server, hooks, "Validating", "v")
    for name in "abc":
        assert (await ask(server, "POST", MAPS, {"metadata": {"name": name}}))[0] == 201
    assert hooks.connections == 1
    hooks.closes = True
    for name in "def":
        assert (await ask(server, "POST", MAPS, {"metadata": {"name": name}}))[0] == 201
    assert hooks.connections in (3, 4)  # the first of them still has the old one
