"""What a custom object goes through: shape, defaults, validation, rules, columns; as its definition's schema says."""

from __future__ import annotations

import pytest

from pilothouse.api.crd.kinds import CustomKind, rows
from pilothouse.api.crd.shaping import BadMetadata
from pilothouse.api.fielderrors import shown


def kind_of(spec: dict, **version) -> CustomKind:
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    served = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    conditions = [{"type": type_, "status": "True"} for type_ in ("NamesAccepted", "Established")]
    (kind,) = rows(
        {
            "metadata": {"name": "things.example.com", "uid": "1", "generation": 1},
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": names,
                "versions": [served],
                "conversion": {"strategy": "None"},
            },
            "status": {"conditions": conditions, "acceptedNames": names, "storedVersions": ["v1"]},
        }
    )
    return kind


def thing(spec, **metadata) -> dict:
    meta = {
        "name": "a",
        "namespace": "n",
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": "2020-01-01T00:00:00Z",
    }
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {**meta, **metadata}, "spec": spec}


def problems(spec: dict, value) -> list[str]:
    return [f"{c.field}: {c.message}" for c in kind_of(spec).created(thing(value))]


def obj(**properties) -> dict:
    return {"type": "object", "properties": properties}


def test_unknown_fields_are_dropped_and_named_for_strict_decoding():
    kind = kind_of(
        obj(a={"type": "string"}, free={"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    )
    given = thing({"a": "x", "b": 1, "free": {"c": 2}}, extra=1)
    assert kind.incoming(given) == ['unknown field "metadata.extra"', 'unknown field "spec.b"']
    assert given["spec"] == {"a": "x", "free": {"c": 2}}


def test_defaults_come_before_pruning_and_nulls_go_where_nothing_allows_them():
    kind = kind_of(
        obj(
            n={"type": "integer", "default": 3},
            deep={**obj(x={"type": "string", "default": "y"}), "default": {}},
            null={"type": "string", "nullable": True},
            gone={"type": "string"},
        )
    )
    given = thing({"null": None, "gone": None})
    kind.incoming(given)
    assert given["spec"] == {"n": 3, "deep": {"x": "y"}, "null": None}


def test_metadata_is_what_it_is_everywhere():
    with pytest.raises(BadMetadata, match="cannot unmarshal"):
        kind_of(obj()).incoming(thing({}, labels={"a": 1}))


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        (
            {"type": "string"},
            1,
            'spec: Invalid value: "integer": spec in body must be of type string: "integer"',
        ),
        (
            {"type": "integer", "maximum": 3},
            4,
            "spec: Invalid value: 4: spec in body should be less than or equal to 3",
        ),
        (
            {"type": "string", "pattern": "^a"},
            "b",
            "spec: Invalid value: \"b\": spec in body should match '^a'",
        ),
        (
            {"type": "string", "enum": ["x", "y"]},
            "z",
            'spec: Unsupported value: "z": supported values: "x", "y"',
        ),
        ({**obj(a={"type": "string"}), "required": ["a"]}, {}, "spec.a: Required value"),
        (
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            ["a", "a"],
            'spec[1]: Duplicate value: "a"',
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {**obj(k={"type": "string"}), "required": ["k"]},
            },
            [{"k": "a"}, {"k": "a"}],
            'spec[1]: Duplicate value: {"k":"a"}',
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {"x-kubernetes-preserve-unknown-fields": True},
            },
            ["a"],
            'spec[0]: Invalid value: "a": must be an object for an array of list-type map',
        ),
        (
            {"x-kubernetes-int-or-string": True},
            1.5,
            'spec: Invalid value: "number": spec in body must be of type integer,string: "number"',
        ),
        (
            {"type": "string", "format": "ipv4"},
            "1.2.3",
            'spec: Invalid value: "1.2.3": spec in body must be of type ipv4: "1.2.3"',
        ),
    ],
)
def test_values_that_the_schema_forbids(schema, value, found):
    assert problems(schema, value) == [found]


