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
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from ..api.discovery import group_of
from ..api.errors import ApiError
from ..api.kinds import Kind, kind_of_resource
from ..api.object import Object, condition_of, labels_of, name_of
from .backend import dial, exchange, target_of, unavailable
from .options import DeleteOptions
from .proxy import service_address
from .registry.operation import CREATE, DELETE, UPDATE
from .request import Request, Response, User

if TYPE_CHECKING:
    from .server import ApiServer

log = logging.getLogger(__name__)

API_SERVICES = kind_of_resource("apiservices.apiregistration.k8s.io")
AGGREGATOR = User("system:apiserver", ("system:masters", "system:authenticated"))
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
        for gone in self._resources.keys() - table.keys():
            del self._resources[gone]

    # -- requests

    async def proxy(self, request: Request, group: str, version: str) -> Response:
        """The client's request with who asks in headers, over TLS with our own client certificate (requestheader)."""
        api_service = self.table[group, version]
        available = condition_of(api_service, "Available")
        if available is None or available.get("status") != "True":
            raise unavailable("service unavailable")
        target = target_of(request.path, request.query)
        return await self._exchange(api_service, request, target, request.user)

    async def _exchange(self, api_service: Object, request: Request, target: str, user: User) -> Response:
        service = api_service["spec"]["service"]
        namespace, name = service["namespace"], service["name"]
        host, port = self._address(namespace, name, service.get("port") or 443)
        server_name = f"{name}.{namespace}.svc"
        tls = self._tls(api_service)
        reader, writer = await dial(self._server, host, port, tls, server_name=server_name, direct=True)
        headers = [("X-Remote-User", user.name), *(("X-Remote-Group", group) for group in user.groups)]
        if user.uid:
            headers.append(("X-Remote-Uid", user.uid))
        for key, values in user.extra.items():
            headers += [(f"X-Remote-Extra-{_escaped(key)}", value) for value in values]
        return await exchange(request, reader, writer, server_name, target, headers)

    def _address(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        service = self._server.lister.get("services", namespace, name)
        if service is None:
            raise unavailable(f'service "{name}" not found')
        if (service.get("spec") or {}).get("type") == "ExternalName":
            return service["spec"]["externalName"], port
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
        """The groups that others serve, with their versions, the preferred one first."""
        found: dict[str, list[tuple[int, str]]] = {}
        for (group, version), api_service in self.table.items():
            if (group, version) in self._resources:
                priority = api_service["spec"].get("versionPriority") or 0
                found.setdefault(group, []).append((-priority, version))
        return {
            group: [version for _, version in sorted(versions)] for group, versions in sorted(found.items())
        }

    def group(self, name: str) -> Object | None:
        """GET /apis/<group>."""
        versions = self.groups().get(name)
        return {"kind": "APIGroup", "apiVersion": "v1", **group_of(name, versions)} if versions else None

    def aggregated(self) -> list[Object]:
        """Items for an APIGroupDiscoveryList."""
        return [
            {
                "metadata": {"name": group},
                "versions": [
                    {
                        "version": version,
                        "resources": discovered(self._resources[group, version]),
                        "freshness": "Current",
                    }
                    for version in versions
                ],
            }
            for group, versions in self.groups().items()
        ]

    # -- the controller

    async def run(self) -> None:
        """For ever; cancelled at the server's end."""
        retry_s = RETRY_FIRST_S
        while True:
            self._wake.clear()
            passed = True
            try:
                await self._keep_custom()
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
                op = registry.operation(API_SERVICES, DELETE, AGGREGATOR, "", name)
                await registry.delete(op, DeleteOptions())
        for name, obj in wanted.items():
            op = registry.operation(API_SERVICES, CREATE, AGGREGATOR, "", name)
            await registry.create(op, self._server.resources.ready(API_SERVICES, obj))

    async def _set_status(self, name: str, condition: Object) -> None:
        entry = self._server.storage.get(API_SERVICES, "", name)
        if entry is None:
            return
        before = condition_of(entry.object, "Available") or {}
        if {k: v for k, v in before.items() if k != "lastTransitionTime"} == condition:
            return
        since = before.get("lastTransitionTime") if before.get("status") == condition["status"] else None
        stamped = {"lastTransitionTime": since or self._server.registry.now(), **condition}
        op = self._server.registry.operation(API_SERVICES, UPDATE, AGGREGATOR, "", name, "status")

        async def change(old: Object) -> Object:
            return {**old, "metadata": dict(old["metadata"]), "status": {"conditions": [stamped]}}

        await self._server.registry.update(op, change)

    async def _check(self, key: GroupVersion, api_service: Object) -> bool:
        """Whether its discovery answers, and what it says."""
        reason, message = await self._problem(key, api_service)
        passed = not reason
        condition = {
            "type": "Available",
            "status": "True" if passed else "False",
            "reason": reason or "Passed",
            "message": message or "all checks passed",
        }
        await self._set_status(name_of(api_service), condition)
        return passed

    async def _problem(self, key: GroupVersion, api_service: Object) -> tuple[str, str]:
        service = api_service["spec"]["service"]
        namespace, name = service["namespace"], service["name"]
        what = f'"{name}" in "{namespace}"'
        held = self._server.lister.get("services", namespace, name)
        if held is None:
            return "ServiceNotFound", f"service/{name} in {what.partition(' in ')[2]} is not present"
        port = service.get("port") or 443
        spec = held.get("spec") or {}
        if spec.get("type") != "ExternalName":
            if not any(p.get("port") == port for p in spec.get("ports") or ()):
                return "ServicePortError", f'service/{name} in "{namespace}" is not listening on port {port}'
            try:
                self._address(namespace, name, port)
            except ApiError:
                return (
                    "MissingEndpoints",
                    f'endpoints for service/{name} in "{namespace}" have no addresses with port name',
                )
        path = f"/apis/{key[0]}/{key[1]}"
        request = Request("GET", path, "", {"accept": "application/json"})
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                answer = await self._exchange(api_service, request, path, AGGREGATOR)
                body = answer.body
                if answer.stream is not None:
                    body = b"".join([chunk async for chunk in answer.stream])
        except (ApiError, TimeoutError) as error:
            why = error.message if isinstance(error, ApiError) else "context deadline exceeded"
            self._resources.pop(key, None)
            return (
                "FailedDiscoveryCheck",
                f"failing or missing response from https://{name}.{namespace}.svc:{port}{path}: {why}",
            )
        if not 200 <= answer.status < 300:
            self._resources.pop(key, None)
            why = f"bad status from https://{name}.{namespace}.svc:{port}{path}: {answer.status}"
            return (
                "FailedDiscoveryCheck",
                f"failing or missing response from https://{name}.{namespace}.svc:{port}{path}: {why}",
            )
        try:
            self._resources[key] = orjson.loads(body).get("resources") or []
        except (orjson.JSONDecodeError, AttributeError):
            self._resources[key] = []
        return "", ""


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
