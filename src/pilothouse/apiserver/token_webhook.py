"""Bearer tokens that a webhook knows: a TokenReview to somebody else's server, by a file in kubeconfig's form.

Asked only for tokens that nobody here knows; what it says is believed for two minutes, a refusal for ten seconds.
(https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication)
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
import tempfile
from collections import OrderedDict
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from ..api.errors import ApiError, unauthorized
from ..api.object import Object
from ..base.clock import Clock
from .backend import dial_directly, exchange, whole
from .request import Request, User

log = logging.getLogger(__name__)

KNOWN_S, REFUSED_S = 120.0, 10.0
TIMEOUT_S = 10.0
REMEMBERED_MAX = 10_000
BODY_MAX = 1 << 20


class WebhookError(ValueError):
    """The file is no good; the message says where."""


class TokenWebhook:
    def __init__(self, path: str | Path, clock: Clock):
        import yaml

        try:
            config = yaml.safe_load(Path(path).read_text()) or {}
            cluster, user = (
                config["clusters"][0]["cluster"],
                (config.get("users") or [{}])[0].get("user") or {},
            )
            self._url = urlsplit(cluster["server"])
            self._tls = _tls(cluster, user, Path(path).parent) if self._url.scheme == "https" else None
            self._bearer = user.get("token") or ""
        except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError, ssl.SSLError) as error:
            raise WebhookError(f"{path}: {error!r}") from None
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, User | None]] = OrderedDict()

    async def authenticate(self, token: str, audiences: tuple[str, ...]) -> User:
        """Raises 401."""
        now = self._clock.monotonic()
        until, user = self._known.get(token, (0.0, None))
        if until <= now:
            user = await self._ask(token, audiences)
            self._known[token] = (now + (KNOWN_S if user else REFUSED_S), user)
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        if user is None:
            raise unauthorized()
        return user

    async def _ask(self, token: str, audiences: tuple[str, ...]) -> User | None:
        spec = {"token": token, "audiences": list(audiences)}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        headers = {"content-type": "application/json", "accept": "application/json"}
        own = [("Authorization", f"Bearer {self._bearer}")] if self._bearer else []
        request = Request("POST", self._url.path, "", headers, orjson.dumps(review))
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        port = self._url.port or (443 if self._tls else 80)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await dial_directly(self._url.hostname or "", port, self._tls)
                answer = await exchange(request, reader, writer, self._url.netloc, target, own)
                body = await whole(answer, BODY_MAX)
            if answer.status not in (200, 201):
                raise ValueError(f"status {answer.status}")
            status: Object = orjson.loads(body).get("status") or {}
        except (ApiError, TimeoutError, ValueError, AttributeError) as error:
            log.warning("token webhook: %s", getattr(error, "message", None) or error or "timed out")
            return None
        agreed = status.get("audiences")
        if not status.get("authenticated") or (agreed and not set(agreed) & set(audiences)):
            return None
        told = status.get("user") or {}
        groups = tuple(dict.fromkeys([*(told.get("groups") or ()), "system:authenticated"]))
        return User(told.get("username") or "", groups, told.get("uid") or "", told.get("extra") or {})


def _tls(cluster: Object, user: Object, folder: Path) -> ssl.SSLContext:
    def data(entry: Object, field: str) -> bytes:
        if encoded := entry.get(f"{field}-data"):
            return base64.b64decode(encoded)
        return (folder / entry[field]).read_bytes() if entry.get(field) else b""

    ca = data(cluster, "certificate-authority")
    context = ssl.create_default_context(cadata=ca.decode() if ca else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate := data(user, "client-certificate"):
        with tempfile.NamedTemporaryFile() as file:  # ssl reads only files
            file.write(certificate + b"\n" + data(user, "client-key"))
            file.flush()
            context.load_cert_chain(file.name)
    return context
