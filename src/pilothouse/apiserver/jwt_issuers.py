"""OpenID Connect: bearer tokens that somebody else has signed, by Kubernetes' AuthenticationConfiguration.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AuthenticationConfiguration
    jwt:
    - issuer: {url: https://issuer.example.com, audiences: [kubernetes], jwksFile: keys.json}
      claimMappings: {username: {claim: sub, prefix: "oidc:"}, groups: {claim: groups, prefix: "oidc:"}}

The keys come from the issuer's discovery document, or (our addition) from `jwksFile`. They are fetched in the background, at the start and when a token
names a key that we do not know; a token is checked with what is there. Only groups that a token says to be elsewhere (distributed claims) are asked for
when it comes. Claims and users can be asked and mapped by CEL.
(https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ..api.decode_values import go_kind
from ..api.errors import ApiError
from ..api.fielderrors import quoted
from ..api.object import Object
from ..base.clock import Clock
from . import jwt_validation
from .jwt_keys import IssuerKeys, UnknownKey, fetch
from .jwt_validation import compiled
from .request import User
from .tokens import TokenError

if TYPE_CHECKING:
    from ..api.cel import Program

log = logging.getLogger(__name__)

REFETCH_AFTER_S = 10.0  # at the soonest, after an unknown key
FETCH_TIMEOUT_S = 10.0
TROUBLE = (ApiError, OSError, KeyError, ValueError, TimeoutError)


class IssuerError(ValueError):
    """The configuration is no good; the message says where."""


def of_configuration(
    configuration: Object, clock: Clock, folder: Path = Path(), disallowed: Iterable[str] = ()
) -> list[JwtIssuer]:
    """`disallowed`: what we call ourselves as an issuer. Raises IssuerError."""
    if configuration.get("kind") != "AuthenticationConfiguration":
        raise IssuerError("kind must be AuthenticationConfiguration")
    if errors := jwt_validation.check(configuration, disallowed):
        raise IssuerError(jwt_validation.problem(errors))
    return [
        JwtIssuer(entry, f"jwt[{index}]", clock, folder)
        for index, entry in enumerate(configuration.get("jwt") or ())
    ]


def of_file(path: str | Path, clock: Clock, disallowed: Iterable[str] = ()) -> list[JwtIssuer]:
    """Raises IssuerError."""
    try:
        return of_configuration(_read(path), clock, Path(path).parent, disallowed)
    except IssuerError as error:
        raise IssuerError(f"{path}: {error}") from None


def anonymous_paths(path: str | Path) -> frozenset[str] | None:
    """Where one may come without credentials, by the same file; None: everywhere. Raises IssuerError."""
    anonymous = _read(path).get("anonymous")
    if anonymous is None:
        return None
    if not anonymous.get("enabled"):
        return frozenset()
    conditions = anonymous.get("conditions")
    return frozenset(condition.get("path") or "" for condition in conditions) if conditions else None


def _read(path: str | Path) -> Object:
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text()) or {}
    except yaml.YAMLError as error:
        raise IssuerError(str(error)) from None
    if not isinstance(found, dict):
        raise IssuerError("not an object")
    return found


class JwtIssuer:
    """`entry` is sound."""

    def __init__(self, entry: Object, where: str, clock: Clock, folder: Path):
        issuer, mappings = entry["issuer"], entry.get("claimMappings") or {}
        self.url: str = issuer["url"]
        self._audiences: list[str] = issuer["audiences"]
        self._clock, self._ca = clock, issuer.get("certificateAuthority") or ""
        self.keys = IssuerKeys(self.url, issuer.get("discoveryURL") or "", self._ca, clock)
        self._others: dict[str, IssuerKeys] = {}  # who answers for claims that are elsewhere
        self._wanted = asyncio.Event()
        self._file = folder / issuer["jwksFile"] if issuer.get("jwksFile") else None
        if self._file is not None:
            try:
                self.keys.take(orjson.loads(self._file.read_bytes()))
            except (OSError, ValueError) as error:
                raise IssuerError(f"{where}.issuer.jwksFile: {error}") from None
        self._username, self._groups, self._uid = (
            mappings.get(field) or {} for field in ("username", "groups", "uid")
        )
        self._programs = {
            field: compiled(mapping["expression"], "claims")
            for field in ("username", "groups", "uid")
            if (mapping := mappings.get(field) or {}).get("expression")
        }
        self._extra = [
            (one["key"], compiled(one["valueExpression"], "claims")) for one in mappings.get("extra") or ()
        ]
        rules = entry.get("claimValidationRules") or ()
        self._required = {
            rule["claim"]: rule.get("requiredValue") or "" for rule in rules if rule.get("claim")
        }
        self._claim_rules = _rules(rules, "claims")
        self._user_rules = _rules(entry.get("userValidationRules") or (), "user")

    # -- a token

    def claims_of(self, token: str) -> Object:
        """What it claims, believed. Raises TokenError."""
        try:
            return self.keys.verified(token, self._audiences)
        except UnknownKey as error:
            self._wanted.set()
            raise TokenError(f"oidc: verify token: {error}") from None
        except TokenError as error:
            raise TokenError(f"oidc: verify token: {error}") from None

    def user_of(self, claims: Object) -> User:
        """Raises TokenError."""
        extra: dict[str, list[str]] = {}
        name, groups, uid = self._name_of(claims), self._groups_of(claims), self._uid_of(claims)
        if isinstance(claims.get("jti"), str) and claims["jti"]:
            extra["authentication.kubernetes.io/credential-id"] = [f"JTI={claims['jti']}"]
        for key, program in self._extra:
            what = "extra claim expression"
            if values := _strings(_evaluated(program, "claims", claims, ""), f"{what}: {program.text}"):
                extra[key] = values
        for claim, wanted in self._required.items():
            if claim not in claims:
                raise TokenError(f"oidc: required claim {claim} not present in ID token")
            held = _string(claims, claim, f"claim {claim}")
            if held != wanted:
                told = f"Got = {held}, want = {wanted}"
                raise TokenError(f"oidc: required claim {claim} value does not match. {told}")
        _confirm(self._claim_rules, "claims", claims, "claim validation expression")
        user = User(name, tuple(groups), uid, extra)
        shown = {"username": name, "groups": groups, "uid": uid, "extra": extra}
        _confirm(self._user_rules, "user", shown, "user info validation rule")
        return user

    def _name_of(self, claims: Object) -> str:
        if program := self._programs.get("username"):
            what = "username claim expression"
            name = _evaluated(program, "claims", claims, what)
            if not isinstance(name, str):
                raise TokenError(f"oidc: error evaluating {what}: {what} must return a string")
            if not name:
                raise TokenError("oidc: empty username via CEL expression is not allowed")
            return name
        claim = self._username["claim"]
        name = _string(claims, claim, f"username claims {quoted(claim)}")
        if claim == "email" and "email_verified" in claims:
            verified = claims["email_verified"]
            if verified is not None and not isinstance(verified, bool):
                raise TokenError(f"oidc: parse 'email_verified' claim: {_mismatch(verified, 'bool')}")
            if not verified:
                raise TokenError("oidc: email not verified")
        return f"{self._username.get('prefix') or ''}{name}"

    def _groups_of(self, claims: Object) -> list[str]:
        claim = self._groups.get("claim") or ""
        if claim and claim in claims:
            held = claims[claim]
            if isinstance(held, str):
                held = [held]
            elif held is None:
                held = []
            if not isinstance(held, list) or not all(isinstance(each, str) for each in held):
                raise TokenError(f"oidc: parse groups claim {quoted(claim)}: {_mismatch(held, 'string')}")
            return [f"{self._groups.get('prefix') or ''}{group}" for group in held]
        if program := self._programs.get("groups"):
            what = "group claim expression"
            return _strings(_evaluated(program, "claims", claims, what), what)
        return []

    def _uid_of(self, claims: Object) -> str:
        if claim := self._uid.get("claim"):
            return _string(claims, claim, f"uid claim {quoted(claim)}")
        if program := self._programs.get("uid"):
            what = "uid claim expression"
            uid = _evaluated(program, "claims", claims, what)
            if not isinstance(uid, str):
                raise TokenError(f"oidc: error evaluating {what}: {what} must return a string")
            return uid
        return ""

    # -- claims that are elsewhere

    def is_elsewhere(self, claims: Object) -> bool:
        """Whether its groups have to be asked for."""
        claim = self._groups.get("claim")
        return bool(claim) and claim not in claims and "_claim_names" in claims

    async def user_of_elsewhere(self, claims: Object) -> User:
        """Raises TokenError."""
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                await self._expand(claims)
        except (TokenError, *TROUBLE) as error:
            why = getattr(error, "message", None) or str(error) or "timed out"
            raise TokenError(f"oidc: could not expand distributed claims: {why}") from None
        return self.user_of(claims)

    async def _expand(self, claims: Object) -> None:
        claim: str = self._groups["claim"]
        names, sources = claims["_claim_names"], claims.get("_claim_sources")
        if sources is None:
            raise TokenError("oidc: no claim sources")
        if not isinstance(names, dict) or claim not in names:
            return
        source = sources.get(names[claim]) if isinstance(sources, dict) else None
        if source is None:
            told = f"a source {names[claim]} missing in _claims_sources"
            raise TokenError(f"id token _claim_names contained {told}")
        if not source.get("endpoint"):
            return  # the claims are in the token, which Kubernetes does not look at
        try:
            body = await fetch(source["endpoint"], self._ca, source.get("access_token") or "")
        except TROUBLE as error:
            why = getattr(error, "message", None) or error
            raise TokenError(f"while getting distributed claim {quoted(claim)}: {why}") from None
        token = body.decode("utf-8", "replace").strip()
        keys = await self._keys_of(_issuer_of(token, source["endpoint"], claim))
        try:
            found = keys.verified(token, self._audiences)
        except TokenError as error:
            raise TokenError(f"verify distributed claim token: {error}") from None
        if claim not in found:
            told = f"{quoted(source['endpoint'])} did not contain claim: {claim}"
            raise TokenError(f"jwt returned by distributed claim endpoint {told}")
        claims[claim] = found[claim]

    async def _keys_of(self, issuer: str) -> IssuerKeys:
        keys = self._others.get(issuer)
        if keys is None:
            keys = self.keys if issuer == self.url else IssuerKeys(issuer, "", self._ca, self._clock)
            try:
                if not keys.known:
                    await keys.fetch()
            except TROUBLE:
                why = f"verifier not initialized for issuer: {quoted(issuer)}"
                raise TokenError(f"verifying untrusted issuer {issuer} failed: {why}") from None
            self._others[issuer] = keys
        return keys

    # -- the keys

    async def run(self) -> None:
        """Keeps the keys; for ever."""
        if self._file is not None:
            return
        while True:
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_S):
                    await self.keys.fetch()
            except TROUBLE as error:
                log.warning(
                    "keys of %s: %s", self.url, getattr(error, "message", None) or error or "timed out"
                )
            await self._clock.sleep(REFETCH_AFTER_S)
            self._wanted.clear()
            await self._wanted.wait()


def _rules(rules: Iterable[Object], variable: str) -> list[tuple[Program, str]]:
    return [
        (compiled(rule["expression"], variable), rule.get("message") or "")
        for rule in rules
        if rule.get("expression")
    ]


def _confirm(rules: list[tuple[Program, str]], variable: str, value: Object, what: str) -> None:
    for program, message in rules:
        if _evaluated(program, variable, value, what) is not True:
            why = f"validation expression '{program.text}' failed: {message}"
            raise TokenError(f"oidc: error evaluating {what}: {why}")


def _evaluated(program: Program, variable: str, value: Object, what: str) -> Any:
    from ..api.cel import CelError

    try:
        return program.evaluate({variable: value})
    except CelError as error:
        why = f"expression '{program.text}' resulted in error: {error}"
        raise TokenError(f"oidc: error evaluating {what}: {why}" if what else why) from None


def _strings(value: Any, what: str) -> list[str]:
    """What an expression made, as strings; empty ones do not count."""
    values = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(values, (list, tuple)) or not all(isinstance(each, str) for each in values):
        why = "expression must return a string or a list of strings"
        raise TokenError(f"oidc: error evaluating {what}: {why}")
    return [each for each in values if each]


def _string(claims: Object, claim: str, what: str) -> str:
    if claim not in claims:
        raise TokenError(f"oidc: parse {what}: claim not present")
    value = claims[claim]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TokenError(f"oidc: parse {what}: {_mismatch(value, 'string')}")
    return value


def _mismatch(value: Any, wanted: str) -> str:
    return f"json: cannot unmarshal {go_kind(value)} into Go value of type {wanted}"


def _issuer_of(token: str, endpoint: str, claim: str) -> str:
    import jwt

    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        what = f"from endpoint {endpoint} failed for claim {quoted(claim)}: malformed token"
        raise TokenError(f"getting untrusted issuer {what}") from None
    return str(claims.get("iss") or "")
