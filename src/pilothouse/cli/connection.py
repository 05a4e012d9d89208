"""How a command reaches a cluster: a kubeconfig's context, found as kubectl finds it, or `--cluster NAME`.

`Connection` gives the HTTP client, the namespace, and the mapping from what people type (`po`, `deploy`, `pods`,
`deployments.apps`) to kinds: the built-in table first, the server's discovery for what is not in it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ..api.errors import ApiError
from ..api.kinds import KINDS, Kind
from ..client.http import HttpClient
from ..client.transport import Transport

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """What the global options say."""

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    namespace: str = ""
    server: str = ""
    token: str = ""


def connection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds -n, --context, --kubeconfig, --cluster to a command; it gets one argument `target`."""
    import functools

    @click.option("-n", "--namespace", default="", help="The namespace.")
    @click.option("--context", default="", help="The kubeconfig's context.")
    @click.option("--kubeconfig", default="", metavar="FILE", help="The kubeconfig.")
    @click.option("--cluster", default="", metavar="NAME", help="A cluster of this machine, by its name.")
    @functools.wraps(function)
    def wrapper(
        *args: Any, namespace: str, context: str, kubeconfig: str, cluster: str, **kwargs: Any
    ) -> Any:
        target = Target(kubeconfig, context, cluster, namespace)
        return function(*args, target=target, **kwargs)

    return wrapper


class Connection:
    """An open client for one context. `async with Connection.of(target) as connection`."""

    def __init__(self, client: HttpClient, namespace: str):
        self.client, self.namespace = client, namespace
        self._discovered: list[Kind] | None = None

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.transport.close()

    @classmethod
    def of(cls, target: Target) -> Connection:
        """Raises click.ClickException when there is no such context."""
        config = _load(target)
        name = target.context or config.get("current-context") or ""
        if target.cluster and not target.context:
            name = f"pilothouse-{target.cluster}"
        context = _named(config, "contexts", "context", name)
        if context is None:
            if not name:
                raise click.ClickException(
                    "no cluster is chosen: `pilothouse up` starts one, --context names one"
                )
            raise click.ClickException(f'context "{name}" does not exist')
        cluster = _named(config, "clusters", "cluster", context.get("cluster", "")) or {}
        user = _named(config, "users", "user", context.get("user", "")) or {}
        headers = {"user-agent": "pilothouse-cli"}
        if token := user.get("token"):
            headers["authorization"] = f"Bearer {token}"
        server = cluster.get("server") or "http://localhost:8080"
        transport = Transport(server, _tls(cluster, user) if server.startswith("https") else None, headers)
        return cls(HttpClient(transport), target.namespace or context.get("namespace") or "default")

    async def kind(self, text: str) -> Kind:
        """The kind of `po`, `pods`, `Pod`, `deployments.apps`, `deployments.v1.apps`. Raises ApiError (404)."""
        for kinds in (KINDS, await self._discover() if not _find(KINDS, text) else []):
            if found := _find(kinds, text):
                return found
        message = f'the server doesn\'t have a resource type "{text}"'
        raise click.ClickException(message)

    async def kind_of_object(self, api_version: str, kind: str) -> Kind:
        group, _, version = api_version.rpartition("/")
        for kinds in (KINDS, await self._discover() if not _has(KINDS, group, version, kind) else []):
            for candidate in kinds:
                if (candidate.group, candidate.version, candidate.kind) == (group, version, kind):
                    return candidate
        raise click.ClickException(
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


def run(main: Callable[[Connection], Awaitable[T]], target: Target) -> T:
    """Runs a command's coroutine with an open connection."""

    async def body() -> T:
        async with Connection.of(target) as connection:
            return await main(connection)

    return asyncio.run(body())


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


def _find(kinds: Any, text: str) -> Kind | None:
    name, _, rest = text.lower().partition(".")
    version, _, group = rest.partition(".")
    for matches_group in (
        lambda k: not rest or k.group == rest,
        lambda k: k.version == version and k.group == group,
        lambda k: rest and k.group.startswith(rest),
    ):
        for kind in kinds:
            if name in (kind.plural, kind.singular, kind.kind.lower(), *kind.short_names) and matches_group(
                kind
            ):
                return kind  # type: ignore[no-any-return]
    return None


def _load(target: Target) -> dict[str, Any]:
    from ..cluster import kubeconfig, manage
    from ..cluster.config import ClusterConfig

    if target.cluster:
        paths = manage.find(target.cluster)
        return manage.kubeconfig_of(paths, ClusterConfig.load(paths.config))
    if target.kubeconfig:
        if not Path(target.kubeconfig).exists():
            raise click.ClickException(f"stat {target.kubeconfig}: no such file or directory")
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


def _named(config: dict[str, Any], section: str, key: str, name: str) -> dict[str, Any] | None:
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


def _data(entry: dict[str, Any], key: str) -> bytes:
    if encoded := entry.get(f"{key}-data"):
        return base64.b64decode(encoded)
    return Path(entry[key]).read_bytes() if entry.get(key) else b""
