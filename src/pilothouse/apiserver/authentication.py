"""Who asks: client certificates, bearer tokens (static, service account), or nobody in particular (anonymous).

The first that knows the credentials decides; a bearer token that nobody knows is 401, no credentials at all is `system:anonymous`.
What is costly (parsing a certificate, checking a signature) is remembered by the credential's own bytes. A service account token is
still looked at on every request for what may have changed since: its account, and the pod, secret or node that it is bound to.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from ..api.errors import ApiError, unauthorized
from ..api.object import Object
from ..base.clock import parse_timestamp
from .config import ApiConfig
from .jwt_issuers import JwtIssuer
from .request import ANONYMOUS, AUTHENTICATED, Request, User, service_account
from .tokens import TokenError, Tokens

BELIEVED_S = 10.0
LAST_USED, INVALID_SINCE = "kubernetes.io/legacy-token-last-used", "kubernetes.io/legacy-token-invalid-since"
INVALIDATED = "[invalid bearer token, service account token has been invalidated]"

Labeler = Callable[[str, str, dict[str, str]], Awaitable[None]]
"""Puts labels on a Secret (namespace, name)."""

K = TypeVar("K")
V = TypeVar("V")


class Lister(Protocol):
    """What authentication, authorization and admission read: the cache, as parsed objects, read-only."""

    def get(self, resource: str, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: str, namespace: str = "") -> list[Object]: ...

    def version(self, resource: str) -> int:
        """Changes when anything of the resource does."""
        ...


class Bounded(OrderedDict[K, V], Generic[K, V]):
    """A dict that forgets its oldest beyond `limit`."""

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit

    def remember(self, key: K, value: V) -> V:
        self[key] = value
        if len(self) > self.limit:
            self.popitem(last=False)
        return value


def authenticated(
    name: str, groups: tuple[str, ...] = (), uid: str = "", extra: dict[str, list[str]] | None = None
) -> User:
    """A user with the group that everyone with credentials is in."""
    if AUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return User(name, groups, uid, extra or {})


def _with_group(user: User) -> User:
    return authenticated(user.name, user.groups, user.uid, user.extra)


def user_of_certificate(der: bytes) -> User:
    """Subject CN is the name, each O a group (`x509.CommonNameUserConversion`)."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import NameOID

    certificate = x509.load_der_x509_certificate(der)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        raise unauthorized()
    groups = tuple(
        str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    )
    fingerprint = certificate.fingerprint(SHA256()).hex()
    extra = {"authentication.kubernetes.io/credential-id": [f"X509SHA256={fingerprint}"]}
    return authenticated(str(names[0].value), groups, extra=extra)


