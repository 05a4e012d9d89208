"""Tokens of others (OpenID Connect) and of nodes that join: who they are taken for, and when they are not."""

from __future__ import annotations

import asyncio
import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.authentication import bootstrap_user
from pilothouse.apiserver.config import ApiConfig
from pilothouse.apiserver.jwt_issuers import IssuerError, anonymous_paths, of_configuration
from pilothouse.apiserver.jwt_validation import check, problem
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
        (token({**CLAIMS, "exp": 1}), r"token is expired \(Token Expiry: 1970-01-01 00:00:01 \+0000 UTC\)"),
        (token({**CLAIMS, "nbf": 3_900_000_000}), r"before the nbf \(not before\) time: 2093"),
        (token({**CLAIMS, "aud": "else"}), r'oidc: expected audience in \["kubernetes"\] got \["else"\]'),
        (token(CLAIMS, key=ec.generate_private_key(ec.SECP256R1())), "failed to verify id token signature"),
        (token(CLAIMS, kid="k2"), "failed to verify id token signature"),
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


USERNAME = {"claim": "sub", "prefix": ""}
ONE = {"url": URL, "audiences": ["kubernetes"]}


@pytest.mark.parametrize(
    ("issuer", "more", "told"),
    [
        ({}, {}, '[jwt[0].issuer.url: Required value, jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required]'),
        ({**ONE, "url": "http://u:p@a?q#f"}, {}, '[jwt[0].issuer.url: Invalid value: "http://u:p@a?q#f": URL scheme must be https, jwt[0].issuer.url: Invalid value: "http://u:p@a?q#f": URL must not contain a username or password, jwt[0].issuer.url: Invalid value: "http://u:p@a?q#f": URL must not contain a query, jwt[0].issuer.url: Invalid value: "http://u:p@a?q#f": URL must not contain a fragment]'),
        ({**ONE, "url": "https://us"}, {}, 'jwt[0].issuer.url: Invalid value: "https://us": URL must not overlap with disallowed issuers: [https://us]'),
        ({**ONE, "discoveryURL": URL + "/"}, {}, f'jwt[0].issuer.discoveryURL: Invalid value: "{URL}/": discoveryURL must be different from URL'),
        ({**ONE, "audiences": ["a", "a"]}, {}, '[jwt[0].issuer.audiences[1]: Duplicate value: "a", jwt[0].issuer.audienceMatchPolicy: Invalid value: "": audienceMatchPolicy must be MatchAny for multiple audiences]'),
        ({**ONE, "egressSelectorType": "etcd"}, {}, 'jwt[0].issuer.egressSelectorType: Invalid value: "etcd": egress selector must be either controlplane or cluster'),
        (ONE, {"claimMappings": {}}, "jwt[0].claimMappings.username: Required value: claim or expression is required"),
        (ONE, {"claimMappings": {"username": {"claim": "sub"}}}, "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing"),
        (ONE, {"claimMappings": {"username": {"expression": "claims.email"}}}, 'jwt[0].claimMappings.username.expression: Invalid value: "claims.email": claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression'),
        (ONE, {"claimMappings": {"username": {"expression": "claims.email"}}, "claimValidationRules": [{"expression": "claims.?email_verified.orValue(true) == true"}]}, ""),
        (ONE, {"claimMappings": {"username": USERNAME, "extra": [{"key": "a.K8s.io/X", "valueExpression": "''"}]}}, '[jwt[0].claimMappings.extra[0].key: Invalid value: "a.K8s.io": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters'),
        (ONE, {"claimMappings": {"username": USERNAME, "extra": [{"key": "a.k8s.io/x"}]}}, '[jwt[0].claimMappings.extra[0].key: Invalid value: "a.k8s.io/x": k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use, jwt[0].claimMappings.extra[0].valueExpression: Required value]'),
        (ONE, {"claimValidationRules": [{"expression": "claims.a"}]}, 'jwt[0].claimValidationRules[0].expression: Invalid value: "claims.a": must evaluate to bool'),
        (ONE, {"claimValidationRules": [{"claim": "a", "message": "m"}, {"claim": "a"}, {}]}, '[jwt[0].claimValidationRules[0].message: Invalid value: "m": may not be specified when claim is set, jwt[0].claimValidationRules[1].claim: Duplicate value: "a", jwt[0].claimValidationRules[2]: Required value: claim or expression is required]'),
        (ONE, {"userValidationRules": [{"expression": "user.name == 'a'"}]}, "jwt[0].userValidationRules[0].expression: Invalid value: \"user.name == 'a'\": compilation failed: ERROR: <input>:1:5: undefined field 'name'"),
    ],
)  # fmt: skip
def test_what_a_configuration_is_refused_for(issuer, more, told):
    entry = {"issuer": issuer, "claimMappings": {"username": USERNAME}, **more}
    document = {"kind": "AuthenticationConfiguration", "jwt": [entry]}
    errors = check(document, ["https://us"])
    assert (problem(errors) if errors else "").startswith(told)
    assert bool(errors) == bool(told)


