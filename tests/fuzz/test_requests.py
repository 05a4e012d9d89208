"""Whatever a client sends, the server answers with a reason of its own: never with an accident, never for long.

Bytes, values and paths are drawn by hypothesis, half of them close to what is right. The server runs in this process, so that an exception which is
no `ApiError` is seen as itself.
"""

import asyncio
import os
import time

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import Request, Response
from pilothouse.apiserver.routes import parse_query, request_info
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random
from pilothouse.store.memory import MemoryStore

LONGEST_S = 5.0  # of one request; generous, since the machine is shared
SETTINGS = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
NAMESPACED = "/api/v1/namespaces/default"
POD = {
    "metadata": {"name": "p", "labels": {"a": "b"}, "finalizers": ["example.com/f"]},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "i:1",
                "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
            }
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "k", "operator": "Exists"}],
    },
}
DEPLOYMENT = {
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD["spec"]},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
    },
}
SERVICE = {
    "metadata": {"name": "s"},
    "spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": "http"}], "type": "NodePort"},
}
TARGETS = {
    f"{NAMESPACED}/pods": ("v1", "Pod", POD),
    f"{NAMESPACED}/services": ("v1", "Service", SERVICE),
    "/apis/apps/v1/namespaces/default/deployments": ("apps/v1", "Deployment", DEPLOYMENT),
}
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class Fuzzed:
    """A server, and every accident in it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.server = ApiServer(MemoryStore(), VirtualClock(), Random(1), ApiConfig())
        self.loop.run_until_complete(self.server.start())
        for account in ("default",):
            self.post(f"{NAMESPACED}/serviceaccounts", {"metadata": {"name": account}})
        for path, (_, _, obj) in TARGETS.items():
            self.post(path, obj)

    def post(self, path, obj):
        self.ask("POST", path, body=orjson.dumps(obj))

    def ask(self, method, path, query="", body=b"", **headers):
        """The answer's code and body. An accident, or taking too long, fails the test."""
        request = Request(method, path, query, {k.replace("_", "-"): v for k, v in headers.items()}, body)
        started = time.monotonic()
        response = self.loop.run_until_complete(self._answered(request))
        assert time.monotonic() - started < LONGEST_S, "too long"
        return response.status, response.body

    async def _answered(self, request):
        try:
            request.parameters = parse_query(request.query)
            request.info = request_info(request.method, request.path, request.parameters)
            request.user = ADMIN
            self.server.authorize(request, request.info)
            answer = self.server.dispatch(request, request.info)
            return answer if isinstance(answer, Response) else await answer
        except ApiError as error:
            status = error.status()
            orjson.dumps(status)
            return Response(error.code, body=b"", value=status)

    def close(self):
        self.loop.run_until_complete(self.server.stop())
        self.loop.close()


@pytest.fixture(scope="module")
def fuzzed():
    fuzzed = Fuzzed()
    yield fuzzed
    fuzzed.close()


TEXT = st.text(max_size=8) | st.sampled_from(
    ["", "a", "x/y", "-1", "1e9", "500m", "25%", "None", "metadata.name", "$patch"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=8
)


@st.composite
def bent(draw, obj):
    """An object of the kind with one to three of its parts replaced, dropped or added to."""
    obj = orjson.loads(orjson.dumps(obj))
    for _ in range(draw(st.integers(1, 3))):
        here = obj
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = here[key]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
                here = inner
                continue
            match draw(st.sampled_from(["replace", "drop", "add", "double"])):
                case "replace":
                    here[key] = draw(VALUES)
                case "drop":
                    del here[key]
                case "double" if isinstance(here, list):
                    here.append(inner)
                case _ if isinstance(here, dict):
                    here[draw(TEXT)] = draw(VALUES)
            break
    return obj


@given(
    st.binary(max_size=200),
    st.sampled_from(list(TARGETS)),
    st.sampled_from(
        ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "é"]
    ),
)
@SETTINGS
def test_any_bytes_as_a_body(fuzzed, body, path, content_type):
    assert fuzzed.ask("POST", path, body=body, content_type=content_type)[0] in (400, 415, 422)


@given(st.binary(max_size=120), st.sampled_from(list(TARGETS)))
@SETTINGS
def test_any_bytes_inside_a_protobuf_envelope(fuzzed, body, path):
    version, kind, _ = TARGETS[path]
    gvk = b"\n" + bytes([len(version)]) + version.encode() + b"\x12" + bytes([len(kind)]) + kind.encode()
    envelope = b"k8s\0\n" + bytes([len(gvk)]) + gvk + b"\x12" + bytes([len(body)]) + body
    fuzzed.ask("POST", path, "dryRun=All", envelope, content_type="application/vnd.kubernetes.protobuf")


