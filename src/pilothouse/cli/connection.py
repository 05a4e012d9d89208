"""How a command reaches a cluster: a kubeconfig's context, found as kubectl finds it, or `--cluster NAME`.

`Connection` gives the HTTP client, the namespace, and the mapping from what people type (`po`, `deploy`, `pods`,
`deployments.apps`) to kinds: the built-in table first, the server's discovery for what is not in it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..api.errors import ApiError
from ..api.kinds import KINDS, Kind
from ..client.http import HttpClient
from ..client.transport import Transport
from .errors import Failure
from .timing import duration


@dataclass(frozen=True, slots=True)
class Target:
    """What the global options say."""

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    namespace: str = ""
    server: str = ""
    token: str = ""
    user: str = ""
    impersonate: tuple[tuple[str, str], ...] = ()
    request_timeout_s: float = 0
    overrides: tuple[tuple[str, Any], ...] = ()
    """Of the kubeconfig's cluster and user entries: certificate files, insecure-skip-tls-verify."""

    @classmethod
    def of(cls, options: Any) -> Target:
        headers = [("impersonate-user", getattr(options, "as"))]
        headers += [("impersonate-group", group) for group in options.as_group]
        headers.append(("impersonate-uid", options.as_uid))
        names = ("certificate_authority", "client_certificate", "client_key", "insecure_skip_tls_verify")
        return cls(
            kubeconfig=options.kubeconfig,
            context=options.context,
            cluster=options.cluster,
            namespace=options.namespace,
            server=options.server,
            token=options.token,
            request_timeout_s=_request_timeout(options.request_timeout),
            user=options.user if isinstance(options.user, str) else "",  # some verbs have another --user
            impersonate=tuple((name, value) for name, value in headers if value),
            overrides=tuple(
                (name.replace("_", "-"), value) for name in names if (value := getattr(options, name))
            ),
        )


def _request_timeout(text: str) -> float:
    """Seconds. Raises Failure."""
    try:
        return float(text or 0) if not text or text.isdigit() else duration(text)
    except Failure:
        raise Failure(
            "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a "
            "corresponding time unit (e.g. 1s | 2m | 3h)"
        )


