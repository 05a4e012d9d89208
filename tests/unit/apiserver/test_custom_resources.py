"""Custom resources at run time: kinds that come and go with their definitions, versions, conversion, the end."""

from __future__ import annotations

import asyncio

import orjson

from pilothouse.apiserver.request import Request, Response

from .hooks import ask

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GATES = "/apis/example.com/v1/namespaces/default/gates"
GATES_V2 = GATES.replace("/v1/", "/v2/")


def version(name: str, spec: dict, **changes) -> dict:
    schema = {"type": "object", "properties": {"spec": {"type": "object", **spec}}}
    return {
        "name": name,
        "served": True,
        "storage": name == "v2",
        "schema": {"openAPIV3Schema": schema},
        **changes,
    }


V1 = version("v1", {"properties": {"where": {"type": "string"}}})
V2 = version("v2", {"properties": {"host": {"type": "string"}, "port": {"type": "integer", "default": 80}}})


async def define(server, *versions: dict, **spec) -> None:
    names = {"plural": "gates", "singular": "gate", "kind": "Gate", "shortNames": ["gt"]}
    body = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": list(versions), **spec}
    status, answer, _ = await ask(
        server, "POST", CRDS, {"metadata": {"name": "gates.example.com"}, "spec": body}
    )
    assert status == 201, answer
    await until(lambda: server.custom.of_resource("gates.example.com") is not None)


async def until(holds) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


def gate(version: str, **spec) -> dict:
    return {"apiVersion": f"example.com/{version}", "kind": "Gate", "metadata": {"name": "g"}, "spec": spec}


async def test_a_definition_is_served_at_once_and_gone_with_its_instances(server):
    assert (await ask(server, "GET", GATES_V2))[0] == 404
    await define(server, V2)
    assert (await ask(server, "POST", GATES_V2, gate("v2", host="h", extra=1)))[1]["spec"] == {
        "host": "h",
        "port": 80,
    }
    found = (await ask(server, "GET", "/apis/example.com/v2"))[1]["resources"]
    assert [(r["name"], r["shortNames"]) for r in found] == [("gates", ["gt"])]
    assert "com.example.v2.Gate" in (await ask(server, "GET", "/openapi/v2"))[1]["definitions"]
    assert (await ask(server, "DELETE", f"{CRDS}/gates.example.com"))[0] == 200
    await until(lambda: not server.custom.kinds[-1].custom)
    assert (await ask(server, "GET", GATES_V2))[0] == 404
    assert server.cache.entries("/registry/example.com/gates/") == []


async def test_an_instance_with_a_finalizer_holds_its_definition(server):
    await define(server, V2)
    body = gate("v2")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await ask(server, "POST", GATES_V2, body)
    await ask(server, "DELETE", f"{CRDS}/gates.example.com")
    status, refused, _ = await ask(server, "POST", GATES_V2, gate("v2") | {"metadata": {"name": "other"}})
    assert status in (403, 405), refused
    assert (await ask(server, "GET", f"{CRDS}/gates.example.com"))[0] == 200
    await ask(server, "PATCH", f"{GATES_V2}/g", {"metadata": {"finalizers": None}})
    await until(lambda: not server.custom.kinds[-1].custom)


async def test_names_that_another_definition_has_are_not_accepted(server):
    await define(server, V2)
    names = {"plural": "doors", "singular": "door", "kind": "Gate", "listKind": "DoorList"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [V2]}
    await ask(server, "POST", CRDS, {"metadata": {"name": "doors.example.com"}, "spec": spec})
    conditions = {}
    async with asyncio.timeout(10):
        while not conditions:
            status = (await ask(server, "GET", f"{CRDS}/doors.example.com"))[1]["status"]
            conditions = {c["type"]: c for c in status.get("conditions") or ()}
            await asyncio.sleep(0.005)
    assert conditions["NamesAccepted"]["reason"] == "KindConflict"
    assert conditions["Established"]["status"] == "False"


