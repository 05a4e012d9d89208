"""The shell that runs all controllers: sources → queue → reconcile → plan → client. The contract is in `plan.py`.

Here is kept what it promises: a key has one worker at a time, is not reconciled before the caches have seen what its last plan wrote,
and comes back with growing delay after a failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..api.errors import ApiError
from ..api.object import Object, condition_of, is_deleting, name_of, namespace_of, uid_of
from ..base.clock import Clock
from ..base.random import Random
from ..client.informer import Informers
from ..client.interface import Client
from ..client.recorder import EventRecorder
from .plan import (
    Action,
    Batch,
    Controller,
    Create,
    Delete,
    DeleteCollection,
    Effect,
    Environment,
    Event,
    Later,
    Patch,
    Plan,
    Source,
    StillAbsent,
    StillEmpty,
    StillThere,
    Tell,
    Update,
)
from .queue import WorkQueue

log = logging.getLogger(__name__)

FIELD_MANAGER = "kube-controller-manager"
_CATCH_UP_MAX_S = 30.0  # a cache that lags longer than this does not hold a key back any more
_RETRY_CATCH_UP_S = 1.0
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class _GuardFailed(Exception):
    """A guard did not hold: nothing is wrong, the view was behind."""


@dataclass(slots=True)
class _Unseen:
    """What a key's last plan wrote, and its caches have not shown yet."""

    versions: dict[str, int] = field(default_factory=dict)
    deletes: list[tuple[str, str, str, str]] = field(default_factory=list)  # resource, namespace, name, uid
    until: float = 0.0


