"""Subresources that reach a node: log, exec, attach, portforward, proxy. What can be refused here is; the rest is the node's to answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..api.decode_values import WrongValue, time_of
from ..api.errors import ApiError, Cause, bad_request, invalid, method_not_allowed, not_found
from ..api.kinds import Kind, kind_of_resource
from ..api.object import Object
from .nodes import LogOptions, StreamOptions
from .registry.operation import CONNECT
from .request import Request, Response
from .routes import is_true

if TYPE_CHECKING:
    from .server import ApiServer


def dispatch(server: ApiServer, request: Request, kind: Kind) -> Response | Awaitable[Response]:
    assert request.info is not None
    name = request.info.subresource
    if name == "log" and kind.resource == "pods":
        if request.info.verb != "get":
            raise method_not_allowed()
        return pod_log(server, request)
    if name in ("exec", "attach", "portforward"):
        if request.info.verb not in ("get", "create"):
            raise method_not_allowed()
        return _admitted(server, request, kind, lambda: stream(server, request, name))
    if name == "proxy":
        from .proxy import proxy

        return _admitted(server, request, kind, lambda: proxy(server, request, kind))
    raise ApiError(404, "NotFound", "the server could not find the requested resource")


async def _admitted(
    server: ApiServer, request: Request, kind: Kind, connect: Callable[[], Awaitable[Response]]
) -> Response:
    """Admission of a connection: its object are the options, its verb is CONNECT."""
    assert request.info is not None
    given, options = request.parameters, kind.of_subresource(request.info.subresource)
    if "dryRun" in given:
        raise bad_request("dryRun is not supported")
    op = server.resources.operation(request, kind, CONNECT)
    op.object = {"kind": options.kind, "apiVersion": options.api_version}
    op.object |= {
        name: True for name in ("stdin", "stdout", "stderr", "tty") if is_true((given.get(name) or ["0"])[0])
    }
    op.object |= {name: given[name][0] for name in ("container", "path") if given.get(name)}
    if "command" in given:
        op.object["command"] = list(given["command"])
    _, proxied, path = request.path.partition(f"/{request.info.name}/proxy")
    if proxied and path:
        op.object["path"] = path
    await server.admission.mutate(op)
    await server.admission.validate(op)
    return await connect()


def _pod(server: ApiServer, request: Request) -> Object:
    assert request.info is not None
    entry = server.storage.get(kind_of_resource("pods"), request.info.namespace, request.info.name)
    if entry is None:
        raise not_found("pods", "", request.info.name)
    return entry.object


def _container(pod: Object, asked: str, *, default_annotation: bool) -> str:
    """The container that is meant (`podCmd` of the registry): the only one, the annotated one, or the one named."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    regular = [c["name"] for c in spec.get("containers") or ()]
    init = [c["name"] for c in spec.get("initContainers") or ()]
    ephemeral = [c["name"] for c in spec.get("ephemeralContainers") or ()]
    if not asked:
        annotated = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
        if default_annotation and annotated and annotated in regular:
            return str(annotated)
        if len(regular) == 1:
            return str(regular[0])
        if not regular:
            raise bad_request(f"a container name must be specified for pod {name}")
        message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(regular)}]"
        if init:
            message += f" or one of the init containers: [{' '.join(init)}]"
        raise bad_request(message)
    if asked not in (*regular, *init, *ephemeral):
        raise bad_request(f"container {asked} is not valid for pod {name}")
    return asked


def _check_node(server: ApiServer, pod: Object) -> str:
    node_name = pod["spec"]["nodeName"]
    node = server.storage.get(kind_of_resource("nodes"), "", node_name)
    if node is None:
        raise not_found("pods", "", node_name)  # sic: the registry asks in the name of the resource at hand
    if not (node.object.get("status") or {}).get("addresses") and not server.nodes.knows(node_name):
        raise ApiError(500, "", "no preferred addresses found; known addresses: []", details=False)
    return str(node_name)


