"""Calls of webhooks: a review posted to a URL or to a Service in the cluster, its answer parsed. Admission and conversion use it.

Errors are told in Kubernetes' words. TLS contexts are kept by CA bundle, connections by what they are to: as many as were needed at once, for
as long as the next call comes within IDLE_S.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from ..api.decode_values import go_kind
from ..api.errors import ApiError
from ..api.object import Object
from .backend import exchange
from .proxy import service_address
from .request import Request

if TYPE_CHECKING:
    from .server import ApiServer

IDLE_S = 90.0
IDLE_MAX = 100  # connections, to all webhooks together
Connection = tuple[Any, Any]  # (reader, writer)

_STATUS_TEXTS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    403: "the server does not allow access to the requested resource",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


_TYPE_META = (
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
)


class WebhookError(Exception):
    """Why there is no answer; it begins with `Post "…": ` where a request was made."""


def shown_url(config: Object) -> str:
    service = config.get("service")
    if not service:
        return str(config.get("url") or "")
    path = "/" + (service.get("path") or "").lstrip("/")
    return f"https://{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}{path}"


class WebhookClient:
    def __init__(self, server: ApiServer):
        self._server = server
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._idle: deque[tuple[float, tuple[str, ...], Connection]] = (
            deque()
        )  # the oldest first: since when, to what

    async def post(self, config: Object, review: Object, timeout_s: int) -> Any:
        """`config` is the `clientConfig`. Raises WebhookError."""
        url = f"{shown_url(config)}?timeout={timeout_s}s"
        try:
            async with asyncio.timeout(timeout_s):
                status, body, type_ = await self._exchange(config, url, orjson.dumps(review))
        except TimeoutError:
            raise WebhookError(f'Post "{url}": context deadline exceeded') from None
        except ssl.SSLError as error:
            raise WebhookError(f'Post "{url}": {_tls_text(error)}') from None
        except (OSError, ApiError) as error:
            raise WebhookError(f'Post "{url}": {error}') from None
        if not 200 <= status < 300:
            raise WebhookError(_refusal(status, body, type_))
        if not body:
            kind = "application/json"
            raise WebhookError(f"0-length response with status code: {status} and content type: {kind}")
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = ""  # to YAML, most texts are a string
        if answer is not None and not isinstance(answer, dict):
            what = f"cannot unmarshal {go_kind(answer)} into Go value of type {_TYPE_META}"
            raise WebhookError(f"couldn't get version/kind; json parse error: json: {what}")
        return answer

    async def _exchange(self, config: Object, url: str, body: bytes) -> tuple[int, bytes, str]:
        parts = urlsplit(url)
        host, port, name = parts.hostname or "", parts.port or 443, parts.hostname or ""
        if config.get("service"):
            host, port = self._address(config["service"])
        to = (host, str(port), name, config.get("caBundle") or "")
        headers = {
            "accept": "application/json, */*",
            "content-type": "application/json",
            "user-agent": "kube-apiserver-admission",
        }
        target = f"{parts.path or '/'}?{parts.query}"
        request = Request("POST", target, "", headers, body)
        while (held := self._take(to)) is not None:
            try:
                return await self._ask(held, to, request, parts.netloc, target)
            except (OSError, ApiError):
                pass  # the webhook has closed it meanwhile
        connection = await self._connect(config, host, port, name)
        return await self._ask(connection, to, request, parts.netloc, target)

    async def _connect(self, config: Object, host: str, port: int, name: str) -> Connection:
        connector = self._server.nodes.any() if config.get("service") else None
        connect: Any = asyncio.open_connection if connector is None else connector.connect
        try:
            reader, writer = await connect(host, port)
        except OSError as error:
            raise OSError(f"dial tcp {host}:{port}: {_dial_text(error)}") from None
        try:
            await writer.start_tls(self._tls(config), server_hostname=name)
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _ask(
        self, connection: Connection, to: tuple[str, ...], request: Request, host: str, target: str
    ) -> tuple[int, bytes, str]:
        answer = await exchange(request, *connection, host, target, keep=True)
        body = answer.body
        if answer.stream is not None:
            body = b"".join([chunk async for chunk in answer.stream])
        if not connection[1].is_closing():
            self._idle.append((self._server.clock.monotonic(), to, connection))
        return answer.status, body, answer.content_type

    def _take(self, to: tuple[str, ...]) -> Connection | None:
        """The one that was used last; closes those that nobody has asked for in a while."""
        oldest = self._server.clock.monotonic() - IDLE_S
        while self._idle and (self._idle[0][0] < oldest or len(self._idle) > IDLE_MAX):
            self._idle.popleft()[2][1].close()
        for one in reversed(self._idle):
            if one[1] == to:
                self._idle.remove(one)
                return one[2]
        return None

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[2][1].close()

    def _address(self, service: Object) -> tuple[str, int]:
        held = self._server.lister.get("services", service["namespace"], service["name"])
        if held is None:
            raise OSError(f'service "{service["name"]}" not found')
        port = service.get("port") or 443
        if (held.get("spec") or {}).get("type") == "ExternalName":
            return held["spec"]["externalName"], port
        try:
            return service_address(self._server, held, str(port))
        except ApiError as error:
            raise OSError(error.message) from None

    def _tls(self, config: Object) -> ssl.SSLContext:
        bundle = config.get("caBundle") or ""
        context = self._contexts.get(bundle)
        if context is None:
            try:
                context = ssl.create_default_context(
                    cadata=base64.b64decode(bundle).decode() if bundle else None
                )
            except (ValueError, ssl.SSLError):
                raise OSError(
                    "unable to load root certificates: unable to parse bytes as PEM block"
                ) from None
            kept = self._contexts if len(self._contexts) < 100 else {}
            self._contexts = {**kept, bundle: context}
        return context


def _refusal(status: int, body: bytes, type_: str) -> str:
    """What an answer without success says: its own Status, or what client-go says of its code."""
    try:
        own = orjson.loads(body)
    except orjson.JSONDecodeError:
        own = None
    failure = isinstance(own, dict) and (own.get("kind"), own.get("status")) == ("Status", "Failure")
    if failure and own.get("message"):
        return str(own["message"])
    if status in _STATUS_TEXTS:
        return _STATUS_TEXTS[status]
    if status < 500:
        return f"the server responded with the status code {status} but did not return more information"
    text = body[:2048].decode("utf-8", "replace").strip() if type_.startswith("text/") else ""
    return f'an error on the server ("{text or "unknown"}") has prevented the request from succeeding'


def _dial_text(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return "connect: connection reset by peer"
    return (error.strerror or str(error)).lower()


def _tls_text(error: ssl.SSLError) -> str:
    why = getattr(error, "verify_message", "") or error.reason or str(error)
    known = {
        "self-signed certificate": "x509: certificate signed by unknown authority",
        "self-signed certificate in certificate chain": "x509: certificate signed by unknown authority",
        "unable to get local issuer certificate": "x509: certificate signed by unknown authority",
        "certificate has expired": "x509: certificate has expired or is not yet valid",
    }
    return f"tls: failed to verify certificate: {known.get(why, why)}"
