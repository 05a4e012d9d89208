"""Service account tokens: RS256 JWTs, bound to an account and perhaps to a pod, secret or node (KEP-1205).

The key pair is the cluster's. Its public half is what `/openid/v1/jwks` shows, with the key id that Kubernetes derives from it, so
that other systems can check our tokens by OIDC discovery.
"""

from __future__ import annotations

import base64
import hashlib
import math
from typing import Any

from ..api.object import Object
from ..base.clock import Clock, parse_timestamp
from ..base.random import Random

LEEWAY_AFTER_DELETION_S = (
    60.0  # a bound object in deletion keeps its token that long after its deletionTimestamp
)


EXTENDED_SECONDS = 365 * 24 * 3600
LEGACY = "kubernetes.io/serviceaccount"  # what the claims of a secret's token begin with


class TokenError(Exception):
    """The token is not (or no longer) good."""


class Tokens:
    """Issues and verifies. The key is read, or made, when it is first needed."""

    def __init__(self, issuer: str, signing_key_pem: bytes, clock: Clock, random: Random):
        self._issuer, self._pem, self._clock, self._random = issuer, signing_key_pem, clock, random
        self._private: Any = None
        self._key_id = ""

    @property
    def issuer(self) -> str:
        return self._issuer

    def _key(self) -> Any:
        if self._private is None:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric import rsa

            if self._pem:
                self._private = serialization.load_pem_private_key(self._pem, None)
            else:
                self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            der = self._private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            # keyIDFromPublicKey: the hash of the key's DER, so that it is the same wherever the key is used
            self._key_id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
        return self._private

    def issue(
        self,
        namespace: str,
        account: Object,
        audiences: list[str],
        seconds: int,
        bound: dict[str, Object],
        extended: bool = False,
    ) -> tuple[str, float]:
        """The token and when it expires. `bound` maps pod, secret or node to {name, uid}. `extended`: it is still good for a year after
        that, for programs that never read their token again."""
        import jwt

        now = int(self._clock.now())
        metadata = account["metadata"]
        claims: dict[str, Any] = {
            "aud": audiences,
            "exp": now + (EXTENDED_SECONDS if extended else seconds),
            "iat": now,
            "iss": self._issuer,
            "jti": self._random.uid(),
            "kubernetes.io": {
                "namespace": namespace,
                **bound,
                "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
                **({"warnafter": now + seconds} if extended else {}),
            },
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{metadata['name']}",
        }
        key = self._key()
        token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": self._key_id, "typ": None})
        return token, float(now + seconds)

    def issue_legacy(self, account: Object, secret: Object) -> str:
        """What a Secret of type kubernetes.io/service-account-token holds: good until the secret is gone."""
        import jwt

        metadata, prefix = account["metadata"], f"{LEGACY}/"
        claims = {
            "iss": "kubernetes/serviceaccount",
            f"{prefix}namespace": metadata["namespace"],
            f"{prefix}secret.name": secret["metadata"]["name"],
            f"{prefix}service-account.name": metadata["name"],
            f"{prefix}service-account.uid": metadata["uid"],
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        key = self._key()
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": self._key_id, "typ": None})

    def _from_legacy(self, claims: dict[str, Any], token: str) -> dict[str, Any]:
        """As a bound token would say it; `legacy` is what its secret must hold."""
        get = {name.removeprefix(f"{LEGACY}/"): value for name, value in claims.items()}.get
        return {
            "aud": [self._issuer],
            "exp": math.inf,
            "legacy": base64.b64encode(token.encode()).decode(),
            "kubernetes.io": {
                "namespace": get("namespace"),
                "serviceaccount": {"name": get("service-account.name"), "uid": get("service-account.uid")},
                "secret": {"name": get("secret.name")},
            },
        }

    def verify(self, token: str) -> dict[str, Any]:
        """The claims, if we signed them. Time is checked by `check_time`, on every use."""
        import jwt

        try:
            claims = jwt.decode(
                token,
                self._key().public_key(),
                algorithms=["RS256"],
                issuer=[self._issuer, "kubernetes/serviceaccount"],
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            raise TokenError("invalid bearer token")
        if f"{LEGACY}/secret.name" in claims:
            return self._from_legacy(claims, token)
        if not isinstance(claims.get("kubernetes.io"), dict):
            raise TokenError("invalid bearer token")
        return claims

    def now(self) -> float:
        return self._clock.now()

    def check_time(self, claims: dict[str, Any]) -> None:
        now = self._clock.now()
        if now > float(claims.get("exp") or 0) or now < float(claims.get("nbf") or 0) - 60:
            raise TokenError("[invalid bearer token, service account token has expired]")

    def long_since(self, deletion_timestamp: str) -> bool:
        return self._clock.now() > parse_timestamp(deletion_timestamp) + LEEWAY_AFTER_DELETION_S

    def discovery_document(self, jwks_uri: str) -> dict[str, Any]:
        """`/.well-known/openid-configuration`."""
        return {
            "issuer": self._issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def jwks(self) -> dict[str, Any]:
        numbers = self._key().public_key().public_numbers()

        def number(value: int) -> str:
            return (
                base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8)).rstrip(b"=").decode()
            )

        key = {"use": "sig", "kty": "RSA", "kid": self._key_id, "alg": "RS256"}
        return {"keys": [{**key, "n": number(numbers.n), "e": number(numbers.e)}]}
