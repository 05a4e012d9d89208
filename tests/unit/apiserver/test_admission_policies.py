"""Admission policies: to whom they apply, what they refuse, warn of and change, and what stands behind their names."""

from __future__ import annotations

import json

import pytest

from pilothouse.apiserver.audit import Policy
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import User
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.store.memory import MemoryStore

from .hooks import ask

GROUP = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
ON_MAPS = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}]


@pytest.fixture
async def server(tmp_path):
    tokens = {"t": ADMIN, "bob": User("bob", ("system:masters", "devs"))}
    audit = Policy({"kind": "Policy", "rules": [{"level": "Metadata", "verbs": ["create"]}]})
    config = ApiConfig(tokens=tokens, audit_policy=audit, audit_log=str(tmp_path / "audit.log"))
    server = ApiServer(MemoryStore(), RealClock(), Random(7), config)
    await server.start()
    yield server
    await server.stop()


async def policy(server, spec, name="p", kind="validating", binding=None):
    spec = {"matchConstraints": {"resourceRules": ON_MAPS}, **spec}
    bound = {
        "policyName": name,
        **({"validationActions": ["Deny"]} if kind == "validating" else {}),
        **(binding or {}),
    }
    for plural, body in (("policies", spec), ("policybindings", bound)):
        path = f"{GROUP}/{kind}admission{plural}"
        status, answer, _ = await ask(server, "POST", path, {"metadata": {"name": name}, "spec": body})
        assert status == 201, answer


async def make(server, name="a", token="t", **body):
    return await ask(server, "POST", MAPS, {"metadata": {"name": name}, **body}, token=token)


def rule(expression, **more):
    return {"validations": [{"expression": expression, **more}]}


async def test_a_rule_that_does_not_hold_refuses(server):
    await policy(
        server, rule("object.data.size() < 2", messageExpression="'has ' + string(object.data.size())")
    )
    assert (await make(server, data={"a": "1"}))[0] == 201
    status, body, _ = await make(server, "b", data={"a": "1", "b": "2"})
    text = "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: has 2"
    assert (status, body["message"]) == (422, f'configmaps "b" is forbidden: {text}')
    assert body["details"]["causes"] == [{"message": text}]


async def test_nothing_is_evaluated_without_a_binding(server):
    await ask(server, "POST", f"{GROUP}/validatingadmissionpolicies", {
        "metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": ON_MAPS}, **rule("false")},
    })  # fmt: skip
    assert (await make(server))[0] == 201


async def test_a_binding_may_only_warn_or_note(server):
    spec = {
        **rule("false", message="no"),
        "auditAnnotations": [{"key": "seen", "valueExpression": "string(object.metadata.name)"}],
    }
    await policy(server, spec, binding={"validationActions": ["Warn", "Audit"]})
    status, _, warnings = await make(server)
    assert (status, warnings) == (
        201,
        ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': no"],
    )
    event = json.loads(open(server.config.audit_log).read().splitlines()[-1])
    assert event["annotations"]["p/seen"] == "a"
    (noted,) = json.loads(event["annotations"]["validation.policy.admission.k8s.io/validation_failure"])
    assert (noted["message"], noted["expressionIndex"]) == ("no", 0)


async def test_match_conditions_and_variables(server):
    await policy(
        server,
        {
            "matchConditions": [{"name": "not-bob", "expression": "request.userInfo.username != 'bob'"}],
            "variables": [{"name": "keys", "expression": "object.data.map(k, k)"}],
            **rule("variables.keys.all(k, k.startsWith('x'))", reason="Forbidden"),
        },
    )
    assert (await make(server, data={"y": ""}))[0] == 403
    assert (await make(server, "b", "bob", data={"y": ""}))[0] == 201


async def test_parameters_are_objects_of_the_cluster_custom_ones_too(server):
    names = {"plural": "limits", "singular": "limit", "kind": "Limit"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await ask(server, "POST", path, {"metadata": {"name": "limits.example.com"}, "spec": crd})
    reference = {"selector": {"matchLabels": {"use": "yes"}}, "parameterNotFoundAction": "Deny"}
    spec = {
        "paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"},
        **rule("object.data.size() <= params.most"),
    }
    await policy(server, spec, binding={"paramRef": reference})
    status, body, _ = await make(server, data={"a": ""})
    assert status == 422 and body["message"].endswith(
        "no params found for policy binding with `Deny` parameterNotFoundAction"
    )
    limit = {
        "apiVersion": "example.com/v1",
        "kind": "Limit",
        "metadata": {"name": "l", "labels": {"use": "yes"}},
        "most": 1,
    }
    assert (await ask(server, "POST", "/apis/example.com/v1/limits", limit))[0] == 201
    assert (await make(server, data={"a": ""}))[0] == 201
    assert (await make(server, "b", data={"a": "", "b": ""}))[0] == 422