class Authenticator:
    def __init__(self, config: ApiConfig, tokens: Tokens, lister: Lister, label: Labeler | None = None):
        self._config, self._tokens, self._lister, self._label = config, tokens, lister, label
        self._static = {
            token: authenticated(u.name, u.groups, u.uid, u.extra) for token, u in config.tokens.items()
        }
        self._by_header = {f"Bearer {token}": user for token, user in self._static.items()}
        self._certificates: Bounded[bytes, User] = Bounded(1024)
        self._claims: Bounded[str, dict[str, Any]] = Bounded(10_000)
        self._asked: Bounded[str, tuple[float, User | None]] = Bounded(1024)
        self._issuers = {issuer.url: issuer for issuer in config.issuers}

    def authenticate(self, request: Request) -> User | Awaitable[User]:
        """At once, unless somebody has to be asked. Raises 401."""
        der = request.peer_certificate
        if der:
            user = self._certificates.get(der)
            if user is None:
                user = self._certificates.remember(der, user_of_certificate(der))
            return user
        header = request.headers.get("authorization", "")
        if (known := self._by_header.get(header)) is not None:
            return known
        if not header:
            header = self._token_of_websocket(request)
        if header:
            scheme, _, token = header.partition(" ")
            token = token.strip()
            if scheme.lower() == "bearer" and token:
                return self.user_of_token(token)
        paths = self._config.anonymous_paths
        if not self._config.anonymous or (paths is not None and request.path not in paths):
            raise unauthorized()
        return ANONYMOUS

    @staticmethod
    def _token_of_websocket(request: Request) -> str:
        """Browsers can send no headers with a WebSocket: the token comes as a subprotocol, base64url."""
        import binascii

        for protocol in request.headers.get("sec-websocket-protocol", "").split(","):
            protocol = protocol.strip()
            if protocol.startswith("base64url.bearer.authorization.k8s.io."):
                encoded = protocol.rpartition(".")[2]
                try:
                    return "Bearer " + base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
                except (binascii.Error, UnicodeDecodeError):
                    raise unauthorized()
        return ""

    def user_of_token(self, token: str) -> User | Awaitable[User]:
        """Raises 401."""
        try:
            found = self.check_token(token)
        except TokenError:
            raise unauthorized() from None
        return found if isinstance(found, User) else self._awaited(found)

    @staticmethod
    async def _awaited(found: Awaitable[User]) -> User:
        try:
            return await found
        except TokenError:
            raise unauthorized() from None

    def check_token(self, token: str, audiences: tuple[str, ...] = ()) -> User | Awaitable[User]:
        """At once, unless somebody has to be asked. Raises TokenError, which says what is wrong with it."""
        try:
            return self._known_token(token, audiences)
        except TokenError as error:
            if self._config.token_webhook is None:
                raise
            return self._ask_webhook(token, audiences or self._config.audiences, error)

    async def _ask_webhook(self, token: str, audiences: tuple[str, ...], otherwise: TokenError) -> User:
        assert self._config.token_webhook is not None
        try:
            return await self._config.token_webhook.authenticate(token, audiences)
        except ApiError:
            raise otherwise from None

    def _known_token(self, token: str, audiences: tuple[str, ...]) -> User | Awaitable[User]:
        user = self._static.get(token)
        if user is not None:
            return user
        if token.count(".") != 2:
            return bootstrap_user(self._lister, token, self._tokens.now())
        if self._issuers and (found := self._user_of_issuer(token)) is not None:
            return found
        claims = self._claims.get(token)
        if claims is None:
            claims = self._claims.remember(token, self._tokens.verify(token))
        user = self._user_of_claims(claims, audiences or self._config.audiences)
        if self._label is not None and "legacy" in claims:
            return self._used(claims["kubernetes.io"], user, self._label)
        return user

    def _used(self, bound: dict[str, Any], user: User, label: Labeler) -> User | Awaitable[User]:
        """A token of a Secret: that says on which day it was used last."""
        namespace, name = bound["namespace"], bound["secret"]["name"]
        labels = (self._lister.get("secrets", namespace, name) or {}).get("metadata", {}).get("labels") or {}
        now = datetime.fromtimestamp(self._tokens.now(), UTC)
        today, tomorrow = (f"{day:%Y-%m-%d}" for day in (now, now + timedelta(days=1)))
        marked = labels.get(LAST_USED) in (today, tomorrow)
        invalid = bool(labels.get(INVALID_SINCE))
        if marked and not invalid:
            return user

        async def mark() -> User:
            if not marked:
                await label(namespace, name, {LAST_USED: today})
            if invalid:
                account = f"{namespace}/{bound['serviceaccount']['name']}"
                why = (
                    f"the token in secret {namespace}/{name} for service account {account} has been marked invalid. "
                    "Use tokens from the TokenRequest API or manually created secret-based tokens, "
                    f"or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
                )
                raise TokenError(f"[invalid bearer token, {why}]")
            return user

        return mark()

    def _user_of_issuer(self, token: str) -> User | Awaitable[User] | None:
        """By whom the token says that it was issued; None: by us, or nobody known."""
        import jwt

        try:
            said = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise TokenError("invalid bearer token") from None
        issuer = self._issuers.get(said.get("iss") or "")
        if issuer is None:
            return None
        try:
            claims = issuer.claims_of(token)
            if issuer.is_elsewhere(claims):
                return self._user_of_elsewhere(issuer, token, claims)
            return _with_group(issuer.user_of(claims))
        except TokenError as error:
            raise TokenError(f"[invalid bearer token, {error}]") from None

    async def _user_of_elsewhere(self, issuer: JwtIssuer, token: str, claims: dict[str, Any]) -> User:
        """Believed for ten seconds, like every good token in Kubernetes."""
        now = self._tokens.now()
        until, user = self._asked.get(token, (0.0, None))
        if user is None or until <= now:
            try:
                user = _with_group(await issuer.user_of_elsewhere(claims))
            except TokenError as error:
                raise TokenError(f"[invalid bearer token, {error}]") from None
            self._asked.remember(token, (now + BELIEVED_S, user))
        return user

    def agreed_audiences(self, token: str, asked: tuple[str, ...]) -> list[str]:
        """Those asked for (or ours) that a good token is for."""
        wanted = asked or self._config.audiences
        claims = self._claims.get(token)
        if claims is None:  # a static token is for every audience of ours
            return [audience for audience in wanted if audience in self._config.audiences]
        return [audience for audience in wanted if audience in claims["aud"]]

    def _user_of_claims(self, claims: dict[str, Any], audiences: tuple[str, ...]) -> User:
        self._tokens.check_time(claims)
        if not set(claims.get("aud") or ()) & set(audiences):
            has, wanted = (" ".join(f'"{a}"' for a in some) for some in (claims.get("aud") or (), audiences))
            raise TokenError(
                f"[invalid bearer token, token audiences [{has}] is invalid for the target audiences [{wanted}]]"
            )
        bound = claims["kubernetes.io"]
        namespace, account = bound["namespace"], bound["serviceaccount"]
        found = self._lister.get("serviceaccounts", namespace, account["name"])
        if found is None:
            raise TokenError(f'[invalid bearer token, serviceaccounts "{account["name"]}" not found]')
        if found["metadata"]["uid"] != account["uid"]:
            raise TokenError(INVALIDATED)
        extra: dict[str, list[str]] = {}
        if claims.get("jti"):
            extra["authentication.kubernetes.io/credential-id"] = [f"JTI={claims['jti']}"]
        for kind, resource in (("pod", "pods"), ("secret", "secrets"), ("node", "nodes")):
            reference = bound.get(kind)
            if not reference:
                continue
            held = self._lister.get(resource, "" if kind == "node" else namespace, reference["name"])
            if kind == "node":  # the node of a pod that is bound to it: it may be gone
                extra["authentication.kubernetes.io/node-name"] = [reference["name"]]
                extra["authentication.kubernetes.io/node-uid"] = [reference.get("uid", "")]
                if "pod" in bound:
                    continue
            if held is not None and kind == "secret" and "legacy" in claims:
                if (held.get("data") or {}).get("token") != claims["legacy"]:
                    raise TokenError(INVALIDATED)
            elif held is None or held["metadata"]["uid"] != reference["uid"]:
                raise TokenError(INVALIDATED)
            deleted = held["metadata"].get("deletionTimestamp")
            if deleted and self._tokens.long_since(deleted):
                raise TokenError(INVALIDATED)
            if kind == "pod":
                extra["authentication.kubernetes.io/pod-name"] = [reference["name"]]
                extra["authentication.kubernetes.io/pod-uid"] = [reference["uid"]]
        return service_account(namespace, account["name"], account["uid"], extra)