# -- logs ------------------------------------------------------------------------------------------------------


def log_options(request: Request, name: str) -> LogOptions:
    value = request.parameter
    causes: list[Cause] = []

    def number(field: str) -> int | None:
        text = value(field)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')

    def flag(field: str) -> bool:
        values = request.parameters.get(field) or ["0"]
        return is_true(values[0])

    if value("sinceTime"):
        try:
            time_of(value("sinceTime"))
        except WrongValue as error:
            raise bad_request(str(error)) from None
    tail, limit, since = number("tailLines"), number("limitBytes"), number("sinceSeconds")
    if tail is not None and tail < 0:
        causes.append(
            Cause(
                "FieldValueInvalid", f"Invalid value: {tail}: must be greater than or equal to 0", "tailLines"
            )
        )
    if limit is not None and limit < 1:
        causes.append(
            Cause("FieldValueInvalid", f"Invalid value: {limit}: must be greater than 0", "limitBytes")
        )
    if since is not None and value("sinceTime"):
        causes.append(
            Cause(
                "FieldValueForbidden",
                "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
                "[]",
            )
        )
    elif since is not None and since < 1:
        causes.append(
            Cause("FieldValueInvalid", f"Invalid value: {since}: must be greater than 0", "sinceSeconds")
        )
    which = value("stream") or "All"
    if "stream" in request.parameters:
        # PodLogsQuerySplitStreams is alpha: off
        causes.append(Cause("FieldValueForbidden", "Forbidden: may not be specified", "stream"))
    if causes:
        raise invalid("PodLogOptions", "", name, causes)
    return LogOptions(
        container=value("container"),
        follow=flag("follow"),
        previous=flag("previous"),
        timestamps=flag("timestamps"),
        since_seconds=since,
        since_time=value("sinceTime"),
        tail_lines=tail,
        limit_bytes=limit,
        stream=which,
    )


async def pod_log(server: ApiServer, request: Request) -> Response:
    assert request.info is not None
    options = log_options(request, request.info.name)
    pod = _pod(server, request)
    container = _container(pod, options.container, default_annotation=False)
    if not (pod.get("spec") or {}).get("nodeName"):
        return Response(204, [], content_type="")
    connector = server.nodes.of(_check_node(server, pod))
    chosen = LogOptions(
        container,
        options.follow,
        options.previous,
        options.timestamps,
        options.since_seconds,
        options.since_time,
        options.tail_lines,
        options.limit_bytes,
        options.stream,
    )
    chunks = _prefetched(await connector.logs(pod, chosen))
    if request.headers.get("upgrade", "").lower() == "websocket":
        from .streaming import as_messages

        return as_messages(request, chunks)
    return Response(200, [], stream=chunks, content_type="text/plain")


async def _prefetched(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        close: Any = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


# -- exec, attach, portforward ---------------------------------------------------------------------------------


async def stream(server: ApiServer, request: Request, kind: str) -> Response:
    value = request.parameters.get
    ports = [port for text in value("ports") or () for port in text.split(",")]
    for port in ports:
        if not port.isdigit():
            why = f'cannot convert to []int32: strconv.ParseUint: parsing "{port}": invalid syntax'
            raise bad_request(why)
    pod = _pod(server, request)

    def flag(field: str) -> bool:
        values = value(field) or ["0"]
        return is_true(values[0])

    container = ""
    if kind != "portforward":
        container = _container(pod, request.parameter("container"), default_annotation=True)
    if not (pod.get("spec") or {}).get("nodeName"):
        raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    node = _check_node(server, pod)
    options = StreamOptions(
        container=container,
        command=list(value("command") or ()),
        stdin=flag("stdin"),
        stdout=flag("stdout"),
        stderr=flag("stderr"),
        tty=flag("tty"),
        ports=[int(port) for port in ports],
    )
    connector = server.nodes.of(node)
    from .streaming import tunnel

    return await tunnel(request, connector, pod, kind, options)
