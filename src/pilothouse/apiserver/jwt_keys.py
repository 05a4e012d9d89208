"""The keys of an issuer of tokens, and what a token of it must be (go-oidc's verifier, whose words these are)."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from ..api.fielderrors import quoted
from ..api.object import Object
from ..base.clock import Clock
from .backend import dial_directly, exchange, whole
from .request import Request
from .tokens import TokenError

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"]
NOT_BEFORE_LEEWAY_S = 300.0
BODY_MAX = 1 << 20


class IssuerKeys:
    def __init__(self, issuer: str, discovery: str, certificate_authority: str, clock: Clock):
        self.issuer, self._clock = issuer, clock
        self._discovery = discovery or f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        self._ca = certificate_authority
        self.known: list[tuple[str, Any]] = []

    def take(self, jwks: Object) -> None:
        import jwt

        self.known = [(key.key_id or "", key.key) for key in jwt.PyJWKSet.from_dict(jwks).keys]

    async def fetch(self) -> None:
        """Raises ApiError, OSError, KeyError, ValueError."""
        document = orjson.loads(await fetch(self._discovery, self._ca))
        self.take(orjson.loads(await fetch(document["jwks_uri"], self._ca)))

    def verified(self, token: str, audiences: list[str]) -> Object:
        """What the token claims, believed. Raises TokenError."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError as error:
            raise TokenError(f"oidc: malformed jwt: {error}") from None
        if claims.get("iss") != self.issuer:
            told = f"expected {quoted(self.issuer)} got {quoted(str(claims.get('iss') or ''))}"
            raise TokenError(f"oidc: id token issued by a different provider, {told}")
        self._check_time(claims)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            supported = " ".join(map(quoted, ALGORITHMS))
            why = f"expected [{supported}] got {quoted(str(algorithm))}"
            raise TokenError(f"oidc: id token signed with unsupported algorithm, {why}")
        self._check_signature(token, header.get("kid") or "")
        held = claims.get("aud")
        held = [held] if isinstance(held, str) else held or []
        if not set(held) & set(audiences):
            wanted, got = (" ".join(map(quoted, some)) for some in (sorted(audiences), held))
            raise TokenError(f"oidc: expected audience in [{wanted}] got [{got}]")
        return dict(claims)

    def _check_time(self, claims: Object) -> None:
        now = self._clock.now()
        expiry, not_before = claims.get("exp") or 0, claims.get("nbf")
        if expiry < now:
            raise TokenError(f"oidc: token is expired (Token Expiry: {_go_time(expiry)})")
        if not_before is not None and now + NOT_BEFORE_LEEWAY_S < not_before:
            told = f"{_go_time(now)} before the nbf (not before) time: {_go_time(not_before)}"
            raise TokenError(f"oidc: current time {told}")

    def _check_signature(self, token: str, kid: str) -> None:
        import jwt

        options: Any = {f"verify_{claim}": False for claim in ("aud", "iss", "exp", "nbf", "iat")}
        for key_id, key in self.known:
            if kid and key_id and key_id != kid:
                continue
            try:
                jwt.decode(token, key, algorithms=ALGORITHMS, options=options)
            except (jwt.PyJWTError, TypeError, ValueError):  # a key of another algorithm, too
                continue
            return
        raise UnknownKey("failed to verify signature: failed to verify id token signature")


class UnknownKey(TokenError):
    """There may be newer keys."""


def _go_time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")


async def fetch(url: str, certificate_authority: str, bearer: str = "") -> bytes:
    """Raises ApiError, OSError, ValueError."""
    parsed = urlsplit(url)
    tls = None
    if parsed.scheme != "http":
        tls = ssl.create_default_context(cadata=certificate_authority or None)
    port = parsed.port or (443 if tls else 80)
    reader, writer = await dial_directly(parsed.hostname or "", port, tls)
    request = Request("GET", parsed.path, parsed.query, {"accept": "application/json"})
    target = (parsed.path or "/") + (f"?{parsed.query}" if parsed.query else "")
    own = [("Authorization", f"Bearer {bearer}")] if bearer else []
    answer = await exchange(request, reader, writer, parsed.netloc, target, own)
    body = await whole(answer, BODY_MAX)
    if answer.status != 200:
        raise ValueError(f"{url} answered {answer.status}")
    return body