def converting(path: str, review: dict) -> dict:
    request = review["request"]
    done = []
    for obj in request["objects"]:
        spec = dict(obj.get("spec") or {})
        if request["desiredAPIVersion"] == "example.com/v1":
            spec = {"where": f"{spec.get('host')}:{spec.get('port')}"}
        else:
            host, _, port = spec["where"].partition(":")
            spec = {"host": host, "port": int(port)}
        done.append({**obj, "apiVersion": request["desiredAPIVersion"], "spec": spec})
    response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": done}
    return {"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response}


async def define_converted(server, hooks) -> None:
    webhook = {"clientConfig": hooks.config("convert"), "conversionReviewVersions": ["v1"]}
    await define(server, V1, V2, conversion={"strategy": "Webhook", "webhook": webhook})


async def test_a_webhook_converts_what_is_written_and_read(server, hooks):
    hooks.answer = converting
    await define_converted(server, hooks)
    status, made, _ = await ask(server, "POST", GATES, gate("v1", where="a:1"))
    assert (status, made["apiVersion"], made["spec"]) == (201, "example.com/v1", {"where": "a:1"})
    assert (await ask(server, "GET", f"{GATES_V2}/g"))[1]["spec"] == {"host": "a", "port": 1}
    assert (await ask(server, "PATCH", f"{GATES}/g", {"spec": {"where": "b:2"}}))[1]["spec"] == {
        "where": "b:2"
    }
    await ask(server, "PATCH", f"{GATES_V2}/g", {"spec": {"port": 3}})
    assert (await ask(server, "GET", f"{GATES}/g"))[1]["spec"] == {"where": "b:3"}
    assert (await ask(server, "DELETE", f"{GATES}/g"))[0] == 200


async def test_a_list_is_converted_in_one_go(server, hooks):
    hooks.answer = converting
    await define_converted(server, hooks)
    for i in range(9):
        body = gate("v2", host="h", port=i) | {"metadata": {"name": f"g{i}"}}
        assert (await ask(server, "POST", GATES_V2, body))[0] == 201
    items = (await ask(server, "GET", GATES))[1]["items"]
    assert [item["spec"]["where"] for item in items] == [f"h:{i}" for i in range(9)]
    assert len(hooks.reviews) == 1


class Sink:
    def __init__(self):
        self.lines, self.finished = [], False

    def push(self, chunk):
        data = chunk.partition(b"\r\n")[2].removesuffix(b"\r\n")
        self.lines += [orjson.loads(line) for line in data.splitlines()]
        return True

    def finish(self):
        self.finished = True


async def watched(server, path: str) -> tuple[Sink, object]:
    request = Request("GET", path, "watch=true", {"authorization": "Bearer t"}, peer="127.0.0.1:9")
    answer = server.handle(request)
    answer = answer if isinstance(answer, Response) else await answer
    sink = Sink()
    answer.source.start(sink)
    return sink, answer.source


async def test_a_watch_is_converted(server, hooks):
    hooks.answer = converting
    await define_converted(server, hooks)
    await ask(server, "POST", GATES_V2, gate("v2", host="h", port=1))
    sink, source = await watched(server, GATES)
    await until(lambda: len(sink.lines) == 1)
    await ask(server, "PATCH", f"{GATES_V2}/g", {"spec": {"port": 2}})
    await until(lambda: len(sink.lines) == 2)
    source.stop()
    seen = [(line["type"], line["object"]["spec"]["where"]) for line in sink.lines]
    assert seen == [("ADDED", "h:1"), ("MODIFIED", "h:2")]


async def test_a_watch_ends_when_what_it_shows_changes_its_meaning(server):
    await define(server, V2)
    sink, source = await watched(server, GATES_V2)
    await ask(server, "PATCH", f"{CRDS}/gates.example.com", {"metadata": {"labels": {"a": "b"}}})
    await ask(server, "POST", GATES_V2, gate("v2"))
    await until(lambda: len(sink.lines) == 1)
    assert not sink.finished
    schema = version("v2", {"x-kubernetes-preserve-unknown-fields": True})
    await ask(server, "PATCH", f"{CRDS}/gates.example.com", {"spec": {"versions": [schema]}})
    await until(lambda: sink.finished)
    source.stop()
    sink, source = await watched(server, GATES_V2)
    await ask(server, "DELETE", f"{CRDS}/gates.example.com")
    await until(lambda: sink.finished)
    assert [line["type"] for line in sink.lines] == ["ADDED", "DELETED"]
    source.stop()


async def test_a_conversion_that_fails_is_an_error_and_nothing_is_written(server, hooks):
    def fails(path, review):
        result = {"status": "Failure", "message": "no idea"}
        response = {"uid": review["request"]["uid"], "result": result, "convertedObjects": []}
        return {"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response}

    hooks.answer = fails
    await define_converted(server, hooks)
    status, body, _ = await ask(server, "POST", GATES, gate("v1", where="a:1"))
    assert (status, body["message"]) == (
        500,
        "conversion webhook for example.com/v1, Kind=Gate failed: no idea",
    )
    assert (await ask(server, "GET", GATES_V2))[1]["items"] == []


async def test_odd_answers_of_a_conversion(server, hooks):
    await define_converted(server, hooks)
    changes: dict[str, dict] = {}

    def odd(path, review):
        answer = converting(path, review)
        for where, wanted in changes.items():
            target = {
                "object": answer["response"]["convertedObjects"][0],
                "response": answer["response"],
                "answer": answer,
            }[where]
            target.update(wanted)
        return answer

    hooks.answer = odd
    for change, expected in (
        (
            {"answer": {"kind": ""}},
            " failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, "
            "got apiextensions.k8s.io/v1, Kind=",
        ),
        ({"response": {"result": {}}}, " failed: response.result.status was '', not 'Success'"),
        ({"response": {"convertedObjects": []}}, " returned 0 objects, expected 1"),
        (
            {"object": {"apiVersion": "example.com/v3"}},
            " returned invalid object at index 0: "
            "invalid groupVersion (expected example.com/v2, received example.com/v3)",
        ),
        ({"object": {"metadata": {}}}, " returned invalid object: must have the same name: g != "),
    ):
        changes = change
        status, body, _ = await ask(server, "POST", GATES, gate("v1", where="a:1"), query="dryRun=All")
        told = body["message"].removeprefix("conversion webhook for example.com/v1, Kind=Gate")
        assert (status, told) == (500, expected)


async def test_what_cannot_be_converted_cannot_be_deleted(server, hooks):
    await define_converted(server, hooks)
    assert (await ask(server, "POST", GATES_V2, gate("v2", host="h", port=1)))[0] == 201
    hooks.answer = lambda path, review: {}
    assert (await ask(server, "DELETE", f"{GATES}/g"))[0] == 500
    assert (await ask(server, "DELETE", GATES))[0] == 500
    assert (await ask(server, "DELETE", f"{GATES_V2}/g"))[0] == 200


async def test_a_patch_leaves_the_kind_as_it_is(server):
    await define(server, {**V1, "storage": True})
    await ask(server, "POST", GATES, gate("v1", where="a"))
    for patch, expected in (
        (
            {"kind": "Other"},
            (422, 'Other.example.com "g" is invalid: kind: Invalid value: "Other": must be Gate'),
        ),
        (
            {"apiVersion": "v1"},
            (422, 'Gate "g" is invalid: apiVersion: Invalid value: "v1": must be example.com/v1'),
        ),
        (
            {"apiVersion": None},
            (
                500,
                "Internal error occurred: Object 'apiVersion' is missing in 'object has no apiVersion field'",
            ),
        ),
    ):
        status, body, _ = await ask(server, "PATCH", f"{GATES}/g", patch)
        assert (status, body["message"]) == expected
