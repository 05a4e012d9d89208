"""API aggregation: groups of the API that a server in the cluster answers for (metrics-server and its like), by APIServices.

Every version that we serve ourselves has an APIService too, as people expect to see. `table` holds those that a Service serves; it is kept by a listener
on the cache, so a request costs one look into a dict that is usually empty. `run` checks whether each can be reached and says so in its condition; what it
learns of their resources goes into discovery. (https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/)
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any

import orjson

from ..api.discovery import group_of, version_priority
from ..api.errors import ApiError
from ..api.kinds import Kind, kind_of_resource
from ..api.object import Object, condition_of, labels_of, name_of
from .backend import dial, exchange, plain_error, target_of, unavailable
from .options import DeleteOptions
from .proxy import service_address, slices_of
from .registry.kinds_rules import LOCAL
from .registry.operation import CREATE, DELETE, UPDATE
from .request import APISERVER, Request, Response, User

if TYPE_CHECKING:
    from .server import ApiServer

log = logging.getLogger(__name__)

API_SERVICES = kind_of_resource("apiservices.apiregistration.k8s.io")
CHECKER = User("system:kube-aggregator", ("system:masters",))  # as extension servers see it
MANAGED = "kube-aggregator.kubernetes.io/automanaged"
CHECK_EVERY_S, CHECK_TIMEOUT_S = 30.0, 5.0
RETRY_FIRST_S = 0.5  # then twice as long each time: a server that has just started is not listening yet
LEGACY_PRIORITY, FIRST_PRIORITY, PRIORITY_STEP, CUSTOM_PRIORITY = 18000, 17800, 100, 1000

GroupVersion = tuple[str, str]


class Aggregator:
    def __init__(self, server: ApiServer):
        self._server = server
        self.table: dict[GroupVersion, Object] = {}  # served by a Service: their APIServices
        self._resources: dict[GroupVersion, list[Object]] = {}  # what those serve, as APIResources
        self._openapi: dict[
            GroupVersion, tuple[dict[str, Object], Object]
        ] = {}  # their v3 index, their v2 document
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._wake = asyncio.Event()

    def start(self) -> None:
        self._refresh()
        cache = self._server.cache
        cache.collection(API_SERVICES.prefix).subscribe(self._refresh)
        cache.collection(kind_of_resource("customresourcedefinitions.apiextensions.k8s.io").prefix).subscribe(
            self._wake.set
        )
        for resource in ("services", "endpointslices.discovery.k8s.io"):
            cache.collection(kind_of_resource(resource).prefix).subscribe(self._wake_if_needed)

    def _wake_if_needed(self) -> None:
        if self.table:
            self._wake.set()

    def _refresh(self) -> None:
        table = {}
        for entry in self._server.cache.entries(API_SERVICES.prefix):
            spec = entry.object.get("spec") or {}
            if spec.get("service"):
                table[spec.get("group") or "", spec.get("version") or ""] = entry.object
        if table or self.table:
            self._wake.set()
        self.table = table
        for known in (self._resources, self._openapi):
            for gone in known.keys() - table.keys():
                del known[gone]

    # -- requests

    async def proxy(self, request: Request, group: str, version: str) -> Response:
        """The client's request with who asks in headers, over TLS with our own client certificate (requestheader)."""
        api_service = self.table[group, version]
        available = condition_of(api_service, "Available")
        if available is None or available.get("status") != "True":
            return plain_error(503, "service unavailable")
        try:
            address = self._address(api_service)
        except ApiError:
            return plain_error(503, "service unavailable")
        try:
            target = target_of(request.path, request.query)
            return await self._exchange(api_service, address, request, target, request.user)
        except ApiError as error:
            return plain_error(error.code, error.message)

    async def _exchange(
        self, api_service: Object, address: tuple[str, int], request: Request, target: str, user: User
    ) -> Response:
        service = api_service["spec"]["service"]
        server_name = f"{service['name']}.{service['namespace']}.svc"
        tls = self._tls(api_service)
        reader, writer = await dial(self._server, *address, tls, server_name=server_name, direct=True)
        headers = [("X-Remote-User", user.name), *(("X-Remote-Group", group) for group in user.groups)]
        if user.uid:
            headers.append(("X-Remote-Uid", user.uid))
        for key, values in user.extra.items():
            headers += [(f"X-Remote-Extra-{_escaped(key)}", value) for value in values]
        return await exchange(request, reader, writer, server_name, target, headers)

    async def _get(self, api_service: Object, path: str) -> tuple[int, bytes]:
        """What it answers to ourselves. Raises ApiError, TimeoutError."""
        request = Request("GET", path, "", {"accept": "application/json"})
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            answer = await self._exchange(api_service, self._address(api_service), request, path, CHECKER)
            if answer.stream is not None:
                return answer.status, b"".join([chunk async for chunk in answer.stream])
            return answer.status, answer.body

    def _address(self, api_service: Object) -> tuple[str, int]:
        """Of an endpoint at once: nothing routes the addresses of services from here. Raises 503."""
        reference = api_service["spec"]["service"]
        port = reference.get("port") or 443
        service = self._server.lister.get("services", reference["namespace"], reference["name"])
        if service is None:
            raise unavailable(f'service "{reference["name"]}" not found')
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return spec["externalName"], port
        if spec.get("clusterIP") == "None":
            raise unavailable('cannot route to service with ClusterIP "None"')
        return service_address(self._server, service, str(port))

    def _tls(self, api_service: Object) -> ssl.SSLContext:
        spec = api_service["spec"]
        bundle = "" if spec.get("insecureSkipTLSVerify") else spec.get("caBundle") or ""
        context = self._contexts.get(bundle)
        if context is None:
            context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode() if bundle else None)
            if not bundle:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            certificate, key = self._server.config.proxy_client_files
            if certificate:
                context.load_cert_chain(certificate, key)
            self._contexts = (
                {**self._contexts, bundle: context} if len(self._contexts) < 100 else {bundle: context}
            )
        return context

    # -- discovery

    def groups(self) -> dict[str, list[str]]:
        """The groups that others serve or should, with their versions, the preferred one first."""
        found: dict[str, list[tuple[int, Any, str]]] = {}
        for (group, version), api_service in self.table.items():
            priority = api_service["spec"].get("versionPriority") or 0
            found.setdefault(group, []).append((-priority, version_priority(version), version))
        return {
            group: [version for *_, version in sorted(versions)] for group, versions in sorted(found.items())
        }

    def ranks(self) -> dict[str, tuple[int, str]]:
        """By which groups are told one before the other: the highest priority first, then by the name of that APIService."""
        found: dict[str, tuple[int, str]] = {}
        for entry in self._server.cache.entries(API_SERVICES.prefix):
            spec = entry.object["spec"]
            rank = -(spec.get("groupPriorityMinimum") or 0), name_of(entry.object)
            group = spec.get("group") or ""
            found[group] = min(rank, found.get(group, rank))
        return found

    def group(self, name: str) -> Object | None:
        """GET /apis/<group>."""
        versions = self.groups().get(name)
        return {"kind": "APIGroup", "apiVersion": "v1", **group_of(name, versions)} if versions else None

    def aggregated(self) -> list[Object]:
        """Items for an APIGroupDiscoveryList."""
        return [
            {
                "metadata": {"name": group},
                "versions": [self._discovered_version(group, version) for version in versions],
            }
            for group, versions in self.groups().items()
        ]

    def _discovered_version(self, group: str, version: str) -> Object:
        resources = self._resources.get((group, version))
        if resources is None:
            return {"version": version, "freshness": "Stale"}
        return {"version": version, "resources": discovered(resources), "freshness": "Current"}

    # -- OpenAPI

    def openapi_paths(self) -> dict[str, Object]:
        """What others add to the index of v3."""
        return {path: entry for index, _ in self._openapi.values() for path, entry in index.items()}

    def openapi(self, request: Request, path: str) -> Awaitable[Response] | None:
        """A document of v3, from whom has it; None: nobody has."""
        for key, (index, _) in self._openapi.items():
            if path in index:
                return self.proxy(request, *key)
        return None

    async def _learn_openapi(self, key: GroupVersion, api_service: Object) -> None:
        """Anew only where its index of v3 has changed, which names a document by its content."""
        try:
            status, body = await self._get(api_service, "/openapi/v3")
            index = _paths_of(body) if status == 200 else {}
            before = self._openapi.get(key)
            if before is None or not index or before[0] != index:
                status, body = await self._get(api_service, "/openapi/v2")
                self._openapi[key] = index, _parsed(body) if status == 200 else {}
        except (ApiError, TimeoutError) as error:
            log.debug("OpenAPI of %s: %s", name_of(api_service), error)
        self._server.openapi.add(
            [(f"/apis/{group}/{version}/", v2) for (group, version), (_, v2) in self._openapi.items() if v2]
        )

    # -- the controller

    async def run(self) -> None:
        """For ever; cancelled at the server's end."""
        retry_s = RETRY_FIRST_S
        while True:
            self._wake.clear()
            passed = True
            try:
                await self._keep_custom()
                await self._keep_local()
                for key, api_service in list(self.table.items()):
                    passed = await self._check(key, api_service) and passed
            except ApiError as error:
                log.warning("API services: %s", error.message)
            try:
                pause_s = CHECK_EVERY_S if passed else retry_s
                async with asyncio.timeout(pause_s if self.table else None):
                    await self._wake.wait()
                retry_s = RETRY_FIRST_S
            except TimeoutError:
                retry_s = min(retry_s * 2, CHECK_EVERY_S)

    async def _keep_custom(self) -> None:
        """An APIService for each version of custom resources, as they come and go."""
        registry = self._server.registry
        wanted = {name_of(obj): obj for obj in local_api_services(self._server.kinds, custom=True)}
        for entry in list(self._server.cache.entries(API_SERVICES.prefix)):
            name = name_of(entry.object)
            if wanted.pop(name, None) is None and labels_of(entry.object).get(MANAGED) == "true":
                op = registry.operation(API_SERVICES, DELETE, APISERVER, "", name)
                await registry.delete(op, DeleteOptions())
        for name, obj in wanted.items():
            op = registry.operation(API_SERVICES, CREATE, APISERVER, "", name)
            await registry.create(op, self._server.resources.ready(API_SERVICES, obj))

    async def _keep_local(self) -> None:
        """Those that a Service has served and does no more (new ones are born so)."""
        for entry in list(self._server.cache.entries(API_SERVICES.prefix)):
            if not entry.object["spec"].get("service"):
                await self._set_status(name_of(entry.object), LOCAL)

    async def _set_status(self, name: str, condition: Object) -> None:
        entry = self._server.storage.get(API_SERVICES, "", name)
        if entry is None:
            return
        before = condition_of(entry.object, "Available") or {}
        if {k: v for k, v in before.items() if k != "lastTransitionTime"} == condition:
            return
        since = before.get("lastTransitionTime") if before.get("status") == condition["status"] else None
        stamped = {"lastTransitionTime": since or self._server.registry.now(), **condition}
        op = self._server.registry.operation(API_SERVICES, UPDATE, APISERVER, "", name, "status")

        async def change(old: Object) -> Object:
            return {**old, "metadata": dict(old["metadata"]), "status": {"conditions": [stamped]}}

        await self._server.registry.update(op, change)

    async def _check(self, key: GroupVersion, api_service: Object) -> bool:
        """Whether its discovery answers, and what it says."""
        reason, message = await self._problem(key, api_service)
        passed = not reason
        if passed:
            await self._learn_openapi(key, api_service)
        else:
            self._resources.pop(key, None)
        condition = {
            "type": "Available",
            "status": "True" if passed else "False",
            "reason": reason or "Passed",
            "message": message or "all checks passed",
        }
        await self._set_status(name_of(api_service), condition)
        return passed

    async def _problem(self, key: GroupVersion, api_service: Object) -> tuple[str, str]:
        reference = api_service["spec"]["service"]
        port = reference.get("port") or 443
        what = f'service/{reference["name"]} in "{reference["namespace"]}"'
        service = self._server.lister.get("services", reference["namespace"], reference["name"])
        if service is None:
            return "ServiceNotFound", f"{what} is not present"
        spec = service.get("spec") or {}
        if spec.get("type") == "ClusterIP":
            chosen = next((p for p in spec.get("ports") or () if p.get("port") == port), None)
            if chosen is None:
                return "ServicePortError", f"{what} is not listening on port {port}"
            slices = slices_of(self._server, service)
            if not slices:
                return "EndpointsNotFound", f"cannot find endpointslices for {what}"
            port_name = chosen.get("name") or ""
            if not any(_has_endpoint(one, port_name) for one in slices):
                why = f'endpointslices for {what} have no addresses with port name "{port_name}"'
                return "MissingEndpoints", why
        try:
            self._address(api_service)
        except ApiError as error:
            return "FailedDiscoveryCheck", error.message
        host = spec.get("externalName") or spec.get("clusterIP") or ""
        path = f"/apis/{key[0]}/{key[1]}" if key[0] else f"/api/{key[1]}"
        url = f"https://{f'[{host}]' if ':' in host else host}:{port}{path}"
        try:
            status, body = await self._get(api_service, path)
        except ApiError as error:
            why = f'Get "{url}": {error.message.removeprefix("error trying to reach service: ")}'
        except TimeoutError:
            why = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        else:
            if 200 <= status < 300:
                self._resources[key] = _parsed(body).get("resources") or []
                return "", ""
            why = f"bad status from {url}: {status}"
        return "FailedDiscoveryCheck", f"failing or missing response from {url}: {why}"