def test_issuers_are_named_once_and_nobody_is_anonymous_on_conditions_alone():
    entry = {"issuer": ONE, "claimMappings": {"username": USERNAME}}
    document = {"jwt": [entry, entry], "anonymous": {"enabled": False, "conditions": [{"path": "/livez"}]}}
    assert problem(check(document)) == (
        f'[jwt[1].issuer.url: Duplicate value: "{URL}", '
        'anonymous.conditions: Invalid value: [{"Path":"/livez"}]: enabled should be set to true when conditions are defined]'
    )


@pytest.mark.parametrize(
    ("mappings", "claims", "told"),
    [
        ({"username": {"claim": "name", "prefix": ""}}, {}, 'oidc: parse username claims "name": claim not present'),
        ({"username": {"claim": "n", "prefix": ""}}, {"n": 1}, 'oidc: parse username claims "n": json: cannot unmarshal number into Go value of type string'),
        ({"username": {"claim": "email", "prefix": ""}}, {"email": "a@b", "email_verified": False}, "oidc: email not verified"),
        ({"username": {"expression": "claims.n"}}, {"n": 1}, "oidc: error evaluating username claim expression: username claim expression must return a string"),
        ({"username": {"expression": "claims.n"}}, {"n": ""}, "oidc: empty username via CEL expression is not allowed"),
        ({"username": {"expression": "claims.x"}}, {}, "oidc: error evaluating username claim expression: expression 'claims.x' resulted in error: no such key: x"),
        ({"username": USERNAME, "groups": {"claim": "groups", "prefix": ""}}, {"groups": ["a", 1]}, 'oidc: parse groups claim "groups": json: cannot unmarshal array into Go value of type string'),
        ({"username": USERNAME, "groups": {"expression": "[1]"}}, {}, "oidc: error evaluating group claim expression: expression must return a string or a list of strings"),
        ({"username": USERNAME, "uid": {"claim": "id"}}, {}, 'oidc: parse uid claim "id": claim not present'),
    ],
)  # fmt: skip
def test_claims_that_make_no_user(tmp_path, mappings, claims, told):
    with pytest.raises(TokenError) as error:
        taken_for(tmp_path, token({**CLAIMS, **claims}), claimMappings=mappings)
    assert str(error.value) == f"[invalid bearer token, {told}]"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"claimValidationRules": [{"claim": "hd", "requiredValue": "a"}]}, "oidc: required claim hd not present in ID token"),
        ({"claimValidationRules": [{"claim": "tier", "requiredValue": "a"}]}, "oidc: required claim tier value does not match. Got = gold, want = a"),
        ({"claimValidationRules": [{"expression": "claims.tier == 'a'", "message": "m"}]}, "oidc: error evaluating claim validation expression: validation expression 'claims.tier == 'a'' failed: m"),
        ({"userValidationRules": [{"expression": "!user.username.startsWith('oidc:')"}]}, "oidc: error evaluating user info validation rule: validation expression '!user.username.startsWith('oidc:')' failed: "),
    ],
)  # fmt: skip
def test_users_that_break_a_rule(tmp_path, more, told):
    with pytest.raises(TokenError) as error:
        taken_for(tmp_path, token(CLAIMS), **more)
    assert str(error.value) == f"[invalid bearer token, {told}]"


def test_a_token_with_a_name_tells_it_and_empty_groups_do_not_count(tmp_path):
    mappings = {"username": USERNAME, "groups": {"expression": "['', 'a']"}}
    user = taken_for(tmp_path, token({**CLAIMS, "jti": "7"}), claimMappings=mappings)
    assert user.groups == ("a", "system:authenticated")
    assert user.extra == {"authentication.kubernetes.io/credential-id": ["JTI=7"]}


async def test_groups_that_are_elsewhere_are_asked_for(tmp_path):
    asked = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append("Bearer secret" in head)
        claim = {"groups": ["far"]} if "/groups" in head else {}
        body = token({**{k: v for k, v in CLAIMS.items() if k != "groups"}, **claim}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"

    def elsewhere(path: str) -> str:
        claims = {k: v for k, v in CLAIMS.items() if k != "groups"}
        sources = {"s": {"endpoint": url + path, "access_token": "secret"}}
        return token({**claims, "_claim_names": {"groups": "s"}, "_claim_sources": sources})

    user = await taken_for(tmp_path, elsewhere("/groups"))
    assert (user.name, user.groups) == ("oidc:ann", ("far", "system:authenticated"))
    with pytest.raises(TokenError) as error:
        await taken_for(tmp_path, elsewhere("/nothing"))
    assert str(error.value) == (
        "[invalid bearer token, oidc: could not expand distributed claims: jwt returned by distributed claim endpoint "
        f'"{url}/nothing" did not contain claim: groups]'
    )
    assert asked == [True, True]
    other.close()


def test_where_one_may_come_without_credentials(tmp_path):
    file = tmp_path / "authentication.yaml"
    file.write_text(
        "kind: AuthenticationConfiguration\nanonymous: {enabled: true, conditions: [{path: /livez}]}\n"
    )
    config = ApiConfig(anonymous_paths=anonymous_paths(file))
    server = ApiServer(MemoryStore(), RealClock(), Random(7), config)
    assert server.authenticator.authenticate(Request("GET", "/livez", "", {})).name == "system:anonymous"
    with pytest.raises(ApiError):
        server.authenticator.authenticate(Request("GET", "/readyz", "", {}))


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
