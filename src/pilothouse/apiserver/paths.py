"""What is no resource: versions, health, discovery, OpenAPI, the keys of the token issuer."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson

from ..api import discovery
from ..api.errors import method_not_allowed
from ..api.fielderrors import quoted
from .answers import dumps
from .negotiation import JSON, MEDIA, clauses, negotiate, not_acceptable, routed
from .request import Request, Response

if TYPE_CHECKING:
    from .server import ApiServer

PathFunction = Callable[[Request], Response | Awaitable[Response]]
JWKS = "application/jwk-set+json"
NO_RANK = -1000, ""  # of a group of custom resources that has no APIService yet
PLAIN = "text/plain; charset=utf-8"
HOOKS = """
    start-apiserver-admission-initializer generic-apiserver-start-informers
    priority-and-fairness-config-consumer priority-and-fairness-filter storage-object-count-tracker-hook
    start-apiextensions-informers start-apiextensions-controllers crd-informer-synced
    start-system-namespaces-controller peer-endpoint-reconciler-controller start-cluster-authentication-info-controller
    start-kube-apiserver-identity-lease-controller start-kube-apiserver-identity-lease-garbage-collector
    storage-readiness start-legacy-token-tracking-controller start-service-ip-repair-controllers rbac/bootstrap-roles
    scheduling/bootstrap-system-priority-classes priority-and-fairness-config-producer bootstrap-controller
    start-kubernetes-service-cidr-controller aggregator-reload-proxy-client-cert start-kube-aggregator-informers
    apiservice-status-local-available-controller apiservice-status-remote-available-controller
    apiservice-registration-controller apiservice-discovery-controller kube-apiserver-autoregistration
    autoregister-completion apiservice-openapi-controller apiservice-openapiv3-controller