class Connection:
    """An open client for one context. `async with Connection(target) as connection`; it connects when first used."""

    def __init__(self, target: Target):
        self.target = target
        self._config: dict[str, Any] | None = None
        self._client: HttpClient | None = None
        self._discovered: list[Kind] | None = None
        self._said: set[str] = set()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._client is not None:
            await self._client.transport.close()

    @property
    def config(self) -> dict[str, Any]:
        """The merged kubeconfig."""
        if self._config is None:
            self._config = load(self.target)
        return self._config

    @property
    def context_name(self) -> str:
        if self.target.cluster and not self.target.context:
            return f"pilothouse-{self.target.cluster}"
        return self.target.context or self.config.get("current-context") or ""

    @property
    def context(self) -> dict[str, Any]:
        """The context in use. Raises Failure when the one that was asked for is not there."""
        name = self.context_name
        context = named(self.config, "contexts", "context", name)
        if context is None:
            if self.target.server:
                return {}
            if not name:
                raise Failure("no cluster is chosen: `pilothouse up` starts one, --context names one")
            why = f"context was not found for specified context: {name}"
            raise Failure(f"Error in configuration: {why}", plain=True)
        return context

    @property
    def namespace(self) -> str:
        return self.target.namespace or self.context.get("namespace") or "default"

    @property
    def client(self) -> HttpClient:
        if self._client is None:
            context, target = self.context, self.target
            cluster = dict(named(self.config, "clusters", "cluster", context.get("cluster", "")) or {})
            user = dict(named(self.config, "users", "user", target.user or context.get("user", "")) or {})
            if target.user and not user:
                raise Failure(f'auth info "{target.user}" does not exist')
            for key, value in target.overrides:
                entry = user if key.startswith("client-") else cluster
                entry.pop(f"{key}-data", None)
                entry[key] = value
            headers = {"user-agent": "pilothouse-cli"}
            if token := target.token or user.get("token") or _token_file(user):
                headers["authorization"] = f"Bearer {token}"
            elif user.get("username"):
                pair = f"{user['username']}:{user.get('password', '')}".encode()
                headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
            if target.impersonate and "impersonate-user" not in dict(target.impersonate):
                raise Failure(
                    f"requesting uid, groups or user-extra for {target.user or context.get('user', '')} without "
                    "impersonating a user"
                )
            for name, value in target.impersonate:  # several groups are several lines
                headers[name] = f"{headers[name]}\n{value}" if name in headers else value
            server = target.server or cluster.get("server") or "http://localhost:8080"
            tls = _tls(cluster, user) if server.startswith("https") else None
            name = "" if target.server else self.context_name
            try:
                transport = _Transport(server, tls, headers, name)
            except ValueError:
                raise Failure(f'host must be a URL or a host:port pair: "{server}"') from None
            self._client = HttpClient(transport)
        return self._client

    async def kind(self, text: str) -> Kind:
        """The kind of `po`, `pods`, `Pod`, `deployments.apps`, `deployments.v1.apps`. Raises Failure."""
        for kinds in (KINDS, await self._discover() if not find_kind(KINDS, text) else []):
            if found := find_kind(kinds, text):
                others = {kind.resource: None for kind in kinds if text in kind.short_names}
                for other in others if text in found.short_names and text not in self._said else ():
                    if other != found.resource:
                        why = f'short name "{text}" could also match lower priority resource {other}'
                        click.echo(f"Warning: {why}", err=True)
                self._said.add(text)
                return found
        raise Failure(f'the server doesn\'t have a resource type "{text.partition(".")[0]}"')

    async def kind_of_object(self, api_version: str, kind: str) -> Kind:
        group, _, version = api_version.rpartition("/")
        for kinds in (KINDS, await self._discover() if not _has(KINDS, group, version, kind) else []):
            for candidate in kinds:
                if (candidate.group, candidate.version, candidate.kind) == (group, version, kind):
                    return candidate
        raise NoMatch(
            f'no matches for kind "{kind}" in version "{api_version}"\nensure CRDs are installed first'
        )

    async def all_kinds(self) -> list[Kind]:
        return [*KINDS, *(await self._discover())]

    async def _discover(self) -> list[Kind]:
        """The kinds that are not built in, from the server's discovery documents."""
        if self._discovered is None:
            self._discovered = []
            builtin = {(kind.group, kind.version) for kind in KINDS}
            for group in (await self.client.call("GET", "/apis")).get("groups") or ():
                for version in group["versions"]:
                    if (group["name"], version["version"]) in builtin:
                        continue
                    with contextlib.suppress(ApiError):
                        path = f"/apis/{version['groupVersion']}"
                        found = await self.client.call("GET", path)
                        self._discovered += _kinds(group["name"], version["version"], found)
        return self._discovered


class NoMatch(Failure):
    """The server does not serve such a kind."""


class _Transport(Transport):
    """Says the server's warnings, each once."""

    def __init__(self, server: str, tls: Any, headers: dict[str, str], context: str):
        super().__init__(server, tls, headers)
        self._context = context
        self._said: set[str] = set()

    async def _connect(self) -> Any:
        where = f"{self.host}:{self.port}"
        try:
            return await super()._connect()
        except ConnectionRefusedError:
            hint = "did you specify the right host or port?" + _stopped(self._context)
            raise Failure(f"The connection to the server {where} was refused - {hint}", plain=True)
        except socket.gaierror:
            why = f"dial tcp: lookup {self.host}: no such host"
        except ssl.SSLError as error:
            why = f"tls: {getattr(error, 'verify_message', '') or error.reason or error}"
        except TimeoutError:
            why = f"dial tcp {where}: i/o timeout"
        raise Failure(f"Unable to connect to the server: {why}", plain=True)

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, *, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> AsyncIterator[tuple[int, dict[str, str], AsyncIterator[bytes]]]:
        async with super().stream(method, target, headers=headers, body=body) as answer:
            for value in answer[1].get("warning", "").split("\n"):
                match = re.match(r'\d{3} \S+ "(.*)"', value)
                if match and (said := re.sub(r"\\(.)", r"\1", match[1])) not in self._said:
                    self._said.add(said)
                    click.echo(f"Warning: {said}", err=True)
            yield answer


