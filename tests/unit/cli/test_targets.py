"""Manifests, read as kubectl reads them."""

import io

import pytest

from pilothouse.cli.errors import Failure
from pilothouse.cli.targets import documents


def read(text, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return [obj for _, obj in documents(["-"])]


HEAD = "apiVersion: v1\nkind: ConfigMap\n"


@pytest.mark.parametrize(
    "text, data",
    [
        ("{a: y, b: 2024-01-01, c: 0x10}", {"a": True, "b": "2024-01-01", "c": 16}),
        ("{2: a, yes: b, n: c, 1.5: d}", {"2": "a", "true": "b", "false": "c", "1.5": "d"}),
    ],
)
def test_yaml_is_that_of_1_1_without_dates_and_keys_are_text(text, data, monkeypatch):
    assert read(f"{HEAD}data: {text}\n", monkeypatch)[0]["data"] == data


def test_json_objects_may_stand_one_after_the_other(monkeypatch):
    one = '{"apiVersion": "v1", "kind": "ConfigMap"}'
    assert len(read(one + "\n" + one, monkeypatch)) == 2


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "metadata: {name: 1}",
            "cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            "metadata: {labels: {a: true}}",
            "bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        ("metadata: x", "string into Go struct field metadataOnlyObject.metadata of type v1.ObjectMeta"),
        ("data: [", "error converting YAML to JSON: yaml: line 3: "),
    ],
)
def test_what_is_no_object_is_refused(text, message, monkeypatch):
    with pytest.raises(Failure) as caught:
        read(HEAD + text, monkeypatch)
    assert message in caught.value.message
