"""A small API server in memory, and a world that runs controllers on it in virtual time.

It keeps the promises that controllers live by (versions, conflicts, watches, generations, finalizers, status apart from spec) and
nothing else: no defaults, no validation. What is asserted here is what controllers do, not what the server does.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pilothouse.api.errors import ApiError, already_exists, conflict, not_found
from pilothouse.api.kinds import kind_of_resource
from pilothouse.api.object import Object
from pilothouse.base.clock import VirtualClock, parse_timestamp, run_virtual, timestamp
from pilothouse.base.random import Random
from pilothouse.client.informer import Informers
from pilothouse.client.interface import ObjectList, WatchEvent
from pilothouse.controllers.runtime import ControllerManager, Environment


def _labels_match(selector: str, obj: Object) -> bool:
    labels = obj["metadata"].get("labels") or {}
    return all(labels.get(p.split("=")[0]) == p.split("=")[1] for p in selector.split(",") if p)


class FakeApi:
    def __init__(self, clock: VirtualClock, random: Random):
        self.clock, self.random = clock, random
        self.objects: dict[str, dict[tuple[str, str], Object]] = {}
        self.revision = 1
        self.log: list[tuple[int, str, WatchEvent]] = []
        self.changed = asyncio.Event()
        self.calls: list[tuple[str, ...]] = []
        self.refuse: Callable[[str, str, Object | None], ApiError | None] = lambda verb, resource, obj: None

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _emit(self, type_: str, resource: str, obj: Object) -> Object:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        self.log.append((self.revision, resource, WatchEvent(type_, copy.deepcopy(obj))))
        self.changed.set()
        self.changed = asyncio.Event()
        return copy.deepcopy(obj)

    def _check(self, verb: str, resource: str, obj: Object | None) -> None:
        error = self.refuse(verb, resource, obj)
        if error:
            raise error

    def _stored(self, resource: str, namespace: str, name: str) -> Object:
        kind = kind_of_resource(resource)
        try:
            return self.objects.setdefault(resource, {})[(namespace, name)]
        except KeyError:
            raise not_found(kind.plural, kind.group, name) from None

    def _settle(self, resource: str, key: tuple[str, str], old: Object, new: Object) -> Object:
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            held = new["metadata"].get("deletionGracePeriodSeconds", 0) and resource == "pods"
            if resource == "namespaces":
                held = bool((new.get("spec") or {}).get("finalizers"))
            if not held:
                del self.objects[resource][key]
                return self._emit("DELETED", resource, new)
        if {k: v for k, v in new.items() if k != "metadata"} == {
            k: v for k, v in old.items() if k != "metadata"
        } and {k: v for k, v in new["metadata"].items() if k != "resourceVersion"} == {
            k: v for k, v in old["metadata"].items() if k != "resourceVersion"
        }:
            return copy.deepcopy(old)
        self.objects[resource][key] = new
        return self._emit("MODIFIED", resource, new)

    # -- the Client interface ----------------------------------------------------------------------------------------

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        self.calls.append(("get", resource, namespace, name))
        return copy.deepcopy(self._stored(resource, namespace, name))

    async def list(self, resource: str, namespace: str = "", **kwargs: Any) -> ObjectList:
        items = [
            copy.deepcopy(o)
            for (ns, _), o in self.objects.get(resource, {}).items()
            if not namespace or ns == namespace
        ]
        return ObjectList(items, str(self.revision))

    async def create(
        self,
        resource: str,
        obj: Object,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        **_: Any,
    ) -> Object:
        kind = kind_of_resource(resource)
        self._check("create", resource, obj)
        obj = copy.deepcopy(obj)
        obj.setdefault("apiVersion", kind.api_version)
        obj.setdefault("kind", kind.kind)
        metadata = obj["metadata"]
        if kind.namespaced:
            metadata.setdefault("namespace", namespace or "default")
        if not metadata.get("name"):
            metadata["name"] = metadata["generateName"] + self.random.suffix()
        key = (metadata.get("namespace", ""), metadata["name"])
        if key in self.objects.setdefault(resource, {}):
            raise already_exists(kind.plural, kind.group, metadata["name"])
        metadata["uid"] = self.random.uid()
        metadata["creationTimestamp"] = timestamp(self.clock.now())
        if resource not in ("configmaps", "secrets", "events", "services", "nodes"):
            metadata["generation"] = 1
        if resource == "pods":
            obj.setdefault("status", {"phase": "Pending"})
        if resource == "namespaces":
            obj.setdefault("spec", {"finalizers": ["kubernetes"]})
            obj.setdefault("status", {"phase": "Active"})
        self.calls.append(("create", resource, *key))
        self.objects[resource][key] = obj
        return self._emit("ADDED", resource, obj)

    async def update(self, resource: str, obj: Object, *, subresource: str = "", **_: Any) -> Object:
        kind = kind_of_resource(resource)
        self._check("update", resource, obj)
        obj = copy.deepcopy(obj)
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        old = self._stored(resource, *key)
        version = obj["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise conflict(kind.plural, kind.group, key[1], "the object has been modified")
        self.calls.append(("update", f"{resource}/{subresource}".rstrip("/"), *key))
        if subresource == "status":
            new = {**old, "metadata": {**old["metadata"]}, "status": obj.get("status", {})}
            new["metadata"]["annotations"] = obj["metadata"].get("annotations", {})
        else:
            new = {**obj, **({"status": old["status"]} if "status" in old else {})}
            if "generation" in old["metadata"] and new.get("spec") != old.get("spec"):
                new["metadata"] = {**new["metadata"], "generation": old["metadata"]["generation"] + 1}
        return self._settle(resource, key, old, new)

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: Any,
        *,
        type: str = "merge",
        subresource: str = "",
        **_: Any,
    ) -> Object:
        kind = kind_of_resource(resource)
        self._check("patch", resource, patch)
        old = self._stored(resource, namespace, name)
        version = (patch.get("metadata") or {}).get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise conflict(kind.plural, kind.group, name, "the object has been modified")
        self.calls.append(("patch", f"{resource}/{subresource}".rstrip("/"), namespace, name))
        new = _merge(copy.deepcopy(old), copy.deepcopy(patch), type == "strategic")
        if "generation" in old["metadata"] and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        return self._settle(resource, (namespace, name), old, new)

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        grace_period_s: int | None = None,
        propagation: str = "",
        uid: str = "",
        **_: Any,
    ) -> Object:
        kind = kind_of_resource(resource)
        old = self._stored(resource, namespace, name)
        self._check("delete", resource, old)
        if uid and uid != old["metadata"]["uid"]:
            raise conflict(kind.plural, kind.group, name, "the UID in the precondition does not match")
        self.calls.append(("delete", resource, namespace, name))
        new = copy.deepcopy(old)
        finalizers = list(new["metadata"].get("finalizers") or [])
        extra = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}.get(propagation)
        if extra and extra not in finalizers:
            new["metadata"]["finalizers"] = [*finalizers, extra]
        new["metadata"].setdefault("deletionTimestamp", timestamp(self.clock.now()))
        new["metadata"]["deletionGracePeriodSeconds"] = 0
        bound = resource == "pods" and new["spec"].get("nodeName")
        if bound and new["status"].get("phase") not in ("Succeeded", "Failed"):
            new["metadata"]["deletionGracePeriodSeconds"] = 30 if grace_period_s is None else grace_period_s
        if resource == "namespaces":
            new["status"]["phase"] = "Terminating"
        return self._settle(resource, (namespace, name), old, new)

    async def delete_collection(self, resource: str, namespace: str, **_: Any) -> None:
        for ns, name in list(self.objects.get(resource, {})):
            if ns == namespace:
                await self.delete(resource, ns, name)

    async def watch(
        self, resource: str, namespace: str = "", *, resource_version: str, **_: Any
    ) -> AsyncIterator[WatchEvent]:
        position = next(
            (i for i, (rv, _, _) in enumerate(self.log) if rv > int(resource_version)), len(self.log)
        )
        while True:
            changed = self.changed
            while position < len(self.log):
                _, of, event = self.log[position]
                position += 1
                if of == resource:
                    yield event
            await changed.wait()


def _merge(target: Any, patch: Any, strategic: bool) -> Any:
    """JSON merge patch, and for ownerReferences the strategic kind."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            key = key.split("/")[1]
            value = [v for v in target.get(key) or [] if v not in value]
        if strategic and key == "ownerReferences":
            drop = {r["uid"] for r in value if r.get("$patch") == "delete"}
            fresh = [r for r in value if "$patch" not in r]
            names = drop | {r["uid"] for r in fresh}
            value = [r for r in target.get(key) or [] if r["uid"] not in names] + fresh
        if value is None or (key == "ownerReferences" and not value):
            target.pop(key, None)
        elif isinstance(value, dict):
            target[key] = _merge(target.get(key), value, strategic)
        else:
            target[key] = value
    return target


