"""What must not grow with what others have installed: 100 CRDs, 10,000 bindings; and server-side apply."""

from __future__ import annotations

import time
from collections.abc import Iterator

from .api import CONFIG_MAPS, config_map
from .measure import Client, in_parallel, memory_mb, server
from .table import Figure

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def apply() -> Iterator[Figure]:
    with server() as running:
        client = running.client()

        def each(index: int, own: Client) -> None:
            for i in range(100):
                path = f"{CONFIG_MAPS}/a-{index}?fieldManager=bench&force=true"
                body = {**config_map(f"a-{index}"), "data": {"value": "x" * 900, "count": str(i)}}
                own("PATCH", path, body, "application/apply-patch+yaml")

        each(99, client)
        cpu = running.cpu_of(lambda: in_parallel(16, each, running.port))
        yield Figure(
            "server-side apply of 1 KiB, durable, 16 clients, CPU a request", cpu / 1600 * 1e6, "µs", None, ""
        )
        client.close()


def definition(number: int) -> dict[str, object]:
    """As generated for an operator's kind: the schema of a pod template's size."""
    group, plural = f"bench-{number % 10}.example.com", f"things{number}"
    container = {
        "type": "object",
        "required": ["name"],
        "properties": {
            name: {
                "type": "string",
                "description": "What it is for, in a line or two, as generators write it.",
            }
            for name in ("name", "image", *(f"field{i}" for i in range(40)))
        },
    }
    spec = {
        "type": "object",
        "properties": {
            "replicas": {"type": "integer", "minimum": 0, "default": 1},
            "containers": {"type": "array", "items": container},
        },
    }
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"plural": plural, "singular": f"thing{number}", "kind": f"Thing{number}"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def definitions() -> Iterator[Figure]:
    with server() as running:
        client = running.client()
        before = memory_mb(running.pid)
        started = time.perf_counter()
        for number in range(100):
            client("POST", CRDS, definition(number))
        path = "/apis/bench-9.example.com/v1/namespaces/default/things99"
        deadline = time.perf_counter() + 60
        while True:
            try:
                client("GET", path)
                break
            except RuntimeError:
                if time.perf_counter() > deadline:
                    raise
                time.sleep(0.01)
        yield Figure(
            "100 CRDs: created, and the last one served", time.perf_counter() - started, "s", None, ""
        )
        yield Figure("100 CRDs: memory", memory_mb(running.pid) - before, "MB", None, "")
        client("GET", "/apis", accept=DISCOVERY)
        cpu = running.cpu_of(lambda: [client("GET", "/apis", accept=DISCOVERY) for _ in range(50)])
        yield Figure("100 CRDs: aggregated discovery, CPU", cpu / 50 * 1e3, "ms", None, "")

        def create(index: int, own: Client) -> None:
            for i in range(100):
                spec = {"containers": [{"name": "a", "image": "b"}]}
                body = {"apiVersion": "bench-9.example.com/v1", "kind": "Thing99", "spec": spec}
                own("POST", path, {**body, "metadata": {"name": f"t-{index}-{i}"}})

        cpu = running.cpu_of(lambda: in_parallel(16, create, running.port))
        yield Figure(
            "CREATE a custom resource, durable, 16 clients, CPU a request", cpu / 1600 * 1e6, "µs", None, ""
        )
        client.close()


def bindings(count: int = 10_000) -> Iterator[Figure]:
    with server("memory") as running:
        client = running.client()
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
        client("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "reader"}, "rules": rules})
        client("POST", CONFIG_MAPS, config_map("one"))

        def bind(index: int, own: Client) -> None:
            for i in range(count // 8):
                subject = {
                    "kind": "User",
                    "name": f"user-{index}-{i}",
                    "apiGroup": "rbac.authorization.k8s.io",
                }
                role = {"kind": "ClusterRole", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
                metadata = {"name": f"b-{index}-{i}"}
                own(
                    "POST",
                    f"{RBAC}/clusterrolebindings",
                    {"metadata": metadata, "roleRef": role, "subjects": [subject]},
                )

        in_parallel(8, bind, running.port)
        path = f"{CONFIG_MAPS}/one"

        def get(times: int, users: int) -> float:
            work = [{"Impersonate-User": f"user-{i % 8}-{i // 8}"} for i in range(users)]
            return (
                running.cpu_of(lambda: [client("GET", path, headers=work[i % users]) for i in range(times)])
                / times
                * 1e6
            )

        get(200, 1)
        yield Figure(f"GET as one of {count:,} users, each with a binding, CPU", get(3000, 1), "µs", None, "")
        yield Figure(
            "the same, every time another user (nothing remembered)", get(3000, 3000), "µs", None, ""
        )
        client.close()
