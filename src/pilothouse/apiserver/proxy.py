"""The proxy subresources of pods, services and nodes: an HTTP request through a node's network to whatever listens there."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ..api.errors import ApiError, bad_request, not_found
from ..api.fielderrors import quoted
from ..api.kinds import Kind, kind_of_resource
from ..api.object import Object, labels_of, name_of, namespace_of
from .backend import dial, exchange, target_of, unavailable
from .html_links import rewrite_page, rewrite_url
from .request import Request, Response

if TYPE_CHECKING:
    from .server import ApiServer

PAGE_MAX = 4 * 1024 * 1024


def split_name(name: str, what: str = "service") -> tuple[str, str, str]:
    """`[scheme:]name[:port]` (`utilnet.SplitSchemeNamePort`): (scheme, name, port)."""
    parts = name.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https"):
        return parts[0], parts[1], parts[2]
    raise bad_request(f"invalid {what} request {quoted(name)}")


async def proxy(server: ApiServer, request: Request, kind: Kind) -> Response:
    assert request.info is not None
    if not request.info.rest and not request.path.endswith("/") and request.method in ("GET", "HEAD"):
        return Response(301, [("location", target_of(f"{request.path}/", request.query))], content_type="")
    scheme, name, port = split_name(request.info.name, kind.plural.removesuffix("s"))
    entry = server.storage.get(kind, request.info.namespace if kind.namespaced else "", name)
    if entry is None:
        raise not_found(kind.plural, kind.group, name)
    if kind.plural == "pods":
        host, number = _pod_address(entry.object, port)
    elif kind.plural == "services":
        host, number = service_address(server, entry.object, port)
    else:
        host, number = _node_address(entry.object, port)
    tls = None
    if scheme == "https" and not (
        kind.plural == "nodes" and number == 10250  # a kubelet of ours is reached within the process
    ):  # whoever runs in the cluster has a certificate of its own: it is not checked, as in Kubernetes
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    node = name if kind.plural == "nodes" else ""
    reader, writer = await dial(server, host, number, tls, node=node)
    target = target_of(f"/{request.info.rest}", request.query)
    response = await exchange(request, reader, writer, f"{host}:{number}", target)
    return await _through(request, response, f"{host}:{number}")


async def _through(request: Request, response: Response, host: str) -> Response:
    """The answer with its links and its redirect leading through the proxy again."""
    assert request.info is not None
    prefix = request.path.removesuffix(request.info.rest).rstrip("/")
    hosts = (host, request.headers.get("host", ""))
    if any(name.lower() == "location" for name, _ in response.headers):
        response.headers = [
            (n, rewrite_url(v, prefix, hosts) if n.lower() == "location" else v) for n, v in response.headers
        ]
        return response
    encoded = any(name.lower() == "content-encoding" for name, _ in response.headers)
    if response.content_type.split(";")[0].strip() != "text/html" or encoded or response.upgrade is not None:
        return response
    chunks, size = [response.body], len(response.body)
    if response.stream is not None:
        async for chunk in response.stream:
            chunks.append(chunk)
            size += len(chunk)
            if size > PAGE_MAX:  # too long to look through
                response.stream = _and_then(chunks, response.stream)
                return response
    response.stream = None
    page = b"".join(chunks).decode("utf-8", "surrogateescape")
    response.body = rewrite_page(page, prefix, hosts).encode("utf-8", "surrogateescape")
    response.headers = [(n, v) for n, v in response.headers if n.lower() != "content-length"]
    return response


async def _and_then(chunks: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b"".join(chunks)
    async for chunk in rest:
        yield chunk


def _pod_address(pod: Object, port: str) -> tuple[str, int]:
    address = (pod.get("status") or {}).get("podIP") or ""
    if not address:
        raise bad_request("address not allowed")
    containers = (pod.get("spec") or {}).get("containers") or ()
    ports = [p for container in containers for p in container.get("ports") or ()]
    if not port:
        number = ports[0]["containerPort"] if ports else 80
    elif port.isdigit():
        number = int(port)
    else:
        number = next((p["containerPort"] for p in ports if p.get("name") == port), 0)
    if not number:
        raise bad_request(f'no port "{port}" in pod')
    return address, number


def slices_of(server: ApiServer, service: Object) -> list[Object]:
    name, kind = name_of(service), kind_of_resource("endpointslices.discovery.k8s.io")
    found = server.storage.list(kind, namespace_of(service))
    return [one for one in found if labels_of(one).get("kubernetes.io/service-name") == name]


def service_address(server: ApiServer, service: Object, port: str) -> tuple[str, int]:
    meta, spec = service["metadata"], service.get("spec") or {}
    ports = spec.get("ports") or []
    if not port and len(ports) == 1:
        chosen = ports[0]
    else:
        chosen = next((p for p in ports if p.get("name", "") == port or str(p.get("port")) == port), None)
    if chosen is None:
        raise unavailable(f'no service port {port} found for service "{meta["name"]}"')
    for endpoint_slice in slices_of(server, service):
        for endpoint_port in endpoint_slice.get("ports") or ():
            if (endpoint_port.get("name") or "") != chosen.get("name", ""):
                continue
            for endpoint in endpoint_slice.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True) and endpoint.get("addresses"):
                    return endpoint["addresses"][0], endpoint_port["port"]
    raise unavailable(f'no endpoints available for service "{meta["name"]}"')


def _node_address(node: Object, port: str) -> tuple[str, int]:
    addresses = (node.get("status") or {}).get("addresses") or ()
    for wanted in ("InternalIP", "ExternalIP", "Hostname"):
        for address in addresses:
            if address.get("type") == wanted:
                return address["address"], int(port) if port.isdigit() else 10250
    raise ApiError(
        500, "", f"no preferred addresses found; known addresses: {list(addresses)}", details=False
    )
