"""OpenID Connect: bearer tokens that somebody else has signed, by Kubernetes' AuthenticationConfiguration.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AuthenticationConfiguration
    jwt:
    - issuer: {url: https://issuer.example.com, audiences: [kubernetes], jwksFile: keys.json}
      claimMappings: {username: {claim: sub, prefix: "oidc:"}, groups: {claim: groups, prefix: "oidc:"}}

The keys come from the issuer's discovery document, or (our addition) from `jwksFile`. They are fetched in the background, at the start and when a token
names a key that we do not know; a token is checked with what is there. Claims and users can be asked and mapped by CEL.
(https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens)
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from ..api.errors import ApiError
from ..api.object import Object
from ..base.clock import Clock
from .backend import dial_directly, exchange
from .request import Request, User
from .tokens import TokenError

log = logging.getLogger(__name__)

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"]
REFETCH_AFTER_S = 10.0  # at the soonest, after an unknown key
FETCH_TIMEOUT_S = 10.0
BODY_MAX = 1 << 20


class IssuerError(ValueError):
    """The configuration is no good; the message says where."""


def of_configuration(configuration: Object, clock: Clock, folder: Path = Path()) -> list[JwtIssuer]:
    """Raises IssuerError."""
    if configuration.get("kind") != "AuthenticationConfiguration":
        raise IssuerError("kind must be AuthenticationConfiguration")
    return [
        JwtIssuer(entry, f"jwt[{index}]", clock, folder)
        for index, entry in enumerate(configuration.get("jwt") or ())
    ]


def of_file(path: str | Path, clock: Clock) -> list[JwtIssuer]:
    """Raises IssuerError."""
    import yaml

    try:
        return of_configuration(yaml.safe_load(Path(path).read_text()) or {}, clock, Path(path).parent)
    except (yaml.YAMLError, IssuerError) as error:
        raise IssuerError(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A value from a claim (with a prefix), or from an expression over the claims."""

    claim: str = ""
    prefix: str = ""
    program: Any = None

    def value(self, claims: Mapping[str, Any]) -> Any:
        if self.program is not None:
            return self.program.evaluate({"claims": claims})
        return claims.get(self.claim) if self.claim else None


