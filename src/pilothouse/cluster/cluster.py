"""`Cluster`: builds a whole cluster from its configuration, starts it, supervises it, stops it.

The order: store, API server (from here on it answers), network with DNS, controllers, scheduler, nodes. Every
component runs under `_supervise`: one that fails is logged and started again after a growing pause, as a static
pod's container would be; what it had in memory it builds again from the API.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import ipaddress
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from ..apiserver.audit import DEFAULT_POLICY, Policy
from ..apiserver.config import ADMIN, ISSUER, ApiConfig
from ..apiserver.encryption import Encryption
from ..apiserver.http import server_tls
from ..apiserver.jwt_issuers import anonymous_paths
from ..apiserver.jwt_issuers import of_file as issuers_of_file
from ..apiserver.request import CONTROLLER_MANAGER, SCHEDULER, User, control_plane_user
from ..apiserver.server import ApiServer
from ..apiserver.token_webhook import TokenWebhook
from ..base.clock import Clock
from ..base.random import Random, secret_bytes
from ..client.informer import Informers
from ..client.local import LocalClient
from ..network.topology import DNS_SERVICE_IP, KUBERNETES_SERVICE_IP, ClusterNetwork
from ..store.interface import Store
from .config import ClusterConfig, ConfigError
from .engines import engine_module
from .paths import ClusterPaths
from .pki import FRONT_PROXY_CA, FRONT_PROXY_CLIENT, Pki, write_private

log = logging.getLogger(__name__)

RESTART_FIRST_S, RESTART_MAX_S = 1.0, 30.0
Progress = Callable[[str], None]


class Cluster:
    """`await start()` returns when the API answers and the nodes are Ready; `await stop()` leaves containers running."""

    def __init__(
        self, config: ClusterConfig, paths: ClusterPaths, clock: Clock, random: Random, *, progress: Progress
    ):
        self.config, self.paths = config, paths
        self._clock, self._random, self._progress = clock, random, progress
        self._tasks: list[asyncio.Task[None]] = []
        self._stops: list[Callable[[], Awaitable[None]]] = []
        self._store: Store | None = None
        self.server: ApiServer | None = None
        self.network = ClusterNetwork(max(0, config.network_index), config.name, config.service_cidr)

    @property
    def has_containers(self) -> bool:
        return self.config.nodes > 0 and engine_module(self.config.engine).REAL

    async def __aenter__(self) -> Cluster:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # -- life ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        if self.config.data_dir or self.config.store == "sqlite" or self.paths.data.name:
            self.paths.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        pki = Pki(self.paths.pki, self._clock)
        await asyncio.to_thread(pki.ensure, self._names())
        token = await asyncio.to_thread(_admin_token, pki)
        self._store = await self._open_store()
        server = self.server = ApiServer(
            self._store, self._clock, self._random.fork("apiserver"), self._api_config(pki, token)
        )
        tls = server_tls(
            str(pki.path("apiserver.crt")), str(pki.path("apiserver.key")), str(pki.path("ca.crt"))
        )
        # the port is taken before the API starts, since the `kubernetes` service names it
        port = await self._listen(server, self.config.host, tls)
        server.config.advertise_port = port
        if port != self.config.port:
            self.config = replace(self.config, port=port)
            if self.paths.config.exists():
                self.config.save(self.paths.config)
        await server.start()
        self._progress(f"the API server answers on {self.config.server}")
        informers = Informers(self.client(CONTROLLER_MANAGER), self._clock, self._random.fork("informers"))
        await informers.start()
        self._stops.append(informers.stop)
        self.run("informers", informers.keep)
        if self.has_containers:
            from ..network.wiring import lay_switch

            await lay_switch(self.network)
            if self.config.host != "0.0.0.0":
                await self._listen(server, self.network.host_address, tls)
            if "dns" not in self.config.disable:
                await self._start_dns(informers)
            if "loadbalancer" not in self.config.disable:
                self._start_load_balancer_routes(informers)
        if self.config.nodes:
            from ..controllers import local_path

            await local_path.install(self.client(ADMIN))
        if "controllers" not in self.config.disable:
            self._start_controllers(informers, pki)
        if "scheduler" not in self.config.disable:
            from ..scheduler.scheduler import Scheduler

            client = self.client(SCHEDULER)
            self.run(
                "scheduler",
                lambda: Scheduler(client, informers, self._clock, self._random.fork("scheduler")).run(),
            )
        if self.config.nodes:
            from .nodes import Nodes

            nodes = Nodes(self, informers, self._clock, self._random.fork("nodes"), self._progress)
            self._stops.append(nodes.stop)
            await nodes.start()

    def client(self, user: User) -> LocalClient:
        """An in-process client with an identity of its own."""
        assert self.server is not None
        return LocalClient(self.server, user)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        while self._stops:
            await self._stops.pop()()
        if self.server is not None:
            await self.server.stop()
        if self._store is not None:
            await self._store.close()

    # -- parts -----------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        names = ["localhost", "127.0.0.1", "::1", self.config.host, KUBERNETES_SERVICE_IP]
        short = "kubernetes.default.svc"
        names += ["kubernetes", "kubernetes.default", short, f"{short}.cluster.local"]
        if self.has_containers:
            names.append(self.network.host_address)
        return [name for name in dict.fromkeys(names) if name not in ("0.0.0.0", "::")]

    async def _listen(self, server: ApiServer, host: str, tls: ssl.SSLContext) -> int:
        """The port that was free, where none was asked for."""
        try:
            _, port = await server.serve(host, self.config.port, tls)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
                raise
            if error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(
                    f"this machine has no address {host}; `--host` takes one of its own"
                ) from error
            why = "is in use by another program" if error.errno == errno.EADDRINUSE else "may not be taken"
            raise ConfigError(
                f"port {self.config.port} on {host} {why}; `--port P` chooses another, `--port 0` one that is free"
            ) from error
        return port

    async def _open_store(self) -> Store:
        if self.config.store == "memory":
            from ..store.memory import MemoryStore

            return MemoryStore()
        from ..store.sqlite import SqliteStore

        return await SqliteStore.open(self.paths.store)

    def _api_config(self, pki: Pki, token: str) -> ApiConfig:
        return ApiConfig(
            tokens={token: ADMIN},
            service_cidr=self.config.service_cidr,
            advertise_address=self.network.host_address if self.has_containers else "127.0.0.1",
            advertise_port=self.config.port,
            signing_key_pem=pki.read("service-account.key"),
            cluster_ca_pem=pki.read("ca.crt").decode(),
            encryption=Encryption.from_file(pki.path("encryption.yaml")),
            proxy_client_files=(
                str(pki.path(f"{FRONT_PROXY_CLIENT}.crt")),
                str(pki.path(f"{FRONT_PROXY_CLIENT}.key")),
            ),
            proxy_client_ca_pem=pki.read(f"{FRONT_PROXY_CA}.crt").decode(),
            issuers=issuers_of_file(self.paths.authentication, self._clock, [ISSUER])
            if self.paths.authentication.exists()
            else (),
            anonymous_paths=anonymous_paths(self.paths.authentication)
            if self.paths.authentication.exists()
            else None,
            token_webhook=TokenWebhook(self.paths.token_webhook, self._clock)
            if self.paths.token_webhook.exists()
            else None,
            audit_policy=self._audit_policy(),
            audit_log=str(self.paths.audit_log),
        )

    def _audit_policy(self) -> Policy:
        """The user's, or ours, written where the user can change it."""
        import yaml

        path = self.paths.audit_policy
        if not path.exists():
            write_private(path, yaml.safe_dump(DEFAULT_POLICY, sort_keys=False).encode())
        return Policy.from_file(path)

    def _start_controllers(self, informers: Informers, pki: Pki) -> None:
        from ..controllers.runtime import ControllerManager, Environment

        environment = Environment(
            self._random.fork("controllers"),
            root_ca=pki.read("ca.crt").decode(),
            cluster_ca=(pki.read("ca.crt").decode(), pki.read("ca.key").decode()),
            data_directory=str(self.paths.volumes),
            issue_token=self.server.tokens.issue_legacy if self.server else None,
            may_request=self.server.may_request_certificate if self.server else None,
            load_balancer_pool=self.network.load_balancer_pool if self.has_containers else None,
        )
        client = self.client(CONTROLLER_MANAGER)

        def manager() -> Awaitable[None]:
            return ControllerManager(
                client,
                self._clock,
                self._random.fork("controllers"),
                environment=environment,
                informers=informers,
                client_for=lambda account: self.client(control_plane_user(account)),
            ).run()

        self.run("controllers", manager)

    def _start_load_balancer_routes(self, informers: Informers) -> None:
        from ..network.routes import LoadBalancerRoutes

        first, last = map(ipaddress.ip_address, self.network.load_balancer_pool)

        def is_ours(address: str) -> bool:
            return int(first) <= int(ipaddress.ip_address(address)) <= int(last)

        self.run("load balancer", lambda: LoadBalancerRoutes(informers, self._clock, is_ours).run())

    async def _start_dns(self, informers: Informers) -> None:
        from ..network.dns import Zone
        from ..network.dns_server import DnsServer, upstream_of
        from . import addons

        zone = Zone(informers)
        await zone.synced()
        resolv_conf = Path("/etc/resolv.conf")
        upstream = upstream_of(resolv_conf.read_text()) if resolv_conf.exists() else []
        dns = DnsServer(zone, upstream, self._random.fork("dns"))
        try:
            port = await dns.start(self.network.host_address, 53)
        except OSError:  # somebody listens on every address of this machine
            port = await dns.start(self.network.host_address, 0)
        self._stops.append(dns.close)
        admin, where = self.client(ADMIN), (DNS_SERVICE_IP, self.network.host_address, port)
        await addons.dns_service(admin, *where)
        self.run("the DNS service", lambda: addons.keep_dns_service(admin, self._clock, *where))

    def run(self, name: str, component: Callable[[], Awaitable[None]]) -> None:
        """Runs it until `stop`, again and again where it fails."""
        self._tasks.append(asyncio.create_task(self._supervise(name, component), name=name))

    async def _supervise(self, name: str, component: Callable[[], Awaitable[None]]) -> None:
        pause_s = RESTART_FIRST_S
        while True:
            started = self._clock.monotonic()
            try:
                await component()
                log.error("%s ended", name)
            except Exception:
                log.exception("%s failed", name)
            if self._clock.monotonic() - started > 10 * RESTART_MAX_S:
                pause_s = RESTART_FIRST_S
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, RESTART_MAX_S)


def _admin_token(pki: Pki) -> str:
    """The admin's bearer token, made once."""
    path = pki.path("admin.token")
    if not path.exists():
        write_private(path, base64.urlsafe_b64encode(secret_bytes(32)).rstrip(b"="))
    return path.read_text().strip()