async def test_parameters_of_no_kind_are_the_policy_s_fault(server):
    spec = {"paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"}, **rule("true")}
    await policy(server, spec)
    status, body, _ = await make(server, data={"a": ""})
    assert status == 422 and body["message"].endswith(
        "denied request: failed to configure policy: "
        "failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'"
    )


async def test_the_authorizer_answers(server):
    check = "authorizer.group('').resource('secrets').namespace('default').check('delete')"
    await policy(
        server,
        rule(
            f"{check}.allowed() && !authorizer.serviceAccount('default', 'x').path('/x').check('get').allowed()"
        ),
    )
    assert (await make(server))[0] == 201


@pytest.mark.parametrize(("failure_policy", "status"), [("Fail", 422), ("Ignore", 201)])
async def test_an_error_of_an_expression_counts_as_the_policy_says(server, failure_policy, status):
    await policy(server, {**rule("object.nothing.at.all == 1"), "failurePolicy": failure_policy})
    assert (await make(server))[0] == status


def mutation(expression, patch_type="ApplyConfiguration"):
    field = "applyConfiguration" if patch_type == "ApplyConfiguration" else "jsonPatch"
    return {
        "mutations": [{"patchType": patch_type, field: {"expression": expression}}],
        "reinvocationPolicy": "Never",
    }


async def test_a_mutation_merges_a_configuration(server):
    await policy(
        server,
        mutation("Object{metadata: Object.metadata{labels: {'made-by': request.userInfo.username}}}"),
        kind="mutating",
    )
    body = (await make(server, token="bob"))[1]
    assert body["metadata"]["labels"] == {"made-by": "bob"}
    assert all(
        "f:labels" not in f["fieldsV1"].get("f:metadata", {})
        for f in body["metadata"].get("managedFields") or ()
    )


async def test_a_mutation_patches(server):
    path = "'/metadata/labels/' + jsonpatch.escapeKey('a/b')"
    patch = f"[JSONPatch{{op: 'test', path: '/metadata/labels/x', value: 'y'}}, JSONPatch{{op: 'add', path: {path}, value: 'c'}}]"
    await policy(server, mutation(patch, "JSONPatch"), kind="mutating")
    body = {"metadata": {"name": "a", "labels": {"x": "y"}}}
    assert (await ask(server, "POST", MAPS, body))[1]["metadata"]["labels"] == {"x": "y", "a/b": "c"}
    body = {"metadata": {"name": "b", "labels": {"x": "z"}}}
    assert (await ask(server, "POST", MAPS, body))[1]["metadata"]["labels"] == {"x": "z"}


async def test_policies_that_want_it_see_what_others_changed(server):
    grown = "[JSONPatch{op: 'add', path: '/data', value: {'seen': (has(object.data) ? object.data.seen : '') + '%s'}}]"
    await policy(
        server, {**mutation(grown % "a", "JSONPatch"), "reinvocationPolicy": "IfNeeded"}, "a", "mutating"
    )
    await policy(server, mutation(grown % "b", "JSONPatch"), "b", "mutating")
    assert (await make(server))[1]["data"] == {"seen": "aba"}


async def test_nothing_that_configures_admission_is_subject_to_it(server):
    everything = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]
    await policy(server, {"matchConstraints": {"resourceRules": everything}, **rule("false")})
    assert (await make(server))[0] == 422
    assert (await ask(server, "DELETE", f"{GROUP}/validatingadmissionpolicies/p"))[0] == 200
    assert (await make(server))[0] == 201


async def test_connections_and_evictions_are_admitted_too(server):
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CONNECT"], "resources": ["pods/exec"]}
    ]
    spec = {
        "matchConstraints": {"resourceRules": rules},
        **rule("!('sh' in object.command)", message="no shells"),
    }
    await policy(server, spec)
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/eviction"]}
    ]
    checks = {**rule("object.kind != 'Eviction'", message="stay")}
    await policy(server, {"matchConstraints": {"resourceRules": rules}, **checks}, "q")
    path = "/api/v1/namespaces/default/pods"
    await ask(server, "POST", path.replace("pods", "serviceaccounts"), {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert (await ask(server, "POST", path, pod))[0] == 201
    status, body, _ = await ask(server, "POST", f"{path}/p/exec", query="command=sh&container=c&stdout=true")
    assert (status, body["message"].rpartition(": ")[2]) == (422, "no shells")
    status, body, _ = await ask(server, "POST", f"{path}/p/exec", query="command=ls&container=c&stdout=true")
    assert body["message"] == "pod p does not have a host assigned"
    status, body, _ = await ask(server, "POST", f"{path}/p/eviction", {"metadata": {"name": "p"}})
    assert (status, body["message"].rpartition(": ")[2]) == (422, "stay")