def _stopped(context: str) -> str:
    """What to do where the context is one of ours, and its cluster is stopped."""
    from ..cluster import manage

    name = context.removeprefix("pilothouse-")
    with contextlib.suppress(manage.ClusterError, OSError):
        if name != context and not manage.daemon_pid(manage.find(name)):
            return f"\ncluster {name!r} is stopped: `pilothouse up {name}` starts it"
    return ""


def _kinds(group: str, version: str, document: dict[str, Any]) -> list[Kind]:
    return [
        Kind(
            group=group,
            version=version,
            kind=entry["kind"],
            plural=entry["name"],
            singular=entry.get("singularName") or entry["kind"].lower(),
            short_names=tuple(entry.get("shortNames") or ()),
            categories=tuple(entry.get("categories") or ()),
            namespaced=entry["namespaced"],
            verbs=tuple(entry["verbs"]),
            custom=True,
        )
        for entry in document.get("resources") or ()
        if "/" not in entry["name"]
    ]


def _has(kinds: Any, group: str, version: str, kind: str) -> bool:
    return any((k.group, k.version, k.kind) == (group, version, kind) for k in kinds)


def find_kind(kinds: Iterable[Kind], text: str) -> Kind | None:
    name, _, rest = text.lower().partition(".")
    version, _, group = rest.partition(".")
    for matches_group in (
        lambda k: not rest or k.group == rest,
        lambda k: "." in rest and k.version == version and k.group == group,
        lambda k: rest and k.group.startswith(rest),
    ):
        for kind in kinds:
            if name in (kind.plural, kind.singular, kind.kind.lower(), *kind.short_names) and matches_group(
                kind
            ):
                return kind
    return None


def load(target: Target) -> dict[str, Any]:
    from ..cluster import kubeconfig, manage
    from ..cluster.config import ClusterConfig

    if target.cluster:
        paths = manage.find(target.cluster)
        return manage.kubeconfig_of(paths, ClusterConfig.load(paths.config))
    if target.kubeconfig:
        if not Path(target.kubeconfig).exists():
            raise Failure(f"stat {target.kubeconfig}: no such file or directory")
        return kubeconfig.read(Path(target.kubeconfig))
    merged: dict[str, Any] = {}
    files = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    for file in files or [os.path.expanduser("~/.kube/config")]:
        config = kubeconfig.read(Path(file))
        for section in ("clusters", "users", "contexts"):
            known = {entry["name"] for entry in merged.get(section) or ()}
            merged.setdefault(section, []).extend(
                e for e in config.get(section) or () if e["name"] not in known
            )
        if config.get("current-context"):
            merged.setdefault("current-context", config["current-context"])
    return merged


def named(config: dict[str, Any], section: str, key: str, name: str) -> dict[str, Any] | None:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            return entry.get(key) or {}
    return None


def _tls(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif ca := _data(cluster, "certificate-authority"):
        context = ssl.create_default_context(cadata=ca.decode())
    certificate, key = _data(user, "client-certificate"), _data(user, "client-key")
    if certificate and key:
        # ssl wants files; these live only as long as it takes to read them
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _token_file(user: dict[str, Any]) -> str:
    return Path(user["tokenFile"]).read_text().strip() if user.get("tokenFile") else ""


def _data(entry: dict[str, Any], key: str) -> bytes:
    if encoded := entry.get(f"{key}-data"):
        return base64.b64decode(encoded)
    return Path(entry[key]).read_bytes() if entry.get(key) else b""