@pytest.mark.parametrize("path", TARGETS)
def test_an_object_that_is_not_quite_right(fuzzed, path):
    _, _, right = TARGETS[path]

    @given(bent(right), st.sampled_from(["Strict", "Warn", "Ignore"]))
    @SETTINGS
    def check(obj, strictness):
        query = f"dryRun=All&fieldValidation={strictness}"
        fuzzed.ask("POST", path, query, orjson.dumps(obj))
        fuzzed.ask("PUT", f"{path}/{right['metadata']['name']}", query, orjson.dumps(obj))

    check()


@pytest.mark.parametrize("how", ["merge", "strategic", "apply"])
@pytest.mark.parametrize("path", TARGETS)
def test_a_patch_that_is_not_quite_right(fuzzed, path, how):
    version, kind, right = TARGETS[path]

    @given(bent(right))
    @SETTINGS
    def check(patch):
        if how == "apply":
            patch = {"apiVersion": version, "kind": kind, **patch}
        query = "dryRun=All" + ("&fieldManager=m&force=true" if how == "apply" else "")
        name = right["metadata"]["name"]
        for door in ("", "/status"):
            fuzzed.ask("PATCH", f"{path}/{name}{door}", query, orjson.dumps(patch), content_type=PATCHES[how])

    check()


@given(st.binary(max_size=100), st.sampled_from(list(PATCHES)))
@SETTINGS
def test_any_bytes_as_a_patch(fuzzed, body, how):
    query = "dryRun=All&fieldManager=m" if how == "apply" else "dryRun=All"
    fuzzed.ask("PATCH", f"{NAMESPACED}/pods/p", query, body, content_type=PATCHES[how])


POINTERS = (
    st.lists(
        st.sampled_from(
            [
                "metadata",
                "labels",
                "spec",
                "containers",
                "0",
                "-1",
                "-",
                "name",
                "~1",
                "~0",
                "",
                "finalizers",
                "01",
            ]
        ),
        max_size=5,
    ).map(lambda parts: "".join(f"/{part}" for part in parts))
    | TEXT
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
    optional={"path": POINTERS, "from": POINTERS, "value": VALUES, "more": VALUES},
)


@given(st.lists(OPERATIONS | VALUES, max_size=6))
@SETTINGS
def test_any_operations_as_a_json_patch(fuzzed, operations):
    fuzzed.ask(
        "PATCH", f"{NAMESPACED}/pods/p", "dryRun=All", orjson.dumps(operations), content_type=PATCHES["json"]
    )


DIRECTIVES = st.recursive(
    SCALARS,
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "$patch",
                    "$retainKeys",
                    "$setElementOrder/containers",
                    "$setElementOrder/x",
                    "$deleteFromPrimitiveList/finalizers",
                ]
                + ["name", "containers", "spec", "volumes", "env", "finalizers", "metadata", "emptyDir"]
            ),
            v | st.sampled_from(["replace", "delete", "merge"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["spec", "metadata", "$patch", "status"]), DIRECTIVES, max_size=3))
@SETTINGS
def test_any_directives_in_a_strategic_patch(fuzzed, patch):
    fuzzed.ask(
        "PATCH", f"{NAMESPACED}/pods/p", "dryRun=All", orjson.dumps(patch), content_type=PATCHES["strategic"]
    )


SETS = st.dictionaries(
    st.sampled_from(
        ["f:spec", "f:data", "k:{}", "k:[", 'k:{"name":"c"}', "v:1", "i:x", "i:0", ".", "", "f:metadata"]
    ),
    VALUES,
    max_size=3,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "manager": TEXT,
        "operation": st.sampled_from(["Apply", "Update", "x"]),
        "apiVersion": st.sampled_from(["v1", "apps/v1", "a/b/c", ""]),
        "fieldsType": st.sampled_from(["FieldsV1", ""]),
        "fieldsV1": SETS,
        "time": st.sampled_from(["2026-01-01T00:00:00Z", "x"]),
    },
)


@given(st.lists(ENTRIES, max_size=3))
@SETTINGS
def test_any_managed_fields(fuzzed, entries):
    patch = orjson.dumps({"metadata": {"managedFields": entries, "labels": {"x": "y"}}})
    fuzzed.ask("PATCH", f"{NAMESPACED}/pods/p", "dryRun=All", patch, content_type=PATCHES["merge"])


PARAMETERS = st.dictionaries(
    st.sampled_from(
        "labelSelector fieldSelector limit continue resourceVersion resourceVersionMatch sendInitialEvents timeoutSeconds "
        "allowWatchBookmarks watch includeObject pretty".split()
    ),
    TEXT
    | st.sampled_from(
        [
            "a in (b",
            "!a",
            "a=b,c!=d",
            "x>5",
            "metadata.name=a",
            "true",
            "Exact",
            "NotOlderThan",
            "99999999999",
        ]
    ),
    max_size=3,
)