"""
_STARTED = tuple(
    hook if hook == "autoregister-completion" else f"poststarthook/{hook}" for hook in HOOKS.split()
)
CHECKS = {
    "healthz": ("ping", "log", "loopback-serving-certificate", "etcd", *_STARTED),
    "livez": ("ping", "log", "loopback-serving-certificate", "etcd", *_STARTED),
    "readyz": ("ping", "log", "etcd", "etcd-readiness", "informer-sync", *_STARTED, "shutdown"),
}


def standard_paths(server: ApiServer) -> dict[str, PathFunction]:
    from .server import VERSION

    def version(request: Request) -> Response:
        only_get(request)
        routed(request.headers.get("accept", ""), (JSON,))
        return Response(200, [], orjson.dumps(VERSION, option=orjson.OPT_INDENT_2))

    def health(request: Request) -> Response:
        return _health(server, request)

    def api(request: Request) -> Response:
        only_get(request)
        if aggregated(request):
            return _aggregated(server, request, core=True)
        address = (
            server.config.external_address
            or f"{server.config.advertise_address}:{server.config.advertise_port}"
        )
        form = negotiate(request.headers.get("accept", ""), transforms=False)
        return Response(200, [], dumps(discovery.api_versions(address), form), content_type=form.media)

    def apis(request: Request) -> Response:
        if aggregated(request):
            return _aggregated(server, request, core=False)
        form = negotiate(request.headers.get("accept", ""), produced=(), transforms=False)
        document = discovery.api_group_list(server.kinds)
        if others := server.aggregator.groups():
            document["groups"] += [discovery.group_of(name, versions) for name, versions in others.items()]
            ranks = server.aggregator.ranks()
            document["groups"].sort(key=lambda group: ranks.get(group["name"], NO_RANK))
        return Response(200, [], dumps(document, form), content_type=form.media)

    def metrics(request: Request) -> Response:
        return Response(
            200, [], server.metrics.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8"
        )

    def openid(request: Request) -> Response:
        only_get(request)
        routed(request.headers.get("accept", ""), (JSON,))
        uri = f"https://{server.config.advertise_address}:{server.config.advertise_port}/openid/v1/jwks"
        return Response(
            200,
            [("Cache-Control", "public, max-age=3600")],
            orjson.dumps(server.tokens.discovery_document(uri)),
        )

    def jwks(request: Request) -> Response:
        only_get(request)
        routed(request.headers.get("accept", ""), (JWKS,))
        headers = [("Cache-Control", "public, max-age=3600")]
        return Response(200, headers, orjson.dumps(server.tokens.jwks()), content_type=JWKS)

    def root(request: Request) -> Response:
        paths = sorted(
            {"/api", "/api/v1", "/apis", *(p for p in server.paths if not p.endswith("/*") and p != "/")}
            | {f"/apis/{k.group}" for k in server.kinds if k.group}
            | {f"/apis/{k.api_version}" for k in server.kinds if k.group}
            | {f"/{where}/{check}" for where, checks in CHECKS.items() for check in checks}
        )
        return Response(200, [], orjson.dumps({"paths": paths}, option=orjson.OPT_INDENT_2))

    def openapi_v3_index(request: Request) -> Response:
        body = server.openapi.v3_index()
        if others := server.aggregator.openapi_paths():
            body = orjson.dumps({"paths": others | orjson.loads(body)["paths"]})
        return Response(200, [], body, content_type=PLAIN)  # sic

    def openapi_v3(request: Request) -> Response | Awaitable[Response]:
        path = request.path.removeprefix("/openapi/v3/")
        body = None if path.endswith("/") else server.openapi.v3(path)
        if body is None:
            return server.aggregator.openapi(request, path) or Response(404, [], content_type="")
        etag, asked = server.openapi.v3_hash(path), request.parameter("hash")
        if not asked or not _accepts_document(request):
            return _document(request, body, JSON, etag)
        if asked != etag:
            where = f"/openapi/v3/{path}?hash={etag}"
            return Response(301, [("Location", where), ("Vary", "Accept"), ("Etag", f'"{etag}"')])
        response = _document(request, body, JSON, etag)
        response.headers.append(("Cache-Control", "public, immutable"))
        return response

    def openapi_v2(request: Request) -> Response:
        body, media = server.openapi.v2_as(request.headers.get("accept", ""))
        return _document(request, body, media, _sha512(body))

    return {
        "/": root,
        "/openapi/v2": openapi_v2,
        "/openapi/v3": openapi_v3_index,
        "/openapi/v3/*": openapi_v3,
        "/version": version,
        "/healthz": health,
        "/livez": health,
        "/readyz": health,
        "/healthz/*": health,
        "/livez/*": health,
        "/readyz/*": health,
        "/api": api,
        "/apis": apis,
        "/metrics": metrics,
        "/.well-known/openid-configuration": openid,
        "/openid/v1/jwks": jwks,
    }


def only_get(request: Request) -> None:
    if request.method != "GET":
        raise method_not_allowed()


@functools.lru_cache(maxsize=4)
def _sha512(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()


def _accepts_document(request: Request) -> bool:
    accept = request.headers.get("accept") or "*/*"
    return "proto-openapi" in accept or any(
        c.media in ("*/*", "application/*", JSON) for c in clauses(accept)
    )


def _document(request: Request, body: bytes, media: str, etag: str) -> Response:
    if not _accepts_document(request):
        return Response(406, [("Vary", "Accept")], content_type="")
    return _kept(request, body, media, etag)


def _kept(request: Request, body: bytes, media: str, etag: str, *more: tuple[str, str]) -> Response:
    """A document that clients may keep as long as it is the same."""
    headers = [("Vary", "Accept"), ("Etag", f'"{etag}"'), *more]
    if f'"{etag}"' in request.headers.get("if-none-match", ""):
        return Response(304, headers, content_type="")
    return Response(200, headers, body, content_type=media)


def aggregated(request: Request) -> bool:
    """Whether the client wants all of discovery in one document (KEP-3352); 406 if it wants only a version that is gone."""
    accept = request.headers.get("accept", "")
    if "APIGroupDiscoveryList" not in accept:
        return False
    for clause in clauses(accept):
        if clause.parameters.get("as") == "APIGroupDiscoveryList":
            if clause.parameters.get("v") == "v2" and clause.parameters.get("g") == "apidiscovery.k8s.io":
                return True
            continue
        if clause.media in ("application/json", "*/*", "application/*") and "as" not in clause.parameters:
            return False
    raise not_acceptable((*MEDIA, "application/json;as=APIGroupDiscoveryList;g=apidiscovery.k8s.io;v=v2"))


def _aggregated(server: ApiServer, request: Request, *, core: bool) -> Response:
    document = discovery.aggregated(server.kinds, core=core)
    if not core and (others := server.aggregator.aggregated()):
        ranks = server.aggregator.ranks()
        document["items"] = sorted(
            (*document["items"], *others),
            key=lambda item: (
                ranks.get(item["metadata"]["name"], NO_RANK)[0],
                item["metadata"]["name"],
            ),
        )
    body = orjson.dumps(document)
    return _kept(request, body, discovery.AGGREGATED_MEDIA_TYPE, _sha512(body), ("Cache-Control", "public"))


def _health(server: ApiServer, request: Request) -> Response:
    """`ok`, or a line for each check with ?verbose; 500 while something is missing (readyz only)."""
    parts = [part for part in request.path.split("/") if part]
    name = parts[0]
    ready = server.ready or name == "livez"
    one = "/".join(parts[1:])
    if one:
        if one not in CHECKS[name]:
            return Response(404, [], b"404 page not found\n", content_type=PLAIN)
        return Response(
            200 if ready else 500,
            [],
            b"ok" if ready else b"internal server error: not ready\n",
            content_type=PLAIN,
        )
    if ready and "verbose" not in request.parameters:
        return Response(200, [], b"ok", content_type=PLAIN)
    state = "[+]{} ok" if ready else "[-]{} failed: reason withheld"
    excluded = set(request.parameters.get("exclude") or ())
    lines = [("[+]{} excluded: ok" if one in excluded else state).format(one) for one in CHECKS[name]]
    if unknown := excluded.difference(CHECKS[name]):
        shown = ",".join(quoted(one) for one in sorted(unknown))
        lines.append(f"warn: some health checks cannot be excluded: no matches for {shown}")
    lines.append(f"{name} check {'passed' if ready else 'failed'}")
    return Response(200 if ready else 500, [], ("\n".join(lines) + "\n").encode(), content_type=PLAIN)