class World:
    """Controllers at work on a FakeApi."""

    def __init__(self, clock: VirtualClock, names: list[str] | None, **environment: Any):
        self.clock = clock
        self.random = Random(7)
        self.api = FakeApi(clock, self.random.fork("api"))
        informers = Informers(self.api, clock, self.random.fork("informers"), detect_mutations=True)
        self.manager = ControllerManager(
            self.api,
            clock,
            self.random,
            names,
            environment=Environment(self.random.fork("env"), **environment),
            informers=informers,
        )
        self.informers = informers

    async def __aenter__(self) -> World:
        await self.informers.start()
        self._task = asyncio.get_running_loop().create_task(self.manager.run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.informers.stop()
        defects = {n: r.metrics["defects"] for n, r in self.manager.runners.items() if r.metrics["defects"]}
        assert not defects, f"reconcile raised: {defects}"

    async def settle(self, seconds: float = 1.5) -> None:
        """Virtual seconds: everybody gets to do what there is to do."""
        await self.clock.sleep(seconds)

    async def apply(self, resource: str, name: str, namespace: str = "default", **fields: Any) -> Object:
        metadata = {"name": name, **fields.pop("metadata", {})}
        if kind_of_resource(resource).namespaced:
            metadata["namespace"] = namespace
        return await self.api.create(resource, {"metadata": metadata, **fields})

    async def change(self, resource: str, name: str, patch: Object, namespace: str = "default") -> Object:
        return await self.api.patch(
            resource, namespace if kind_of_resource(resource).namespaced else "", name, patch
        )

    def get(self, resource: str, name: str, namespace: str = "default") -> Object | None:
        namespaced = kind_of_resource(resource).namespaced
        return self.api.objects.get(resource, {}).get((namespace if namespaced else "", name))

    def all(self, resource: str, labels: str = "") -> list[Object]:
        return [o for o in self.api.objects.get(resource, {}).values() if _labels_match(labels, o)]

    def events(self, reason: str = "") -> list[tuple[str, str]]:
        found = [e for e in self.all("events") if not reason or e["reason"] == reason]
        return [(e["reason"], e["message"]) for e in found]

    async def set_pod(
        self, pod: Object | str, phase: str = "Running", ready: bool = True, **status: Any
    ) -> None:
        """As a kubelet would."""
        name = pod if isinstance(pod, str) else pod["metadata"]["name"]
        namespace = "default" if isinstance(pod, str) else pod["metadata"]["namespace"]
        condition = {
            "type": "Ready",
            "status": "True" if ready and phase == "Running" else "False",
            "lastTransitionTime": timestamp(self.clock.now()),
        }
        await self.api.patch(
            "pods", namespace, name, {"status": {"phase": phase, "conditions": [condition], **status}}
        )

    async def ready_all(self, labels: str = "") -> int:
        pods = [p for p in self.all("pods", labels) if p["status"].get("phase") == "Pending"]
        for pod in pods:
            await self.set_pod(pod)
        return len(pods)


@pytest.fixture
def run():
    """`run(story, controllers=[...])`: runs `story(world)` in virtual time."""

    def go(story: Any, names: list[str] | None = None, **environment: Any) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with World(clock, names, **environment) as world:
                await world.settle(0.1)
                await story(world)

        run_virtual(main(), clock)

    return go


__all__ = ["FakeApi", "World", "parse_timestamp"]
