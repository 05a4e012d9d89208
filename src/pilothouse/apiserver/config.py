"""What an API server is told at its start. Everything has a default, so that a test says only what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .audit import Policy
from .encryption import Encryption
from .jwt_issuers import JwtIssuer
from .request import User
from .token_webhook import TokenWebhook

ISSUER = "https://kubernetes.default.svc"
ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


@dataclass(slots=True)
class ApiConfig:
    tokens: dict[str, User] = field(default_factory=dict)  # static bearer tokens
    service_cidr: str = "10.96.0.0/16"
    node_ports: tuple[int, int] = (30000, 32767)
    advertise_address: str = "127.0.0.1"  # of the `kubernetes` service's endpoint
    advertise_port: int = 6443
    issuer: str = ISSUER
    audiences: tuple[str, ...] = (ISSUER,)
    signing_key_pem: bytes = b""  # RSA, for service account tokens; made anew where empty
    cluster_ca_pem: str = (
        ""  # shown in the extension-apiserver-authentication and kube-root-ca.crt config maps
    )
    request_timeout_s: float = 60.0
    requests_max: int = 600  # that wait for something at the same time; shared out by priority levels
    watch_timeout_s: tuple[float, float] = (
        1800.0,
        3600.0,
    )  # a watch without timeoutSeconds ends somewhere in between
    event_ttl_s: float = 3600.0
    authorize: bool = True
    anonymous: bool = True
    anonymous_paths: frozenset[str] | None = None  # the only ones where one may be; None: everywhere
    bootstrap_rbac: bool = True
    external_address: str = ""  # host:port that clients use; shown by /api
    encryption: Encryption | None = None  # of what the store holds; None: as it is
    audit_policy: Policy | None = None  # None: nothing is told
    audit_log: str = ""  # the file that it goes to
    proxy_client_files: tuple[str, str] = (
        "",
        "",
    )  # certificate and key that we show to aggregated API servers
    proxy_client_ca_pem: str = ""  # who signed it: told in extension-apiserver-authentication
    issuers: Sequence[JwtIssuer] = ()  # of OpenID Connect tokens
    token_webhook: TokenWebhook | None = None  # who knows the tokens that nobody here knows
