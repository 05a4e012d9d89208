"""What probes and lifecycle hooks do: run a command, ask over HTTP, connect, ask over gRPC. Results are in kubelet's words."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass

from ..api.object import Object
from ..runtime.interface import EngineError
from .context import Dial, NodeContext
from .environment import expand
from .images import duration, rpc_error

BODY_MAX = 10 * 1024
HOOK_TIMEOUT_S = 60.0
OUTPUT_MAX = 10 * 1024
NOT_HTTPS = "http: server gave HTTP response to HTTPS client"
PROBE_AGENT, HOOK_AGENT = "kube-probe/1.36", "kube-lifecycle/1.36"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`ok` None: it could not be found out."""

    ok: bool | None
    output: str = ""
    warning: bool = False


def port_of(container: Object, port: int | str) -> int:
    """A number, or a container port's name. Raises ValueError."""
    named = (p["containerPort"] for p in container.get("ports") or () if p.get("name") == port)
    found = next(named, port)
    if not isinstance(found, int) and not found.isdigit():
        raise ValueError(f'strconv.Atoi: parsing "{port}": invalid syntax')
    if not 0 < int(found) < 65536:
        raise ValueError(f"invalid port number: {found}")
    return int(found)


async def run_exec(node: NodeContext, container_id: str, command: list[str], timeout_s: float) -> Outcome:
    try:
        result = await node.engine.exec_sync(container_id, command, timeout_s)
    except EngineError as error:
        if error.code == "DEADLINE_EXCEEDED":
            shown = json.dumps(" ".join(command), ensure_ascii=False)
            return Outcome(False, f"command timed out: {shown} timed out after {duration(timeout_s)}")
        return Outcome(None, rpc_error(error))
    output = (result.stdout + result.stderr)[:OUTPUT_MAX].decode("utf-8", "replace")
    return Outcome(result.exit_code == 0, output)


