"""The API server: one straight line from a request to its answer.

    frame (http.py) → route → authenticate → authorize → dispatch → (decode → … → store → cache) → answer

`handle` takes a Request and gives a Response, at once where the cache answers, else an awaitable. Every refusal on the way is an ApiError, and
becomes a Status in one place. In-process callers (client/local.py) come in at `perform`, after authentication.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from ..api import discovery
from ..api.crd.kinds import CustomKind
from ..api.errors import ApiError, internal_error, method_not_allowed
from ..api.kinds import KINDS, Kind, find, kind_of_resource
from ..api.object import Object
from ..api.openapi import Documents
from ..api.warnings import DEPRECATED
from ..base.clock import Clock
from ..base.random import Random
from ..store.interface import Store, StoreError
from . import bootstrap, component_statuses, subresources
from .admission import Admission, Environment
from .aggregation import Aggregator
from .answers import dumps, error_response, with_warnings
from .audit import Audit
from .authentication import Authenticator
from .authorization import SUPERUSERS, Attributes, Authorizer, refusal
from .cache import Cache
from .config import ApiConfig
from .custom_resources import CustomResources
from .flow_control import FlowControl, TooMany, too_many
from .http import HttpServer, Limits
from .impersonation import Impersonation
from .metrics import ApiMetrics
from .negotiation import MEDIA, negotiate
from .node_authorizer import NodeAuthorizer
from .nodes import NodeConnectors
from .options import check_timeout
from .registry.generic import Registry, shallow
from .registry.operation import UPDATE
from .registry.storage import CacheLister, Storage
from .request import APISERVER, Request, Response, User
from .resources import VERBS, Resources
from .reviews import REVIEWS
from .routes import RequestInfo, authorized_name, parse_query, request_info
from .tokens import Tokens
from .webhook_client import WebhookClient

log = logging.getLogger(__name__)

VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-06-01T00:00:00Z",
    "goVersion": "go1.26.0",
    "compiler": "gc",
    "platform": "linux/amd64",
}

# verbs of a path with a name, and without one, by what discovery calls them
UPDATES = frozenset({"status", "ephemeralcontainers", "resize", "approval", "finalize"})


class ApiServer:
    """`await start()`, then `serve` it over HTTP, or use it in process; `await stop()` at the end."""

    def __init__(self, store: Store, clock: Clock, random: Random, config: ApiConfig | None = None):
        self.config = config or ApiConfig()
        self.clock, self.random = clock, random
        self.store = store
        encryption = self.config.encryption
        self.cache = Cache(store, encryption.open if encryption is not None else None)
        self.storage = Storage(store, self.cache, encryption)
        self.lister = CacheLister(self.storage)
        self.tokens = Tokens(self.config.issuer, self.config.signing_key_pem, clock, random.fork("tokens"))
        self.authenticator = Authenticator(self.config, self.tokens, self.lister, self._label_secret)
        self.authorizer = Authorizer(
            self.lister, self.cache, NodeAuthorizer(self.storage), self.config.authorize
        )
        self.impersonation = Impersonation(self.authorizer)
        environment = Environment(
            self.lister, clock, random.fork("admission"), self.config, self.authorizer, self.storage
        )
        self.admission = Admission(environment)
        self.registry = Registry(self.storage, self.admission, clock, random.fork("registry"), self.config)
        self.resources = Resources(self.registry)
        self.nodes = NodeConnectors()
        self.openapi = Documents(list(KINDS))
        self.custom = CustomResources(self)
        environment.find_kind = self.custom.find_gvk
        self.webhooks = environment.webhooks = WebhookClient(self)
        self.aggregator = Aggregator(self)
        self.flow_control = FlowControl(self)
        self.http = HttpServer(self.handle, limits=Limits())
        self.metrics = ApiMetrics(self)
        self.audit: Audit | None = None
        self.ready = False
        self._started_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.paths: dict[str, Callable[[Request], Response | Awaitable[Response]]] = {}
        from .paths import standard_paths

        self.paths.update(standard_paths(self))

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Loads the cache and makes what every cluster has. Needs no network."""
        if self.config.audit_policy is not None:
            path, fork = Path(self.config.audit_log), self.random.fork("audit")
            self.audit = Audit(self.config.audit_policy, path, self.clock, fork)
        await self.storage.seal_stale()
        await self.cache.start()
        self.custom.start()
        self.aggregator.start()
        self.flow_control.start()
        self._started_at = self.clock.now()
        await bootstrap.run(self)
        self._tasks.append(asyncio.create_task(self.custom.run(), name="custom-resources"))
        self._tasks.append(asyncio.create_task(self.aggregator.run(), name="aggregator"))
        self._tasks.append(asyncio.create_task(self.flow_control.run(), name="flow-control"))
        for issuer in self.config.issuers:
            self._tasks.append(asyncio.create_task(issuer.run(), name=f"keys of {issuer.url}"))
        self._tasks.append(asyncio.create_task(bootstrap.expire_events(self), name="event-ttl"))
        self._tasks.append(asyncio.create_task(bootstrap.forget_history(self), name="compaction"))
        self._tasks.append(asyncio.create_task(bootstrap.keep(self), name="bootstrap"))
        self.ready = True

    async def serve(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        return await self.http.start(host, port, tls)

    async def stop(self) -> None:
        self.ready = False
        if self.http.loop is not None:
            await self.http.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.cache.stop()
        self.webhooks.close()
        if self.audit is not None:
            self.audit.close()
            self.audit = None

    @property
    def kinds(self) -> Iterable[Kind]:
        return self.custom.kinds

    def kind_of_resource(self, resource: str) -> Kind:
        """Built in or custom."""
        try:
            return self.custom.of_resource(resource) or kind_of_resource(resource)
        except KeyError:  # a definition that has gone meanwhile
            raise no_such_resource() from None

    # -- one request -------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        started = self.clock.monotonic()
        try:
            if request.query:
                request.parameters = parse_query(request.query)
            request.info = info = request_info(request.method, request.path, request.parameters)
            if "timeout" in request.parameters:
                check_timeout(request.parameters["timeout"][0], info)
            user = self._who(request, info)
            if not isinstance(user, User):
                return self._handle_later(request, info, user, started)
            answer = self._authenticated(request, info, user)
        except Exception as error:
            answer = self.failed(request, error)
        if not isinstance(answer, Response):
            return self._finish(request, answer, started)
        return self._answered(request, answer, started)

    def _who(self, request: Request, info: RequestInfo) -> User | Awaitable[User]:
        try:
            return self.authenticator.authenticate(request)
        except ApiError:
            if self.audit is not None:
                self.audit.unauthenticated(request, info)
            raise

    async def _who_later(self, request: Request, info: RequestInfo, user: Awaitable[User]) -> User:
        try:
            return await user
        except ApiError:
            if self.audit is not None:
                self.audit.unauthenticated(request, info)
            raise

    async def _label_secret(self, namespace: str, name: str, labels: dict[str, str]) -> None:
        op = self.registry.operation(kind_of_resource("secrets"), UPDATE, APISERVER, namespace, name)
        op.patch = True

        async def change(old: Object) -> Object:
            new = shallow(old)
            new["metadata"]["labels"] = {**(old["metadata"].get("labels") or {}), **labels}
            return new

        try:
            await self.registry.update(op, change)
        except ApiError as error:
            log.warning("labelling the secret %s/%s: %s", namespace, name, error.message)

    async def _handle_later(
        self, request: Request, info: RequestInfo, user: Awaitable[User], started: float
    ) -> Response:
        """Where a webhook has to be asked who it is."""
        try:
            answer = self._authenticated(request, info, await self._who_later(request, info, user))
        except Exception as error:
            answer = self.failed(request, error)
        if not isinstance(answer, Response):
            return await self._finish(request, answer, started)
        return self._answered(request, answer, started)

    def _authenticated(
        self, request: Request, info: RequestInfo, user: User
    ) -> Response | Awaitable[Response]:
        if self.audit is not None:
            self.audit.received(request, info, user)
        request.user = user
        if "impersonate-" in "".join(request.headers):  # all their names, in one look
            request.user = self.impersonation.user_of(request, user, info)
        request.flow = self.flow_control.schema_of(request.user, info)
        if SUPERUSERS not in request.user.groups:
            self.authorize(request, info)
        elif request.audit is not None:
            request.audit.decided(True, "")
        return self.dispatch(request, info)

    async def _finish(self, request: Request, waiting: Awaitable[Response], started: float) -> Response:
        assert request.info is not None
        level = None
        if request.flow is not None:
            level = request.flow.level
            if not level.take(started):
                try:
                    await self.flow_control.seat(request.flow, request)
                except TooMany:
                    if asyncio.iscoroutine(waiting):
                        waiting.close()
                    return self._answered(request, too_many(), started)
            self.flow_control.dispatched[request.flow.names] += 1
        inflight = self.metrics.inflight
        what = "readOnly" if request.info.verb in ("get", "list") else "mutating"
        inflight[what] += 1
        try:
            answer = await waiting
        except Exception as error:
            answer = self.failed(request, error)
        finally:
            inflight[what] -= 1
            if level is not None:
                level.leave(self.clock.monotonic())
        return self._answered(request, answer, started)

    def _answered(self, request: Request, answer: Response, started: float) -> Response:
        self.metrics.answered(request, request.info, answer.status, self.clock.monotonic() - started)
        if request.flow is not None:
            answer.headers += request.flow.headers
        if request.audit is not None:
            request.audit.answered(answer)
        return answer

    def failed(self, request: Request, error: Exception) -> Response:
        if isinstance(error, ApiError):
            return error_response(error, request)
        if isinstance(error, StoreError):
            return error_response(internal_error(str(error)), request)
        log.exception("%s %s", request.method, request.path, exc_info=error)
        return error_response(internal_error(f"{type(error).__name__}: {error}"), request)

    def may_request_certificate(self, csr: Object, subresource: str) -> bool:
        """Whether the user of a CSR's spec may have it approved without anybody looking (`selfnodeclient`, `nodeclient`)."""
        user = User(csr.get("username", ""), tuple(csr.get("groups") or ()))
        resource = "certificatesigningrequests"
        question = Attributes(user, "create", "certificates.k8s.io", "*", resource, subresource)
        return self.authorizer.allows(question)[0]

    def authorize(self, request: Request, info: RequestInfo) -> None:
        name = authorized_name(info, request.parameters)
        asked = Attributes.of(request.user, info, name, request.parameter("fieldSelector"))
        allowed, why = self.authorizer.allows(asked)
        if request.audit is not None:
            request.audit.decided(allowed, why)
        if not allowed:
            raise refusal(asked, why)

    def dispatch(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        if not info.resource:
            return self._path(request)
        if (info.group, info.version) in self.aggregator.table:
            return self.aggregator.proxy(request, info.group, info.version)
        if info.served_by is not None:
            function, of_kind = info.served_by
            return function(self.resources, request, of_kind)
        kind = find(info.group, info.version, info.resource) or self.custom.find(
            info.group, info.version, info.resource
        )
        if isinstance(kind, CustomKind):
            return self.custom.dispatch(request, kind)
        if kind is None:
            if any(k.group == info.group for k in KINDS):
                raise no_such_resource()
            return page_not_found()
        if kind.resource not in DEPRECATED:
            return self._built_in(request, info, kind)
        request.warnings.append(DEPRECATED[kind.resource])
        answer = self._built_in(request, info, kind)
        if isinstance(answer, Response) and info.verb in ("get", "list", "watch"):
            with_warnings(answer, request.warnings)
        return answer

    def _built_in(self, request: Request, info: RequestInfo, kind: Kind) -> Response | Awaitable[Response]:
        if "//" in request.path:
            raise no_such_resource()
        if (
            bool(info.namespace)
            and not kind.namespaced
            and (
                info.resource != "namespaces"
                or f"/{info.namespace}/namespaces/" in info.path
                or not info.name
            )
        ):
            raise no_such_resource()
        if kind.namespaced and info.name and not info.namespace:
            raise no_such_resource()
        if info.subresource:
            return self._subresource(request, info, kind)
        review = REVIEWS.get(kind.resource)
        if review is not None:
            if info.name:
                raise no_such_resource()
            if info.verb != "create":
                raise method_not_allowed()
            negotiate(request.headers.get("accept", ""), tables=False)
            return review(self, request, kind)
        if request.method == "HEAD":
            raise method_not_allowed()
        if kind.resource == "componentstatuses" and info.verb in component_statuses.ANSWERS:
            return component_statuses.ANSWERS[info.verb](self.resources, request, kind)
        if info.verb not in kind.verbs and not (info.verb == "watch" and "watch" in kind.verbs):
            raise method_not_allowed()
        if info.verb == "create" and info.name:
            raise method_not_allowed()
        if info.verb in ("update", "patch", "delete") and not info.name:
            raise method_not_allowed()
        if info.verb in ("create", "deletecollection") and kind.namespaced and not info.namespace:
            raise method_not_allowed()
        function = VERBS.get(info.verb)
        if function is None:
            raise method_not_allowed()
        if kind.resource not in DEPRECATED:
            info.served_by = function, kind
        return function(self.resources, request, kind)

    def _subresource(self, request: Request, info: RequestInfo, kind: Kind) -> Response | Awaitable[Response]:
        known = kind.subresource(info.subresource)
        if known is None or (info.rest and info.subresource != "proxy"):
            raise no_such_resource()
        if info.subresource not in ("exec", "attach", "portforward", "proxy"):
            produced = ("text/plain", *MEDIA) if info.subresource == "log" else MEDIA
            tables = info.verb != "create" and info.subresource != "log"
            negotiate(request.headers.get("accept", ""), produced=produced, tables=tables)
        special = subresources.SUBRESOURCES.get((kind.resource, info.subresource, info.verb))
        if special is not None:
            return special(self, request, kind)
        if info.subresource in ("log", "exec", "attach", "portforward", "proxy"):
            from . import connect

            return connect.dispatch(self, request, kind)
        if info.verb not in known.verbs:
            raise method_not_allowed()
        if info.subresource in UPDATES:
            return VERBS[info.verb](self.resources, request, kind)
        raise no_such_resource()

    def _path(self, request: Request) -> Response | Awaitable[Response]:
        path = request.path
        function = self.paths.get(path.rstrip("/") if path in SLASHED else path)
        if function is None:
            for prefix, candidate in self.paths.items():
                if prefix.endswith("/*") and path.startswith(prefix[:-1]) and len(path) >= len(prefix):
                    function = candidate
                    break
        if function is None:
            if path.startswith("/api/") or path.startswith("/apis/"):
                return self._group_path(request)
            return page_not_found()
        return function(request)

    def _group_path(self, request: Request) -> Response | Awaitable[Response]:
        """/api/v1, /apis/<group> and /apis/<group>/<version>."""
        parts = [part for part in request.path.split("/") if part]
        if self.aggregator.table and len(parts) == 3 and (parts[1], parts[2]) in self.aggregator.table:
            return self.aggregator.proxy(request, parts[1], parts[2])
        document = None
        if parts[0] == "api" and len(parts) == 2:
            document = discovery.api_resource_list(self.kinds, "", parts[1])
            known = True
        else:
            known = any(k.group == parts[1] for k in self.kinds)
            if len(parts) == 2:
                document = discovery.api_group(self.kinds, parts[1]) or self.aggregator.group(parts[1])
            elif len(parts) == 3:
                document = discovery.api_resource_list(self.kinds, parts[1], parts[2])
        if document is None:
            if known and not self.custom.is_group(parts[1]):
                raise no_such_resource()
            return page_not_found()
        if request.method != "GET" and (parts[0] == "api" or len(parts) != 2):
            raise method_not_allowed()
        routes = MEDIA if len(parts) == 3 - (parts[0] == "api") and not self.custom.is_group(parts[1]) else ()
        form = negotiate(request.headers.get("accept", ""), produced=routes, transforms=False)
        return Response(200, [], dumps(document, form), content_type=form.media)


# what is there with a slash behind it too
SLASHED = {"/version/", "/api/", "/apis/", "/openid/v1/jwks/", "/.well-known/openid-configuration/"}


def no_such_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def page_not_found() -> Response:
    return Response(
        404,
        [("X-Content-Type-Options", "nosniff")],
        b"404 page not found\n",
        content_type="text/plain; charset=utf-8",
    )