FORMATS = [
    ("hostname", ["a", "a.bc", "ü.com", "1a"], ["a.b", "a.b.", "-a", "1.2", "a_b"]),
    ("date-time", ["2024-02-29T00:00:00Z", "2024-02-29t23:59:59.1+02:00"], ["2024-02-29T00:00:00", "2024-02-29T00:00:60Z", "2024-02-29T00:00:00+0200"]),
    ("duration", ["1h30m", "1 day", "1w2d", "P1D"], ["1", "x"]),
    ("mac", ["01:02:03:04:05:06", "0102.0304.0506", "01-02-03-04-05-06-07-08"], ["01:02:03:04:05", "01:02-03:04:05:06"]),
    ("ipv6", ["::1"], ["fe80::1%eth0", "1.2.3.4"]),
    ("ssn", ["123-45-6789"], ["123456789"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "good", "bad"), FORMATS)
def test_formats_of_strings(name, good, bad):
    schema = {"type": "string", "format": name}
    assert [value for value in good if problems(schema, value)] == []
    assert [value for value in bad if not problems(schema, value)] == []


@pytest.mark.parametrize(
    ("value", "text"), [(1e6, "1e+06"), (123456.5, "123456.5"), (1e-5, "1e-05"), (2.0, "2"), (-0.25, "-0.25")]
)
def test_numbers_are_shown_as_go_does(value, text):
    assert shown(value) == text


def test_exactly_one_of_several_must_hold():
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    schema |= {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert problems(schema, {"a": "x"}) == []
    assert problems(schema, {"a": "x", "b": "y"}) == [
        '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives'
    ]


RULES = [
    {
        "rule": "self.min <= self.max",
        "messageExpression": "'at most ' + string(self.max)",
        "fieldPath": ".min",
    },
    {"rule": "self.max >= oldSelf.max", "message": "may only grow", "reason": "FieldValueForbidden"},
]
RANGE = {**obj(min={"type": "integer"}, max={"type": "integer"}), "x-kubernetes-validations": RULES}


def test_rules_refuse_in_their_own_words():
    assert problems(RANGE, {"min": 3, "max": 2}) == ["spec.min: Invalid value: at most 2"]


def test_rules_with_oldself_hold_between_old_and_new_only():
    kind = kind_of(RANGE)
    assert kind.created(thing({"min": 1, "max": 5})) == []
    old, new = thing({"min": 1, "max": 5}), thing({"min": 1, "max": 4})
    assert [f"{c.field}: {c.message}" for c in kind.updated(new, old, "")] == [
        "spec: Forbidden: may only grow"
    ]


def test_what_was_wrong_before_is_a_warning():
    kind = kind_of(RANGE)
    wrong = {"min": 3, "max": 2}
    warnings: list[str] = []
    assert kind.updated(thing(wrong, labels={"a": "b"}), thing(wrong), "", warnings) == []
    assert warnings == ["spec.min: Invalid value: at most 2"]


def test_rules_wait_until_the_value_has_its_types():
    schema = obj(range=RANGE, name={"type": "string"})
    found = problems(schema, {"name": 1, "range": {"min": 3, "max": 2}})
    assert found[-1].endswith(
        "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
    )


def test_columns_show_what_their_paths_find():
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    ]
    kind = kind_of(obj(size={"type": "integer"}), additionalPrinterColumns=columns)
    shown = {**thing({"size": 3}), "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert [column["name"] for column in kind.columns] == ["Name", "Size", "Since", "Ready"]
    assert kind.cells(shown, 1577836800 + 7200) == ["a", 3, "120m", "True"]


def test_a_deprecated_version_says_which_is_better():
    kind = kind_of(obj(), deprecated=True)
    assert kind.deprecation == "example.com/v1 Thing is deprecated"
    assert kind_of(obj(), deprecated=True, deprecationWarning="use Others").deprecation == "use Others"