async def http_get(
    dial: Dial,
    action: Object,
    host: str,
    port: int,
    timeout_s: float,
    *,
    agent: str = PROBE_AGENT,
    follow: int = 10,
) -> Outcome:
    """2xx and 3xx are good. A redirect to the same host is followed, one to another is a warning."""
    scheme = (action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    if not path.startswith("/"):
        path = "/" + path
    shown = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{shown}:{port}{path}"
    headers = _headers(action, f"{shown}:{port}", agent)
    try:
        async with asyncio.timeout(timeout_s):
            status, location, body = await _request(dial, scheme == "https", host, port, path, headers)
    except TimeoutError:
        return Outcome(
            False,
            f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
        )
    except (OSError, ValueError, EOFError) as error:
        return Outcome(False, f'Get "{url}": {dial_error(error, host, port)}')
    if 300 <= status < 400 and location and follow:
        target = location if location.startswith("/") else ""
        if not target and location.lower().startswith(f"{scheme}://{shown}:{port}/".lower()):
            target = location[len(f"{scheme}://{shown}:{port}") :]
        if not target:
            return Outcome(True, f"Probe terminated redirects, Response body: {body}", warning=True)
        return await http_get(
            dial, {**action, "path": target}, host, port, timeout_s, agent=agent, follow=follow - 1
        )
    if 200 <= status < 400:
        return Outcome(True, body)
    return Outcome(False, f"HTTP probe failed with statuscode: {status}")


def _headers(action: Object, host: str, agent: str) -> list[tuple[str, str]]:
    """In the order and with the capitals that Go's client writes them."""
    own: dict[str, list[str]] = {}
    for header in action.get("httpHeaders") or ():
        name = "-".join(part.capitalize() for part in header["name"].split("-"))
        own.setdefault(name, []).append(header.get("value") or "")
    own.setdefault("User-Agent", [agent])
    own.setdefault("Accept", ["*/*"])
    first = [("Host", own.pop("Host", [""])[0] or host), ("User-Agent", own.pop("User-Agent")[0])]
    if not own["Accept"][0]:
        del own["Accept"]
    rest = [(name, value) for name in sorted(own) for value in own[name]]
    return [*((name, value) for name, value in first if value), *rest, ("Connection", "close")]


async def _request(
    dial: Dial, tls: bool, host: str, port: int, path: str, headers: list[tuple[str, str]]
) -> tuple[int, str, str]:
    """(status, Location, the body's beginning)."""
    reader, writer = await dial(host, port)
    try:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without authorities: loading them takes long
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            await writer.start_tls(context)
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        writer.write("\r\n".join(lines).encode())
        status_line = (await reader.readline()).decode("latin-1").split(" ", 2)
        if len(status_line) < 2 or not status_line[0].startswith("HTTP/"):
            if status_line == [""]:
                raise EOFError("EOF")
            raise ValueError(
                f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{" ".join(status_line).strip()}"'
            )
        location = ""
        while (line := (await reader.readline()).decode("latin-1")) not in ("\r\n", "\n", ""):
            name, _, value = line.partition(":")
            if name.lower() == "location":
                location = value.strip()
        body = (await reader.read(BODY_MAX)).decode("utf-8", "replace")
        return int(status_line[1]), location, body
    finally:
        writer.close()


def dial_error(error: BaseException, host: str, port: int) -> str:
    """As Go's net package says it."""
    where = f"dial tcp [{host}]:{port}" if ":" in host else f"dial tcp {host}:{port}"
    if isinstance(error, ConnectionRefusedError):
        return f"{where}: connect: connection refused"
    if isinstance(error, (ssl.SSLEOFError, ConnectionAbortedError)):
        return "EOF"
    if isinstance(error, ssl.SSLError):
        return NOT_HTTPS
    if isinstance(error, ConnectionResetError):
        return "read: connection reset by peer"
    if isinstance(error, OSError) and error.errno == 113:
        return f"{where}: connect: no route to host"
    return f"{where}: {error}" if isinstance(error, OSError) else str(error)


async def tcp_connect(dial: Dial, host: str, port: int, timeout_s: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await dial(host, port)
    except TimeoutError:
        return Outcome(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Outcome(False, dial_error(error, host, port))
    writer.close()
    return Outcome(True)


_GRPC_STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def grpc_check(host: str, port: int, service: str, timeout_s: float) -> Outcome:
    """grpc.health.v1.Health/Check: one string in, one enumeration out, so no generated code is needed."""
    import grpc

    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    name, within = service.encode(), duration(timeout_s)
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    options = [("grpc.enable_http_proxy", 0), ("grpc.primary_user_agent", PROBE_AGENT)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        ends_at = asyncio.get_running_loop().time() + timeout_s
        try:  # a connection that is refused is tried again until the time is over
            async with asyncio.timeout_at(ends_at):
                await channel.channel_ready()
        except TimeoutError:
            why = f'timeout: failed to connect service "{address}" within {within}: context deadline exceeded'
            return Outcome(False, why)
        try:
            answer = await check(request, timeout=max(ends_at - asyncio.get_running_loop().time(), 0.001))
        except grpc.aio.AioRpcError as error:
            code, details = error.code().name, error.details() or ""
            if code == "UNIMPLEMENTED":
                why = (
                    "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
                )
                return Outcome(False, why + details)
            if code == "DEADLINE_EXCEEDED":
                return Outcome(False, f"timeout: health rpc did not complete within {within}")
            why = rpc_error(EngineError(code, details))
            return Outcome(False, f"error: health rpc probe failed: {why}")
    state = answer[1] if len(answer) >= 2 and answer[0] == 8 else 0
    if state == 1:
        return Outcome(True, "service healthy")
    return Outcome(False, f'service unhealthy (responded with "{_GRPC_STATES.get(state, state)}")')


async def run_probe(
    node: NodeContext, probe: Object, container: Object, container_id: str, address: str, timeout_s: float
) -> Outcome:
    """A simulated engine answers what goes over the network."""
    if command := (probe.get("exec") or {}).get("command"):
        values = {entry["name"]: entry.get("value") or "" for entry in container.get("env") or ()}
        command = [expand(word, values) for word in command]
        return await run_exec(node, container_id, command, timeout_s)
    if getattr(node.engine, "simulated", False):
        ok = node.engine.probe(container_id)  # type: ignore[attr-defined]
        return Outcome(ok, "" if ok else "the simulated container does not answer")
    kind = next((kind for kind in ("httpGet", "tcpSocket", "grpc") if kind in probe), "")
    if not kind:
        return Outcome(None, f"missing probe handler for {container['name']}")
    target = probe[kind]
    try:
        port = port_of(container, target["port"])
    except ValueError as error:
        return Outcome(None, str(error))
    host = target.get("host") or address
    if kind == "httpGet":
        return await http_get(node.dial, target, host, port, timeout_s)
    if kind == "tcpSocket":
        return await tcp_connect(node.dial, host, port, timeout_s)
    return await grpc_check(address, port, target.get("service") or "", timeout_s)


async def run_hook(
    node: NodeContext, hook: Object, pod: Object, container: Object, container_id: str, address: str
) -> bool:
    """postStart or preStop; whether it went well. Of an HTTP answer the status does not matter, as long as there is one."""
    if command := (hook.get("exec") or {}).get("command"):
        return bool((await run_exec(node, container_id, command, 0.0)).ok)
    if "sleep" in hook:
        await node.clock.sleep(hook["sleep"].get("seconds") or 0)
        return True
    if "httpGet" not in hook:
        return False  # tcpSocket has never been carried out
    if getattr(node.engine, "simulated", False):
        return True
    target = hook["httpGet"]
    try:
        port = port_of(container, target.get("port") or 80)
    except ValueError:
        return False
    host = target.get("host") or address
    outcome = await http_get(node.dial, target, host, port, HOOK_TIMEOUT_S, agent=HOOK_AGENT)
    if outcome.output.endswith(NOT_HTTPS):
        plain = {**target, "scheme": "HTTP"}
        outcome = await http_get(node.dial, plain, host, port, HOOK_TIMEOUT_S, agent=HOOK_AGENT)
        if _answered(outcome):
            message = (
                f"request to HTTPS lifecycle hook {host}:{port} got HTTP response, retry with HTTP succeeded"
            )
            node.event(pod, "Warning", "LifecycleHTTPFallback", message)
    return _answered(outcome)


def _answered(outcome: Outcome) -> bool:
    return bool(outcome.ok) or outcome.output.startswith("HTTP probe failed with statuscode")