class Runner:
    """The shell around one controller: sources → queue → reconcile → plan → client."""

    def __init__(
        self,
        controller: Controller,
        informers: Informers,
        client: Client,
        clock: Clock,
        random: Random,
        recorder: EventRecorder | None = None,
    ):
        self.controller, self._informers, self._client, self._clock = controller, informers, client, clock
        self.queue = WorkQueue(clock, controller.retry_delays_s)
        self.recorder = recorder or EventRecorder(
            client, controller.component, clock, random.fork(f"events/{controller.name}")
        )
        self._unseen: dict[str, _Unseen] = {}
        self._waiting: dict[str, set[str]] = {}  # resource -> keys that wait for it
        self._observed: dict[str, object] = {}  # resource -> the informer that wakes who waits
        self._leave: list[Callable[[], None]] = []  # takes our handlers from the informers
        self._custom: set[str] = set()
        self.metrics: Counter[str] = Counter()
        for resource, indexes in controller.indexes.items():
            for name, function in indexes.items():
                informers.of(resource).add_index(name, function)
        for resource in controller.extra_resources:
            informers.of(resource)
        for resource, source in controller.sources.items():
            self.follow(resource, source)
        if type(controller).custom_source is not Controller.custom_source:
            self._leave.append(informers.of(_DEFINITIONS).add_handler(self._definition_changed))

    def _definition_changed(self, old: Object | None, new: Object | None) -> None:
        """Follows the custom resources that come, and forgets those that go."""
        spec = (new or old or {})["spec"]
        resource = f"{spec['names']['plural']}.{spec['group']}"
        if new is None:
            self._custom.discard(resource)
            self.controller.custom_gone(resource)
            # once every controller has been told: until then they read the cache
            asyncio.get_running_loop().call_soon(self._forget, resource)
        elif resource not in self._custom and _is_established(new):
            source = self.controller.custom_source(resource, spec["scope"] == "Namespaced")
            if source is not None:
                self._custom.add(resource)
                for name, function in self.controller.custom_indexes.items():
                    self._informers.of(resource).add_index(name, function)
                self.follow(resource, source)

    def _forget(self, resource: str) -> None:
        if resource not in self._custom:  # else it has come again meanwhile
            self._informers.forget(resource)

    def follow(self, resource: str, source: Source) -> None:
        def handle(old: Object | None, new: Object | None) -> None:
            for key in source(old, new, self._informers):
                if isinstance(key, Later):
                    delay = key.delay_s
                    self.queue.add_after(key.key, delay(self._clock.now()) if callable(delay) else delay)
                else:
                    self.queue.add(key)

        self._leave.append(self._informers.of(resource).add_handler(handle))

    async def run(self) -> None:
        """Until cancelled. Starts once the caches are filled."""
        controller = self.controller
        for resource in dict.fromkeys(
            (*controller.sources, *controller.indexes, *controller.extra_resources)
        ):
            await self._informers.of(resource).synced()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.recorder.run(), name=f"events of {self.controller.name}")
            for number in range(self.controller.workers):
                group.create_task(self._work(), name=f"{self.controller.name} {number}")

    def close(self) -> None:
        """The informers may outlive us: they shall not hold us."""
        while self._leave:
            self._leave.pop()()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self.process(key)
            finally:
                self.queue.done(key)

    async def process(self, key: str) -> None:
        """One turn for one key: never raises but for cancellation."""
        if not self._has_caught_up(key):
            self.queue.add_after(key, _RETRY_CATCH_UP_S)
            return
        self.metrics["reconciles"] += 1
        try:
            plan = self.controller.reconcile(key, self._informers, self._clock.now())
            errors = await self._execute(key, plan)
        except _GuardFailed:
            self.metrics["guarded"] += 1
            self.queue.add_rate_limited(key)
            return
        except (
            Exception
        ):  # a defect in a controller must not take the others down; it shows, and is tried again
            self.metrics["defects"] += 1
            log.exception("%s: %s", self.controller.name, key)
            self.queue.add_rate_limited(key)
            return
        if errors:
            self.metrics["errors"] += 1
            for error in errors[:1]:
                expected = error.reason in ("Conflict", "AlreadyExists", "NotFound")
                log.log(
                    logging.DEBUG if expected else logging.WARNING,
                    "%s: %s: %s",
                    self.controller.name,
                    key,
                    error,
                )
            self.queue.add_rate_limited(key)
            return
        self.queue.forget(key)
        if plan.requeue_after_s is not None:
            self.queue.add_after(key, plan.requeue_after_s)

    async def _execute(self, key: str, plan: Plan) -> list[ApiError]:
        errors = await self._execute_in_order(key, plan.actions)
        if plan.then is not None:
            errors += await self._execute_in_order(key, plan.then(list(errors)))
        return errors

    async def _execute_in_order(self, key: str, actions: Iterable[Action]) -> list[ApiError]:
        for action in actions:
            if isinstance(action, Batch):
                errors = await self._execute_batch(key, action)
            else:
                error = await self._attempt(key, action)
                errors = [error] if error else []
            if errors:
                return errors
        return []

    async def _execute_batch(self, key: str, batch: Batch) -> list[ApiError]:
        actions, size = list(batch.actions), 1 if batch.slow_start else 500
        while actions:
            now, actions = actions[:size], actions[size:]
            if len(now) == 1:
                outcomes = [await self._attempt(key, now[0])]
            else:
                outcomes = list(await asyncio.gather(*(self._attempt(key, action) for action in now)))
            errors = [error for error in outcomes if error]
            if errors:
                return errors
            size *= 2
        return []

    async def _attempt(self, key: str, action: Action) -> ApiError | None:
        tell: Tell | None = getattr(action, "tell", None)
        try:
            made = await self._perform(key, action)
        except ApiError as error:
            if error.reason in getattr(action, "ignore", ()):
                return await self._follow_up(key, action, None)
            if isinstance(action, Create) and any(c.reason == "NamespaceTerminating" for c in error.causes):
                return None  # nor would it work later: all that is there goes
            for what in (tell.failed, tell.so) if tell else ():
                if tell and what:
                    name = _name_of_action(action)
                    self._tell(tell.about, "Warning", what, name=name, error=error.message)
            return error
        if tell and tell.done:
            name = (name_of(made) if made and "metadata" in made else "") or _name_of_action(action)
            self._tell(tell.about, "Normal", tell.done, name=name, error="")
        return await self._follow_up(key, action, made)

    async def _follow_up(self, key: str, action: Action, made: Object | None) -> ApiError | None:
        if not isinstance(action, Create) or action.then is None:
            return None
        if made is None:
            try:
                made = await self._client.get(action.resource, namespace_of(action.obj), name_of(action.obj))
            except ApiError as error:
                return error
        errors = await self._execute_in_order(key, action.then(made))
        return errors[0] if errors else None

    def _tell(self, about: Object, type: str, what: tuple[str, str], *, name: str, error: str) -> None:
        reason, message = what
        self.recorder.event(about, type, reason, message.replace("{name}", name).replace("{error}", error))

    async def _perform(self, key: str, action: Action) -> Object | None:
        client = self._client
        match action:
            case Event():
                self.recorder.event(
                    action.about, action.type, action.reason, action.message, annotations=action.annotations
                )
                return None
            case Create():
                made = await client.create(action.resource, action.obj, field_manager=FIELD_MANAGER)
                self._wrote(key, action.resource, made)
                return made
            case Update():
                made = await client.update(
                    action.resource, action.obj, subresource=action.subresource, field_manager=FIELD_MANAGER
                )
                self._wrote(key, action.resource, made)
                return made
            case Patch():
                made = await client.patch(
                    action.resource,
                    action.namespace,
                    action.name,
                    action.patch,
                    type=action.type,
                    subresource=action.subresource,
                    field_manager=FIELD_MANAGER,
                )
                self._wrote(key, action.resource, made)
                return made
            case Delete():
                await client.delete(
                    action.resource,
                    action.namespace,
                    action.name,
                    uid=action.uid,
                    propagation=action.propagation,
                    grace_period_s=action.grace_period_s,
                    resource_version=action.resource_version,
                )
                if self._informers.has(action.resource) and action.uid:
                    unseen = self._unseen_of(key)
                    unseen.deletes.append((action.resource, action.namespace, action.name, action.uid))
                return None
            case DeleteCollection():
                await client.delete_collection(action.resource, action.namespace)
                return None
            case StillThere():
                found = await client.get(action.resource, action.namespace, action.name)
                if uid_of(found) != action.uid or is_deleting(found):
                    raise _GuardFailed
                return None
            case StillAbsent():
                try:
                    found = await client.get(action.resource, action.namespace, action.name)
                except ApiError as error:
                    if error.code == 404:
                        return None
                    raise
                if not action.uid or uid_of(found) == action.uid:
                    raise _GuardFailed
                return None
            case StillEmpty():
                for resource in action.resources:
                    if (await client.list(resource, action.namespace, limit=1)).items:
                        raise _GuardFailed
                return None
            case Effect():
                await action.run()
                return None
        raise TypeError(f"no such action: {action}")

    # -- seeing one's own writes -----------------------------------------------------------------------------------

    def _unseen_of(self, key: str) -> _Unseen:
        unseen = self._unseen.setdefault(key, _Unseen())
        unseen.until = self._clock.monotonic() + _CATCH_UP_MAX_S
        return unseen

    def _wrote(self, key: str, resource: str, made: Object) -> None:
        version = (made.get("metadata") or {}).get("resourceVersion")
        if version and version.isdigit() and self._informers.has(resource):
            versions = self._unseen_of(key).versions
            versions[resource] = max(versions.get(resource, 0), int(version))

    def _has_caught_up(self, key: str) -> bool:
        unseen = self._unseen.get(key)
        if unseen is None:
            return True
        behind = {r for r, v in unseen.versions.items() if not self._has_seen(r, v)}
        for resource, namespace, name, uid in unseen.deletes:
            found = (
                self._informers.of(resource).get(namespace, name) if self._informers.has(resource) else None
            )
            if found is not None and uid_of(found) == uid and not is_deleting(found):
                behind.add(resource)
        if not behind or self._clock.monotonic() >= unseen.until:
            del self._unseen[key]
            return True
        for resource in behind:
            self._wake_when_seen(resource, key)
        return False

    def _has_seen(self, resource: str, version: int) -> bool:
        return not self._informers.has(resource) or self._informers.of(resource).resource_version >= version

    def _wake_when_seen(self, resource: str, key: str) -> None:
        waiting = self._waiting.setdefault(resource, set())
        waiting.add(key)
        informer = self._informers.of(resource)
        if self._observed.get(resource) is not informer:
            self._observed[resource] = informer

            def observe() -> None:
                keys = self._waiting.get(resource)
                if keys:
                    for key in sorted(keys):
                        self.queue.add(key)
                    keys.clear()

            self._leave.append(informer.add_observer(observe))