class JwtIssuer:
    def __init__(self, entry: Object, where: str, clock: Clock, folder: Path):
        issuer, mappings = entry.get("issuer") or {}, entry.get("claimMappings") or {}
        self.url: str = issuer.get("url") or ""
        self._audiences: list[str] = issuer.get("audiences") or []
        if not self.url:
            raise IssuerError(f"{where}.issuer.url: is required")
        if not self._audiences:
            raise IssuerError(f"{where}.issuer.audiences: at least one is required")
        self._discovery = (
            issuer.get("discoveryURL") or f"{self.url.rstrip('/')}/.well-known/openid-configuration"
        )
        self._ca = issuer.get("certificateAuthority") or None
        self._clock, self._keys, self._fetched_at = clock, {}, float("-inf")  # type: ignore[var-annotated]
        self._wanted = asyncio.Event()
        self._file = folder / issuer["jwksFile"] if issuer.get("jwksFile") else None
        if self._file is not None:
            try:
                self._take(orjson.loads(self._file.read_bytes()))
            except (OSError, ValueError) as error:
                raise IssuerError(f"{where}.issuer.jwksFile: {error}") from None
        elif urlsplit(self._discovery).scheme != "https":
            raise IssuerError(f"{where}.issuer: URL scheme must be https")
        self._username = _mapped(
            mappings.get("username") or {}, f"{where}.claimMappings.username", required=True
        )
        self._groups = _mapped(mappings.get("groups") or {}, f"{where}.claimMappings.groups")
        self._uid = _mapped(mappings.get("uid") or {}, f"{where}.claimMappings.uid")
        self._extra = {
            extra["key"]: _program(
                extra.get("valueExpression") or "", "claims", f"{where}.claimMappings.extra[{i}]"
            )
            for i, extra in enumerate(mappings.get("extra") or ())
        }
        self._claim_rules = [
            (rule, _program(rule["expression"], "claims", f"{where}.claimValidationRules[{i}]"))
            if rule.get("expression")
            else (rule, None)
            for i, rule in enumerate(entry.get("claimValidationRules") or ())
        ]
        self._user_rules = [
            (rule, _program(rule.get("expression") or "", "user", f"{where}.userValidationRules[{i}]"))
            for i, rule in enumerate(entry.get("userValidationRules") or ())
        ]

    # -- a token

    def user_of(self, token: str, claims: Object, header: Object) -> User:
        """`claims` and `header`: what the token says, not yet believed. Raises TokenError."""
        import jwt

        key = self._keys.get(header.get("kid") or "") or (
            next(iter(self._keys.values())) if len(self._keys) == 1 and not header.get("kid") else None
        )
        if key is None:
            self._wanted.set()
            raise TokenError("oidc: verify token: failed to verify signature: no key for this token")
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            claims = jwt.decode(
                token, key, algorithms=ALGORITHMS, audience=self._audiences, issuer=self.url, options=options
            )
        except jwt.PyJWTError as error:
            raise TokenError(f"oidc: verify token: {error}") from None
        if self._clock.now() > float(claims.get("exp") or 0):
            raise TokenError("oidc: verify token: oidc: token is expired")
        return self._user(claims)

    def _user(self, claims: Object) -> User:
        from ..api.cel import CelError

        try:
            for rule, program in self._claim_rules:
                if program is None:
                    held = claims.get(rule.get("claim") or "")
                    if held != (rule.get("requiredValue") or ""):
                        wanted = rule.get("requiredValue") or ""
                        raise TokenError(
                            f"oidc: required claim {rule.get('claim')} value does not match: {wanted!r}"
                        )
                elif program.evaluate({"claims": claims}) is not True:
                    raise TokenError(
                        f"oidc: {rule.get('message') or 'validation expression failed: ' + rule['expression']}"
                    )
            name = self._username.value(claims)
            if not isinstance(name, str) or not name:
                raise TokenError(f"oidc: parse username claims {self._username.claim!r}: claim not present")
            if self._username.claim == "email" and claims.get("email_verified", True) is not True:
                raise TokenError("oidc: email not verified")
            groups = self._groups.value(claims) or []
            groups = [groups] if isinstance(groups, str) else groups
            extra = {key: program.evaluate({"claims": claims}) for key, program in self._extra.items()}
            user = User(
                self._username.prefix + name,
                tuple(self._groups.prefix + str(group) for group in groups),
                str(self._uid.value(claims) or ""),
                {
                    key: [values] if isinstance(values, str) else list(values)
                    for key, values in extra.items()
                    if values
                },
            )
            shown = {"username": user.name, "groups": list(user.groups), "uid": user.uid, "extra": user.extra}
            for rule, program in self._user_rules:
                if program is not None and program.evaluate({"user": shown}) is not True:
                    raise TokenError(
                        f"oidc: {rule.get('message') or 'validation expression failed: ' + rule['expression']}"
                    )
        except CelError as error:
            raise TokenError(f"oidc: error evaluating claim expression: {error}") from None
        return user

    # -- the keys

    async def run(self) -> None:
        """Keeps the keys; for ever."""
        if self._file is not None:
            return
        while True:
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_S):
                    document = await self._fetch(self._discovery)
                    self._take(await self._fetch(document["jwks_uri"]))
            except (ApiError, OSError, KeyError, ValueError, TimeoutError) as error:
                log.warning(
                    "keys of %s: %s", self.url, getattr(error, "message", None) or error or "timed out"
                )
            await self._clock.sleep(REFETCH_AFTER_S)
            self._wanted.clear()
            await self._wanted.wait()

    async def _fetch(self, url: str) -> Object:
        parsed = urlsplit(url)
        context = ssl.create_default_context(cadata=self._ca)
        reader, writer = await dial_directly(parsed.hostname or "", parsed.port or 443, context)
        request = Request("GET", parsed.path, parsed.query, {"accept": "application/json"})
        target = (parsed.path or "/") + (f"?{parsed.query}" if parsed.query else "")
        answer = await exchange(request, reader, writer, parsed.netloc, target)
        body = answer.body
        if answer.stream is not None:
            async for chunk in answer.stream:
                body += chunk
                if len(body) > BODY_MAX:
                    raise ValueError("the answer is too large")
        if answer.status != 200:
            raise ValueError(f"{url} answered {answer.status}")
        found: Object = orjson.loads(body)
        return found

    def _take(self, jwks: Object) -> None:
        import jwt

        self._keys = {key.key_id or "": key.key for key in jwt.PyJWKSet.from_dict(jwks).keys}


def _mapped(mapping: Object, where: str, *, required: bool = False) -> _Mapped:
    claim, expression = mapping.get("claim") or "", mapping.get("expression") or ""
    if claim and expression:
        raise IssuerError(f"{where}: claim and expression can't both be set")
    if expression:
        return _Mapped(program=_program(expression, "claims", where))
    if required and not claim:
        raise IssuerError(f"{where}: claim or expression is required")
    if claim and "prefix" not in mapping and where.endswith(("username", "groups")):
        raise IssuerError(f"{where}.prefix: is required when claim is set; it can be the empty string")
    return _Mapped(claim, mapping.get("prefix") or "")


def _program(expression: str, variable: str, where: str) -> Any:
    from ..api import cel
    from ..api.cel.types import DYN, STRING, map_of

    try:
        return cel.compile(expression, {variable: map_of(STRING, DYN)})
    except cel.CompileError as error:
        raise IssuerError(f"{where}: compilation failed: {error}") from None