@given(
    PARAMETERS,
    st.sampled_from(["pods", "configmaps", "events", "nodes"]),
    st.sampled_from(["", "application/json;as=Table;g=meta.k8s.io;v=v1", "*/*;q=x", "a,b;=;"]),
)
@SETTINGS
def test_any_options_of_a_list_or_watch(fuzzed, parameters, plural, accept):
    from urllib.parse import urlencode

    path = f"/api/v1/{plural}" if plural == "nodes" else f"{NAMESPACED}/{plural}"
    assert fuzzed.ask("GET", path, urlencode(parameters), accept=accept)[0] != 500 or "watch" in parameters


@given(st.text(max_size=40))
@SETTINGS
def test_any_text_as_a_selector(fuzzed, text):
    from urllib.parse import quote

    assert fuzzed.ask("GET", f"{NAMESPACED}/pods", f"labelSelector={quote(text)}")[0] in (200, 400)
    assert fuzzed.ask("GET", f"{NAMESPACED}/pods", f"fieldSelector={quote(text)}")[0] in (200, 400)


@given(st.binary(max_size=60) | VALUES.map(orjson.dumps))
@SETTINGS
def test_any_token_to_continue_with(fuzzed, raw):
    import base64

    token = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert fuzzed.ask("GET", f"{NAMESPACED}/pods", f"limit=1&continue={token}")[0] in (200, 400, 410)


@given(
    st.lists(
        st.sampled_from(
            [
                "api",
                "apis",
                "v1",
                "apps",
                "namespaces",
                "default",
                "pods",
                "p",
                "status",
                "..",
                "",
                "%",
                "watch",
                "log",
            ]
        ),
        max_size=9,
    ),
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
)
@SETTINGS
def test_any_path(fuzzed, parts, method):
    body = b'{"dryRun":["All"]}' if method == "DELETE" else b""
    fuzzed.ask(method, "/" + "/".join(parts), "dryRun=All", body)


def deep(depth, opening="[", closing="]"):
    return opening * depth + closing * depth


BOMBS = {
    "JSON arrays in arrays": ("application/json", '{"metadata":{"name":"x"},"spec":' + deep(100_000) + "}"),
    "JSON objects in objects": (
        "application/json",
        '{"spec":' + deep(20_000, '{"a":', "}").replace(":}", ":1}") + "}",
    ),
    "as deep as the parser goes": (
        "application/json",
        '{"metadata":{"name":"x"},"spec":' + deep(1_000) + "}",
    ),
    "deeper than the encoder goes": (
        "application/json",
        '{"metadata":{"name":"x"},"spec":' + deep(300) + "}",
    ),
    "YAML flows in flows": ("application/yaml", "spec: " + deep(5_000)),
    "YAML blocks in blocks": ("application/yaml", "\n".join(" " * n + "a:" for n in range(2_000))),
    "a billion laughs": (
        "application/yaml",
        "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        + "\n".join(f"a{n}: &a{n} [" + ",".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 10)),
    ),
    "YAML that contains itself": ("application/yaml", "a: &a [*a]"),
    "YAML merges of merges": (
        "application/yaml",
        "a0: &a0 {k: v}\n"
        + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)),
    ),
    "a number of many digits": ("application/json", '{"spec":{"priority":' + "9" * 100_000 + "}}"),
    "a number of a large exponent": ("application/json", '{"spec":{"priority":1e999999999}}'),
    "a quantity of a large exponent": (
        "application/json",
        '{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"1e999999999"}}}]}}',
    ),
    "many keys that are one": ("application/json", "{" + ",".join(['"a":1'] * 50_000) + "}"),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("how", ["create", *PATCHES])
def test_bombs_do_no_harm(fuzzed, bomb, how):
    content_type, text = BOMBS[bomb]
    if how == "create":
        code, _ = fuzzed.ask("POST", f"{NAMESPACED}/pods", "", text.encode(), content_type=content_type)
        assert code >= 400
    else:  # some are harmless as patches
        query = "dryRun=All&fieldManager=m" if how == "apply" else "dryRun=All"
        fuzzed.ask("PATCH", f"{NAMESPACED}/pods/p", query, text.encode(), content_type=PATCHES[how])


def test_copies_of_copies_do_not_grow_without_measure(fuzzed):
    operations = [{"op": "add", "path": "/metadata/annotations", "value": {"a": "x" * 1000}}]
    operations += [
        {"op": "copy", "from": "/metadata/annotations", "path": f"/metadata/annotations/{n}"}
        for n in range(40)
    ]
    code, _ = fuzzed.ask(
        "PATCH", f"{NAMESPACED}/pods/p", "", orjson.dumps(operations), content_type=PATCHES["json"]
    )
    assert code == 422


def test_many_operations_take_little_time(fuzzed):
    operations = [{"op": "add", "path": f"/metadata/annotations/a{n}", "value": "x"} for n in range(9_999)]
    operations.insert(0, {"op": "add", "path": "/metadata/annotations", "value": {}})
    fuzzed.ask(
        "PATCH", f"{NAMESPACED}/pods/p", "dryRun=All", orjson.dumps(operations), content_type=PATCHES["json"]
    )