def _is_established(definition: Object) -> bool:
    condition = condition_of(definition, "Established")
    return condition is not None and condition["status"] == "True"


def _name_of_action(action: Any) -> str:
    return name_of(action.obj) if hasattr(action, "obj") else getattr(action, "name", "")


class ControllerManager:
    """Runs the controllers of the table, on shared informers."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        random: Random,
        names: Iterable[str] | None = None,
        *,
        environment: Environment | None = None,
        informers: Informers | None = None,
        client_for: Callable[[str], Client] | None = None,
    ):
        """`names` None is all. `client_for(account)` gives each controller its own identity."""
        from .table import CONTROLLERS

        self._own_informers = informers is None
        self.informers = informers or Informers(client, clock, random.fork("controllers"))
        environment = environment or Environment(random.fork("controllers"))
        wanted = None if names is None else set(names)
        unknown = (wanted or set()) - {controller.name for controller in CONTROLLERS}
        if unknown:
            raise ValueError(f"no such controllers: {', '.join(sorted(unknown))}")
        self.runners = {
            controller.name: Runner(
                controller(environment),
                self.informers,
                client_for(controller.component if controller.account is None else controller.account)
                if client_for
                else client,
                clock,
                random.fork(controller.name),
            )
            for controller in CONTROLLERS
            if wanted is None or controller.name in wanted
        }

    async def run(self) -> None:
        """Until cancelled; not again after that."""
        try:
            async with asyncio.TaskGroup() as group:
                if self._own_informers:
                    group.create_task(self.informers.run(), name="informers of controllers")
                for name, runner in self.runners.items():
                    group.create_task(runner.run(), name=f"controller {name}")
        finally:
            for runner in self.runners.values():
                runner.close()

    @property
    def metrics(self) -> dict[str, dict[str, int]]:
        return {
            name: {**runner.metrics, "queue": len(runner.queue), "events_dropped": runner.recorder.dropped}
            for name, runner in self.runners.items()
        }


__all__ = ["ControllerManager", "Environment", "Runner"]
