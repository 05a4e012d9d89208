"""Tokens of others (OpenID Connect) and of nodes that join: who they are taken for, and when they are not."""

from __future__ import annotations

import asyncio
import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pilothouse.apiserver.authentication import bootstrap_user
from pilothouse.apiserver.config import ApiConfig
from pilothouse.apiserver.jwt_issuers import IssuerError, of_configuration
from pilothouse.apiserver.request import Request, Response
from pilothouse.apiserver.server import ApiServer
from pilothouse.apiserver.token_webhook import TokenWebhook
from pilothouse.apiserver.tokens import TokenError
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.store.memory import MemoryStore

KEY = ec.generate_private_key(ec.SECP256R1())
URL = "https://issuer.example.com"
CLAIMS = {
    "iss": URL,
    "aud": "kubernetes",
    "sub": "ann",
    "groups": ["devs"],
    "exp": 4_000_000_000,
    "tier": "gold",
}


def configuration(tmp_path, **more) -> dict:
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [{**jwk, "kid": "k1", "alg": "ES256"}]}))
    mappings = {"username": {"claim": "sub", "prefix": "oidc:"}, "groups": {"claim": "groups", "prefix": ""}}
    issuer = {"url": URL, "audiences": ["kubernetes"], "jwksFile": "keys.json"}
    return {
        "kind": "AuthenticationConfiguration",
        "jwt": [{"issuer": issuer, "claimMappings": mappings, **more}],
    }


def token(claims: dict, key=KEY, kid: str = "k1") -> str:
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid})


def taken_for(tmp_path, bearer: str, **more):
    clock = RealClock()
    issuers = of_configuration(configuration(tmp_path, **more), clock, tmp_path)
    server = ApiServer(MemoryStore(), clock, Random(7), ApiConfig(issuers=issuers))
    request = Request("GET", "/", "", {"authorization": f"Bearer {bearer}"})
    return server.authenticator.check_token(request.headers["authorization"].partition(" ")[2])


def test_its_claims_become_name_and_groups(tmp_path):
    user = taken_for(tmp_path, token(CLAIMS))
    assert user.name == "oidc:ann"
    assert user.groups == ("devs", "system:authenticated")


@pytest.mark.parametrize(
    ("bearer", "why"),
    [
        (token({**CLAIMS, "exp": 1}), "expired"),
        (token({**CLAIMS, "aud": "else"}), "Audience"),
        (token(CLAIMS, key=ec.generate_private_key(ec.SECP256R1())), "[Ss]ignature"),
        (token(CLAIMS, kid="k2"), "no key"),
        (token({**CLAIMS, "iss": "https://other.example.com"}), "invalid bearer token"),
    ],
)
def test_a_token_that_is_not_good_is_nobodys(tmp_path, bearer, why):
    with pytest.raises(TokenError, match=why):
        taken_for(tmp_path, bearer)


def test_claims_can_be_asked_and_mapped_by_expressions(tmp_path):
    mappings = {
        "username": {"expression": "claims.sub + '@' + claims.tier"},
        "extra": [{"key": "example.com/tier", "valueExpression": "claims.tier"}],
    }
    user = taken_for(tmp_path, token(CLAIMS), claimMappings=mappings)
    assert (user.name, user.extra) == ("ann@gold", {"example.com/tier": ["gold"]})
    rule = [{"expression": "claims.tier == 'silver'", "message": "only silver"}]
    with pytest.raises(TokenError, match="only silver"):
        taken_for(tmp_path, token(CLAIMS), claimValidationRules=rule)


def test_a_configuration_that_is_no_good_is_refused_with_its_place(tmp_path):
    document = configuration(tmp_path, claimMappings={"username": {"claim": "sub"}})
    with pytest.raises(IssuerError, match=r"jwt\[0\].claimMappings.username.prefix"):
        of_configuration(document, RealClock(), tmp_path)


class Secrets:
    def __init__(self, **data: str):
        encoded = {k.replace("_", "-"): base64.b64encode(v.encode()).decode() for k, v in data.items()}
        self.secret = {"metadata": {}, "type": "bootstrap.kubernetes.io/token", "data": encoded}

    def get(self, resource, namespace, name):
        return self.secret if (namespace, name) == ("kube-system", "bootstrap-token-abcdef") else None


GOOD = {"token_id": "abcdef", "token_secret": "0123456789abcdef", "usage_bootstrap_authentication": "true"}


def test_a_bootstrap_token_makes_a_bootstrapper():
    groups = "system:bootstrappers:workers"
    user = bootstrap_user(Secrets(**GOOD, auth_extra_groups=groups), "abcdef.0123456789abcdef", 0)
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", groups, "system:authenticated")


@pytest.mark.parametrize(
    "change",
    [
        {"token_secret": "fedcba9876543210"},
        {"usage_bootstrap_authentication": "false"},
        {"expiration": "2020-01-01T00:00:00Z"},
        {"auth_extra_groups": "system:masters"},
    ],
)
def test_a_bootstrap_token_that_is_wrong_unused_late_or_greedy_is_nobodys(change):
    with pytest.raises(TokenError):
        bootstrap_user(Secrets(**{**GOOD, **change}), "abcdef.0123456789abcdef", 1_800_000_000)


async def test_a_token_that_nobody_knows_is_asked_of_the_webhook_once(tmp_path):
    asked = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        token = json.loads(await reader.readexactly(length))["spec"]["token"]
        asked.append(token)
        user = {"username": "bob", "groups": ["ops"]}
        status = {"authenticated": token == "good", "user": user if token == "good" else {}}
        body = json.dumps({"status": status}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    webhook = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = webhook.sockets[0].getsockname()[1]
    file = tmp_path / "webhook.yaml"
    file.write_text(json.dumps({"clusters": [{"cluster": {"server": f"http://127.0.0.1:{port}/review"}}]}))
    config = ApiConfig(token_webhook=TokenWebhook(file, RealClock()))
    server = ApiServer(MemoryStore(), RealClock(), Random(7), config)
    await server.start()

    async def who(token: str) -> tuple[int, dict]:
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        answer = server.handle(Request("POST", path, "", headers, b"{}"))
        answer = answer if isinstance(answer, Response) else await answer
        return answer.status, json.loads(answer.body).get("status", {})

    assert await who("good") == (
        201,
        {"userInfo": {"username": "bob", "groups": ["ops", "system:authenticated"]}},
    )
    assert (await who("good"))[0] == 201
    assert (await who("bad"))[0] == 401
    assert asked == ["good", "bad"]
    await server.stop()
    webhook.close()
