"""Tokens of service accounts that live in Secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest

from pilothouse.apiserver.authentication import Authenticator
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import Request, Response
from pilothouse.apiserver.server import ApiServer
from pilothouse.apiserver.tokens import TokenError, Tokens
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient

SECRET_TYPE, INVALID = "kubernetes.io/service-account-token", "kubernetes.io/legacy-token-invalid-since"
ACCOUNT = {"metadata": {"name": "robot", "namespace": "ns", "uid": "u1"}}
SECRET = {"metadata": {"name": "s", "namespace": "ns", "uid": "u2"}}


class Lister(dict):
    def get(self, resource, namespace, name):
        return super().get((resource, namespace, name))


def test_a_secrets_token_is_good_while_the_secret_holds_it():
    config = ApiConfig()
    tokens = Tokens(config.issuer, b"", VirtualClock(), Random(1))
    token = tokens.issue_legacy(ACCOUNT, SECRET)
    held = {**SECRET, "data": {"token": base64.b64encode(token.encode()).decode()}}
    lister = Lister({("serviceaccounts", "ns", "robot"): ACCOUNT, ("secrets", "ns", "s"): held})
    authenticator = Authenticator(config, tokens, lister)
    user = authenticator.check_token(token)
    assert (user.name, user.uid) == ("system:serviceaccount:ns:robot", "u1")
    lister["secrets", "ns", "s"] = {**SECRET, "data": {"token": "b3RoZXI="}}
    with pytest.raises(TokenError):
        authenticator.check_token(token)
    del lister["secrets", "ns", "s"]
    with pytest.raises(TokenError):
        authenticator.check_token(token)


async def ask(server: ApiServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"authorization": "Bearer t", "content-type": "application/json"}
    answer = server.handle(Request("POST", path, "", headers, json.dumps(body).encode()))
    answer = answer if isinstance(answer, Response) else await answer
    return json.loads(answer.body)


async def make(server: ApiServer) -> None:
    client, meta = LocalClient(server, ADMIN), {"namespace": "default"}
    for name in ("bot", "other"):
        await client.create("serviceaccounts", {"metadata": {**meta, "name": name}})
    spec = {"serviceAccountName": "bot", "containers": [{"name": "c", "image": "i"}]}
    await client.create("pods", {"metadata": {**meta, "name": "p"}, "spec": spec})


@pytest.mark.parametrize(
    ("meta", "spec", "told"),
    [
        ({"name": "x"}, {}, 'TokenRequest.authentication.k8s.io "other" is invalid: metadata.name: Invalid value: "x": must match the service account name if specified'),
        ({"uid": "x"}, {}, 'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "other": the UID in the token request (x) does not match'),
        ({"namespace": "x"}, {}, "the namespace of the provided object does not match the namespace sent on the request"),
        ({}, {"expirationSeconds": 1}, 'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 1: may not specify'),
        ({}, {"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Pod", "name": "p"}}, "cannot bind token to object of type apps/v1, Kind=Pod"),
        ({}, {"boundObjectRef": {"kind": "Pod", "name": "p", "uid": "x"}}, 'cannot bind token for serviceaccount "other" to pod running with different'),
    ],
)  # fmt: skip
async def test_a_token_is_not_issued_for_what_does_not_fit(server, meta, spec, told):
    await make(server)
    path = "/api/v1/namespaces/default/serviceaccounts/other/token"
    assert (await ask(server, path, {"metadata": meta, "spec": spec}))["message"].startswith(told)


async def test_a_pods_own_token_outlives_its_time_so_that_old_programs_go_on(server):
    await make(server)
    spec = {"expirationSeconds": 3607, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}}
    path = "/api/v1/namespaces/default/serviceaccounts/bot/token"
    token = (await ask(server, path, {"spec": spec}))["status"]["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        ({"fieldSelector": {}}, "fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required"),
        ({"fieldSelector": {"requirements": [{"operator": "Exists"}]}}, "fieldSelector.requirements[0].key: Required value: must be specified"),
        ({"labelSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b c"]}]}}, 'labelSelector.requirements[0].values[0]: Invalid value: "b c": a valid label'),
    ],
)  # fmt: skip
async def test_a_review_asks_with_sound_selectors(server, resource, told):
    body = {"spec": {"user": "a", "resourceAttributes": {"resource": "pods", "verb": "list", **resource}}}
    answer = await ask(server, "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    assert f"is invalid: spec.resourceAttributes.{told}" in answer["message"]


async def test_a_local_review_is_of_its_namespace_and_has_no_name(server):
    body = {"metadata": {"name": "x"}, "spec": {"user": "a", "resourceAttributes": {"namespace": "b"}}}
    answer = await ask(
        server, "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews", body
    )
    causes = [(cause["field"], cause["message"].rpartition(": ")[2]) for cause in answer["details"]["causes"]]
    assert causes == [
        ("metadata", "must be empty except for namespace"),
        ("spec.resourceAttributes.namespace", "must match metadata.namespace"),
    ]


async def test_a_secret_says_when_its_token_was_used_last(server):
    client, meta = LocalClient(server, ADMIN), {"namespace": "default"}
    await client.create("serviceaccounts", {"metadata": {**meta, "name": "bot"}})
    account = await client.get("serviceaccounts", "default", "bot")
    annotations = {"kubernetes.io/service-account.name": "bot"}
    secret = {"metadata": {**meta, "name": "s", "annotations": annotations}, "type": SECRET_TYPE}
    made = await client.create("secrets", secret)
    token = server.tokens.issue_legacy(account, made)
    data = {"token": base64.b64encode(token.encode()).decode()}
    await client.patch("secrets", "default", "s", {"data": data})
    user = await server.authenticator.check_token(token)
    assert user.name == "system:serviceaccount:default:bot"
    held = (await client.get("secrets", "default", "s"))["metadata"]
    assert held["labels"].keys() == {"kubernetes.io/legacy-token-last-used"}
    assert server.authenticator.check_token(token) == user  # once a day
    await client.patch("secrets", "default", "s", {"metadata": {"labels": {INVALID: "2026-01-01"}}})
    with pytest.raises(TokenError, match="the token in secret default/s for service account default/bot has"):
        await server.authenticator.check_token(token)