def _has_endpoint(endpoint_slice: Object, port_name: str) -> bool:
    ready = any((e.get("conditions") or {}).get("ready", True) for e in endpoint_slice.get("endpoints") or ())
    return ready and any(
        p.get("name") == port_name and p.get("port") is not None for p in endpoint_slice.get("ports") or ()
    )


def _parsed(body: bytes) -> Object:
    """What somebody else's server says: anything may come."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _paths_of(body: bytes) -> dict[str, Object]:
    paths = _parsed(body).get("paths")
    return paths if isinstance(paths, dict) else {}


def local_api_services(kinds: Iterable[Kind], *, custom: bool) -> list[Object]:
    """In the order of discovery, which is that of their priorities."""
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        if kind.custom == custom and kind.version not in groups.setdefault(kind.group, []):
            groups[kind.group].append(kind.version)
    made = []
    for index, (group, versions) in enumerate(groups.items()):
        for number, version in enumerate(versions):
            spec: dict[str, Any] = {"group": group} if group else {}
            if custom:
                priorities = CUSTOM_PRIORITY, 100 - number
            elif group:
                priorities = FIRST_PRIORITY - PRIORITY_STEP * (index - 1), 15 * (len(versions) - number)
            else:
                priorities = LEGACY_PRIORITY, 1
            spec |= {
                "groupPriorityMinimum": priorities[0],
                "version": version,
                "versionPriority": priorities[1],
            }
            labels = {MANAGED: "true" if custom else "onstart"}
            made.append(
                {
                    "apiVersion": API_SERVICES.api_version,
                    "kind": API_SERVICES.kind,
                    "metadata": {"name": f"{version}.{group}", "labels": labels},
                    "spec": spec,
                }
            )
    return made


def discovered(resources: list[Object]) -> list[Object]:
    """APIResources in the form of aggregated discovery (v2)."""
    found: dict[str, Object] = {}
    for resource in resources:
        plural, _, subresource = resource["name"].partition("/")
        kind = {
            "group": resource.get("group") or "",
            "version": resource.get("version") or "",
            "kind": resource.get("kind") or "",
        }
        if not subresource:
            found[plural] = {
                "resource": plural,
                "responseKind": kind,
                "scope": "Namespaced" if resource.get("namespaced") else "Cluster",
                "singularResource": resource.get("singularName") or "",
                "verbs": resource.get("verbs") or [],
                **{key: resource[key] for key in ("shortNames", "categories") if resource.get(key)},
            }
        elif plural in found:
            entry = {"subresource": subresource, "responseKind": kind, "verbs": resource.get("verbs") or []}
            found[plural].setdefault("subresources", []).append(entry)
    return list(found.values())


def _escaped(key: str) -> str:
    """`headerKeyEscape`: what may not stand in a header's name is percent-encoded."""
    return "".join(c if c.isalnum() or c in "!#$&'*+-.^_`|~" else f"%{ord(c):02X}" for c in key)
