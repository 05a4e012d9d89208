"""API priority and fairness: whose requests wait when there are too many, by FlowSchemas and PriorityLevelConfigurations.

A request belongs to the first flow schema that matches it (remembered by who asks for what), and through it to a priority level. What the cache answers at once
takes no seat; whatever has to wait for something (a write for its commit, a proxied request for its backend) takes one of its level's seats, or waits in one of the
level's queues, or is refused with 429. Queues are dealt to flows by shuffle sharding and served in turn, so that one flow in full spate does not starve the
others. Watches and tunnels take no seat.
Levels lend each other seats (`seat_lending.py`). Beside upstream: every request is one seat wide. (KEP-1040)
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

from ..api.errors import ApiError
from ..api.kinds import kind_of_resource
from ..api.object import Object, name_of, uid_of
from ..base.clock import Clock
from .backend import plain_error
from .request import APISERVER, Request, Response, User
from .routes import RequestInfo
from .seat_lending import PERIOD_S, Demand, Limits, Wish, current_limits, limits_of

if TYPE_CHECKING:
    from .server import ApiServer

SCHEMAS = kind_of_resource("flowschemas.flowcontrol.apiserver.k8s.io")
LEVELS = kind_of_resource("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io")
CONSUMER = "api-priority-and-fairness-config-consumer-v1"  # who writes their status, in the managed fields
REMEMBERED_MAX = 8_192
RETRY_AFTER_S = "1"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


class FlowSchema:
    """A FlowSchema, ready to be asked."""

    def __init__(self, obj: Object, level: Level):
        spec = obj.get("spec") or {}
        self.name, self.uid, self.level = name_of(obj), uid_of(obj), level
        self.names = self.name, level.name
        self.by = (spec.get("distinguisherMethod") or {}).get("type") or ""
        self._rules = spec.get("rules") or []
        self.headers = [
            ("X-Kubernetes-PF-FlowSchema-UID", self.uid),
            ("X-Kubernetes-PF-PriorityLevel-UID", level.uid),
        ]

    def matches(self, user: User, info: RequestInfo) -> bool:
        return any(
            any(_is(subject, user) for subject in rule.get("subjects") or ()) and _asks(rule, info)
            for rule in self._rules
        )

    def flow(self, user: User, info: RequestInfo) -> str:
        own = {"ByUser": user.name, "ByNamespace": info.namespace}.get(self.by, "")
        return f"{self.name}/{own}"


def _is(subject: Object, user: User) -> bool:
    match subject.get("kind"):
        case "User":
            return str(subject["user"]["name"]) in ("*", user.name)
        case "Group":
            return str(subject["group"]["name"]) in ("*", *user.groups)
        case "ServiceAccount":
            account = subject["serviceAccount"]
            prefix = f"{SERVICE_ACCOUNT_PREFIX}{account['namespace']}:"
            if account["name"] == "*":
                return user.name.startswith(prefix)
            return user.name == f"{prefix}{account['name']}"
    return False


def _asks(rule: Object, info: RequestInfo) -> bool:
    def has(values: list[str], value: str) -> bool:
        return "*" in values or value in values

    if not info.is_resource:
        return any(
            has(each.get("verbs") or [], info.verb)
            and any(
                url in ("*", info.path) or (url.endswith("/*") and info.path.startswith(url[:-1]))
                for url in each.get("nonResourceURLs") or ()
            )
            for each in rule.get("nonResourceRules") or ()
        )
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return any(
        has(each.get("verbs") or [], info.verb)
        and has(each.get("apiGroups") or [], info.group)
        and has(each.get("resources") or [], resource)
        and (
            has(each.get("namespaces") or [], info.namespace) if info.namespace else each.get("clusterScope")
        )
        for each in rule.get("resourceRules") or ()
    )


class Level:
    """A priority level: its seats, and its queues."""

    limits: Limits
    demand: Demand
    seats: int
    executing: int
    waiting: int

    def __init__(self, name: str, uid: str, clock: Clock):
        self.name, self.uid, self._clock = name, uid, clock
        self.exempt, self.limits, self.demand = True, Limits(), Demand(clock.monotonic())
        self.seats = self.executing = self.waiting = 0
        self.hand_size, self.queue_length_max = 0, 0
        self.queues: list[deque[asyncio.Future[None]]] = []
        self._turn = 0

    def configure(self, spec: Object, limits: Limits) -> None:
        """A changed configuration: what waits goes on waiting, in the queues there are now."""
        self.exempt, self.limits = spec.get("type") != "Limited", limits
        response = (spec.get("limited") or {}).get("limitResponse") or {}
        queuing = response.get("queuing") or {} if response.get("type") == "Queue" else {}
        self.hand_size = queuing.get("handSize") or 0
        self.queue_length_max = queuing.get("queueLengthLimit") or 0
        if len(self.queues) != (queuing.get("queues") or 0):
            waiting = [future for queue in self.queues for future in queue]
            self.queues = [deque() for _ in range(queuing.get("queues") or 0)]
            for index, future in enumerate(waiting):
                if self.queues:
                    self.queues[index % len(self.queues)].append(future)
                else:
                    self.waiting -= 1
                    self._admit(future)
        self._serve()

    def lend(self, seats: int) -> None:
        """So many are its own for now."""
        self.seats = seats
        self._serve()

    def _admit(self, future: asyncio.Future[None]) -> None:
        if not future.done():
            self.executing += 1
            future.set_result(None)

    def take(self, now: float) -> bool:
        """A seat, if one is free (`leave` gives it back)."""
        if not self.exempt and (self.executing >= self.seats or self.waiting):
            return False
        self.executing += 1
        self.demand.add(1, now)
        return True

    def enter(self, flow: str) -> asyncio.Future[None] | None:
        """None: come in (and `leave` later). A future: wait for it. Raises `Full`."""
        if self.take(self._clock.monotonic()):
            return None
        if not self.queues:
            raise Full("concurrency-limit")
        queue = min((self.queues[i] for i in hand(flow, len(self.queues), self.hand_size)), key=len)
        if len(queue) >= self.queue_length_max:
            raise Full("queue-full")
        future = asyncio.get_running_loop().create_future()
        queue.append(future)
        self.waiting += 1
        self.demand.add(1, self._clock.monotonic())
        return future

    def leave(self, now: float) -> None:
        self.executing -= 1
        self.demand.add(-1, now)
        if self.waiting:
            self._serve()

    def give_up(self, future: asyncio.Future[None]) -> None:
        """Whoever waited does so no more; perhaps just when it got its seat."""
        if future.done() and not future.cancelled():
            self.leave(self._clock.monotonic())
            return
        for queue in self.queues:
            if future in queue:
                queue.remove(future)
                self.waiting -= 1
                self.demand.add(-1, self._clock.monotonic())
                return

    def _serve(self) -> None:
        """Seats that are free go to the queues in turn."""
        while self.waiting and (self.exempt or self.executing < self.seats):
            for _ in range(len(self.queues)):
                self._turn = (self._turn + 1) % len(self.queues)
                queue = self.queues[self._turn]
                if queue:
                    future = queue.popleft()
                    self.waiting -= 1
                    self._admit(future)
                    break
            else:
                return


class Full(Exception):
    """No seat and no place to wait."""


def hand(flow: str, queues: int, size: int) -> Iterator[int]:
    """Shuffle sharding: the `size` different queues that a flow is dealt."""
    value = int.from_bytes(hashlib.sha256(flow.encode()).digest()[:16])
    left = list(range(queues))
    for _ in range(min(size, queues)):
        value, index = divmod(value, len(left))
        yield left.pop(index)


class FlowControl:
    def __init__(self, server: ApiServer):
        self._server = server
        self.levels: dict[str, Level] = {}
        self._schemas: list[FlowSchema] = []
        self._remembered: OrderedDict[tuple[object, ...], FlowSchema | None] = OrderedDict()
        self.rejected: Counter[tuple[str, str, str]] = Counter()  # (flow schema, priority level, reason)
        self.dispatched: Counter[tuple[str, str]] = Counter()  # (flow schema, priority level)
        self.targets: dict[str, float] = {}
        self.fair_fraction = 0.0
        self._wake = asyncio.Event()

    def start(self) -> None:
        self._refresh()
        for kind in (SCHEMAS, LEVELS):
            self._server.cache.collection(kind.prefix).subscribe(self._refresh)

    def _refresh(self) -> None:
        objects = {name_of(e.object): e.object for e in self._server.cache.entries(LEVELS.prefix)}
        specs = {name: obj.get("spec") or {} for name, obj in objects.items()}
        limits = limits_of(specs, self._server.config.requests_max)
        for name in self.levels.keys() - specs.keys():
            self.levels.pop(name).configure({}, Limits())
        for name, obj in objects.items():
            level = self.levels.get(name)
            if level is None or level.uid != uid_of(obj):
                level = self.levels[name] = Level(name, uid_of(obj), self._server.clock)
                level.seats = limits[name].initial
            level.configure(specs[name], limits[name])
        self._lend()
        schemas = [e.object for e in self._server.cache.entries(SCHEMAS.prefix)]
        schemas.sort(key=lambda s: ((s.get("spec") or {}).get("matchingPrecedence") or 0, name_of(s)))
        self._schemas = [
            FlowSchema(schema, level)
            for schema in schemas
            if (level := self.levels.get(_level_name(schema))) is not None
        ]
        self._remembered.clear()
        self._wake.set()

    def _lend(self) -> None:
        """A period is over, or the limits have changed."""
        now, wishes = self._server.clock.monotonic(), {}
        for name, level in self.levels.items():
            demand = level.demand
            demand.end_period(now)
            wishes[name] = Wish(
                level.limits, demand.high_watermark, demand.smoothed, level.seats, level.exempt
            )
        self.targets = {name: wish.target for name, wish in wishes.items()}
        current, self.fair_fraction = current_limits(wishes)
        for name, seats in current.items():
            self.levels[name].lend(seats)

    def schema_of(self, user: User, info: RequestInfo) -> FlowSchema | None:
        """None only while the mandatory ones are absent."""
        key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace)
        if not info.resource:
            key = (user.name, user.groups, info.verb, info.path)  # type: ignore[assignment]
        try:
            return self._remembered[key]
        except KeyError:
            pass
        found = next((schema for schema in self._schemas if schema.matches(user, info)), None)
        self._remembered[key] = found
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return found

    async def seat(self, schema: FlowSchema, request: Request) -> Level:
        """Returns with a seat; `leave()` gives it back. Raises TooMany."""
        assert request.info is not None
        level = schema.level
        try:
            future = level.enter(schema.flow(request.user, request.info))
        except Full as full:
            raise self._refused(schema, str(full)) from None
        if future is not None:
            try:
                async with asyncio.timeout(self._server.config.request_timeout_s / 4):
                    await future
            except TimeoutError:
                level.give_up(future)
                raise self._refused(schema, "time-out") from None
            except asyncio.CancelledError:
                level.give_up(future)
                raise
        return level

    def _refused(self, schema: FlowSchema, reason: str) -> TooMany:
        self.rejected[schema.name, schema.level.name, reason] += 1
        return TooMany()

    async def run(self) -> None:
        """For ever; cancelled at the server's end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_statuses(), name="statuses of flow schemas")
            group.create_task(self._keep_lending(), name="lending of seats")

    async def _keep_lending(self) -> None:
        while True:
            await self._server.clock.sleep(PERIOD_S)
            self._lend()

    # -- the controller: whether the level of each schema is there

    async def _keep_statuses(self) -> None:
        while True:
            self._wake.clear()
            await self.settle()
            await self._wake.wait()

    async def settle(self) -> None:
        await asyncio.gather(*(self._tell(e.object) for e in self._server.cache.entries(SCHEMAS.prefix)))

    async def _tell(self, schema: Object) -> None:
        level = _level_name(schema)
        there = level in self.levels
        condition = {
            "type": "Dangling",
            "status": "False" if there else "True",
            "reason": "Found" if there else "NotFound",
            "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" '
            + ("and it exists" if there else "but there is no such object"),
        }
        held = (schema.get("status") or {}).get("conditions") or ()
        before: Object = next((c for c in held if c.get("type") == "Dangling"), {})
        if all(before.get(key) == value for key, value in condition.items()):
            return
        from .options import WriteOptions
        from .patches import patched
        from .registry.operation import UPDATE

        name, now = name_of(schema), self._server.registry.now()
        applied = {
            "apiVersion": SCHEMAS.api_version,
            "kind": SCHEMAS.kind,
            "metadata": {"name": name},
            "status": {"conditions": [{**condition, "lastTransitionTime": now}]},
        }
        headers = {"content-type": "application/apply-patch+yaml"}
        request = Request("PATCH", "", "", headers, orjson.dumps(applied))
        op = self._server.registry.operation(
            SCHEMAS, UPDATE, APISERVER, "", name, "status", field_manager=CONSUMER
        )
        op.patch = True
        options = WriteOptions(field_manager=CONSUMER, force=True)
        try:
            await patched(self._server.resources, request, SCHEMAS, op, options)
        except ApiError as error:
            if error.code not in (404, 409):  # gone, or changed: then there is a next time
                raise


class TooMany(Exception):
    """To be answered with `too_many()`."""


def too_many() -> Response:
    response = plain_error(429, "Too many requests, please try again later.")
    response.headers.insert(0, ("Retry-After", RETRY_AFTER_S))
    return response


def _level_name(schema: Object) -> str:
    reference = (schema.get("spec") or {}).get("priorityLevelConfiguration") or {}
    return str(reference.get("name") or "")
