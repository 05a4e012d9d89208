"""OpenAPI documents: against Kubernetes' own where it is at hand, and what clients look for in them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.api.kinds import CUSTOM_VERBS, KINDS, Kind, Subresource
from pilothouse.api.object import Object
from pilothouse.api.openapi import Documents, v2_document, v3_document, v3_index, v3_paths
from pilothouse.api.openapi_descriptions import describe

SHARED = Path(__file__).resolve().parents[4] / "shared"

CRATE = Kind(
    group="x.example.com",
    version="v1",
    kind="Crate",
    plural="crates",
    singular="crate",
    verbs=CUSTOM_VERBS,
    subresources=(
        Subresource("status", "Crate", ("get", "patch", "update")),
        Subresource("scale", "Scale", ("get", "patch", "update"), "autoscaling", "v1"),
    ),
    storage_group="x.example.com",
    storage_version="v1",
    list_kind="CrateList",
    custom=True,
)


@pytest.fixture(scope="module")
def v2() -> Object:
    return v2_document(KINDS)


@pytest.fixture(scope="module")
def core() -> Object:
    document = v3_document(KINDS, "api/v1")
    assert document is not None
    return document


@pytest.fixture(scope="module")
def real() -> Object:
    path = SHARED / "spec/openapi-v2-1.36.json"
    if not path.exists():
        pytest.skip("no copy of Kubernetes' OpenAPI document beside the repository")
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@pytest.mark.golden
def test_paths_and_operations_are_those_of_kubernetes(v2: Object, real: Object) -> None:
    compared = 0
    for path, item in v2["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            wanted = real["paths"][path][method]
            for key in ("operationId", "tags", "x-kubernetes-action", "x-kubernetes-group-version-kind"):
                assert operation.get(key) == wanted.get(key), (path, method)
            answers = {code: answer.get("schema") for code, answer in wanted["responses"].items()}
            assert {c: answer.get("schema") for c, answer in operation["responses"].items()} == answers
            compared += 1
    assert compared > 800


@pytest.mark.golden
def test_definitions_are_those_of_kubernetes(v2: Object, real: Object) -> None:
    assert len(v2["definitions"]) > 500
    for name, schema in v2["definitions"].items():
        wanted = real["definitions"][name]
        assert sorted(schema.get("required", [])) == sorted(wanted.get("required", []))
        assert schema.get("type") == wanted.get("type")
        assert schema.get("properties", {}).keys() == wanted.get("properties", {}).keys()
        for field, found in schema.get("properties", {}).items():
            expected = wanted["properties"][field]
            ours = {key: value for key, value in found.items() if key not in ("description", "enum")}
            if "items" in ours:
                ours["items"] = {key: value for key, value in ours["items"].items() if key != "enum"}
            assert ours == {key: value for key, value in expected.items() if key != "description"}


def test_every_reference_leads_somewhere(v2: Object) -> None:
    assert {reference.rpartition("/")[2] for reference in references(v2)} <= v2["definitions"].keys()
    for path in v3_paths(KINDS):
        document = v3_document(KINDS, path)
        assert document is not None
        found = {reference.rpartition("/")[2] for reference in references(document)}
        assert found <= document["components"]["schemas"].keys()


def test_operations_have_names_of_their_own(v2: Object) -> None:
    names = [
        operation["operationId"]
        for item in v2["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(names) == len(set(names))


def test_the_index_leads_to_documents_and_changes_with_their_kinds() -> None:
    index = v3_index(KINDS)["paths"]
    assert {"api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version"} <= index.keys()
    url = index["apis/apps/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/apps/v1?hash=")
    again = v3_index([*KINDS, CRATE], lambda kind: {"type": "object"})["paths"]
    assert again["apis/apps/v1"]["serverRelativeURL"] == url
    assert "apis/x.example.com" not in again
    changed = v3_index([*KINDS, CRATE], lambda kind: {"type": "object", "description": "x"})["paths"]
    assert again["apis/x.example.com/v1"] != changed["apis/x.example.com/v1"]
    assert v3_document(KINDS, "apis/none/v1") is None


def test_kubectl_learns_that_fields_are_validated_and_patches_merge(core: Object) -> None:
    patch = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert {"fieldValidation", "dryRun"} <= {parameter["name"] for parameter in patch["parameters"]}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "kind": "Pod", "version": "v1"}
    containers = core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["items"]["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}]


def test_enumerated_fields_list_their_values(core: Object) -> None:
    spec = core["components"]["schemas"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]
    assert spec["type"]["enum"] == ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]


@pytest.mark.skipif(importlib.util.find_spec("lightkube") is None, reason="lightkube-models is absent")
def test_descriptions_are_read_on_demand(core: Object) -> None:
    text, fields = describe("core.v1.Pod")
    assert text and fields["spec"]
    assert core["components"]["schemas"]["io.k8s.api.core.v1.Pod"]["description"] == text
    _, schema = describe("apiextensions.v1.JSONSchemaProps")
    assert "x-kubernetes-int-or-string" in schema and "not" in schema
    assert describe("core.v1.Nope") == ("", {})


def test_custom_kinds_have_a_document_like_any() -> None:
    schema = {
        "type": "object",
        "description": "A crate.",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "port": {"x-kubernetes-int-or-string": True},
                    "object": {"type": "object", "x-kubernetes-embedded-resource": True},
                },
            }
        },
    }
    document = v3_document([*KINDS, CRATE], "apis/x.example.com/v1", lambda kind: schema)
    assert document is not None
    assert document["info"] == {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}
    crate = document["components"]["schemas"]["com.example.x.v1.Crate"]
    assert crate["description"] == "A crate."
    assert crate["properties"]["metadata"]["allOf"]
    spec = crate["properties"]["spec"]["properties"]
    assert spec["port"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert spec["object"]["required"] == ["kind", "apiVersion"]
    crates = document["paths"]["/apis/x.example.com/v1/namespaces/{namespace}/crates"]
    assert crates["get"]["operationId"] == "listXExampleComV1NamespacedCrate"
    item = document["paths"]["/apis/x.example.com/v1/namespaces/{namespace}/crates/{name}"]
    assert "application/strategic-merge-patch+json" not in item["patch"]["requestBody"]["content"]
    scale = document["paths"]["/apis/x.example.com/v1/namespaces/{namespace}/crates/{name}/scale"]
    assert scale["get"]["x-kubernetes-group-version-kind"]["kind"] == "Crate"
    found = {reference.rpartition("/")[2] for reference in references(document)}
    assert found <= document["components"]["schemas"].keys()


def test_in_v2_a_custom_kind_says_only_what_old_readers_understand() -> None:
    def published(schema: Object) -> Object:
        crate = v2_document([*KINDS, CRATE], lambda kind: schema)["definitions"]["com.example.x.v1.Crate"]
        return {name: value for name, value in crate.items() if name != "x-kubernetes-group-version-kind"}

    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    fields = {"properties": {"a": {"type": "string", "default": "b", "anyOf": [{"minLength": 1}]}}}
    assert published({**free, **fields}) == {"type": "object"}
    spec = {
        "type": "object",
        "required": ["a", "none"],
        "properties": {
            **fields["properties"],
            "free": {**free, **fields, "x-kubernetes-embedded-resource": True},
            "list": {"type": "array"},
            "none": {"type": "object", "nullable": True, **fields},
        },
    }
    assert published({"type": "object", "properties": {"spec": spec}})["properties"]["spec"] == {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "string"},
            "free": {
                "x-kubernetes-preserve-unknown-fields": True,
                "x-kubernetes-embedded-resource": True,
            },
            "list": {},
            "none": {},
        },
    }


def test_documents_are_kept_until_the_kinds_change() -> None:
    documents = Documents(KINDS)
    core = documents.v3("api/v1")
    assert core is documents.v3("/api/v1/") and core is not None
    assert documents.v3("apis/x.example.com/v1") is None
    index, everything = documents.v3_index(), documents.v2()
    documents.update([*KINDS, CRATE], lambda kind: None)
    assert documents.v3("api/v1") is core
    assert documents.v3("apis/x.example.com/v1") is not None
    assert documents.v3_index() != index and documents.v2() != everything


def parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, bytes) of a protobuf message that has nothing but strings and messages that matter."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while position < len(data):
        key = varint()
        if key & 7 == 0:
            varint()
            continue
        length = varint()
        yield key >> 3, data[position : position + length]
        position += length


def test_the_v2_document_comes_as_protobuf_too(v2: Object) -> None:
    documents = Documents(KINDS)
    data, content_type = documents.v2_as("application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert content_type.endswith("protobuf")
    document = dict(parts(data))
    assert document[1] == b"2.0"
    definitions = {dict(parts(named))[1].decode(): dict(parts(named))[2] for _, named in parts(document[9])}
    assert definitions.keys() == v2["definitions"].keys()
    paths = [dict(parts(named))[1].decode() for _, named in parts(document[8])]
    assert paths == list(v2["paths"])
    pod = dict(parts(definitions["io.k8s.api.core.v1.Pod"]))
    members = {dict(parts(named))[1].decode(): dict(parts(named))[2] for _, named in parts(pod[25])}
    assert dict(parts(members["spec"]))[1] == b"#/definitions/io.k8s.api.core.v1.PodSpec"
    extension = dict(parts(pod[31]))
    assert extension[1] == b"x-kubernetes-group-version-kind"
    assert json.loads(dict(parts(extension[2]))[2]) == [{"group": "", "kind": "Pod", "version": "v1"}]
    assert documents.v2_as("application/json")[1] == "application/json"