_BOOTSTRAP_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
BOOTSTRAP_GROUP = "system:bootstrappers"


def bootstrap_user(lister: Lister, token: str, now: float) -> User:
    """A node that joins shows a token that lives in a Secret of kube-system (plugin/pkg/auth/authenticator/token/bootstrap). Raises TokenError."""
    match = _BOOTSTRAP_TOKEN.fullmatch(token)
    if match is None:
        raise TokenError("invalid bearer token")
    identifier, secret_part = match.groups()
    secret = lister.get("secrets", "kube-system", f"bootstrap-token-{identifier}")
    if secret is None or secret.get("type") != "bootstrap.kubernetes.io/token":
        raise TokenError("invalid bearer token")
    if secret["metadata"].get("deletionTimestamp"):
        raise TokenError("invalid bearer token")
    data = {
        key: base64.b64decode(value).decode("utf-8", "replace")
        for key, value in (secret.get("data") or {}).items()
    }
    same = hmac.compare_digest(data.get("token-secret", "").encode(), secret_part.encode())
    if not same or data.get("token-id") != identifier or data.get("usage-bootstrap-authentication") != "true":
        raise TokenError("invalid bearer token")
    if data.get("expiration"):
        try:
            expired = parse_timestamp(data["expiration"]) <= now
        except ValueError:
            expired = True
        if expired:
            raise TokenError("invalid bearer token")
    extra = [group for group in data.get("auth-extra-groups", "").split(",") if group]
    if any(not group.startswith(f"{BOOTSTRAP_GROUP}:") for group in extra):
        raise TokenError("invalid bearer token")
    return authenticated(f"system:bootstrap:{identifier}", (BOOTSTRAP_GROUP, *sorted(set(extra))))
