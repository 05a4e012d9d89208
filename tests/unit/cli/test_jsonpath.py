"""kubectl's JSONPath."""

import pytest

from pilothouse.cli.errors import Failure
from pilothouse.cli.jsonpath import go_text, relaxed, render
from pilothouse.cli.printing import GET_FORMATS, Printer

PODS = {
    "items": [
        {"metadata": {"name": "a", "labels": {"app": "x", "a.b/c": "dotted"}}, "spec": {"n": 2, "on": True}},
        {"metadata": {"name": "b"}, "spec": {"n": 1, "list": [1, 2, 3]}},
    ]
}


@pytest.mark.parametrize(
    "template, text",
    [
        ("{.items[*].metadata.name}", "a b"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.spec.n}{"\\n"}{end}', "a\t2\nb\t1\n"),
        ('{.items[?(@.metadata.name=="b")].spec.n}', "1"),
        ("{.items[?(@.spec.n>1)].metadata.name}", "a"),
        ("{.items[?(@.spec.list)].metadata.name}", "b"),
        ("{.items[0].metadata.labels.a\\.b/c}", "dotted"),
        ("{.items[0].metadata.labels['app']}", "x"),
        ("{.items[-1].spec.list[0:2]}", "1 2"),
        ("{.items[1].spec.list}", "[1,2,3]"),
        ("{.items[0].metadata.labels}", '{"a.b/c":"dotted","app":"x"}'),
        ("{.items[0].spec.on} {.items[0].nope}|", "true |"),
        ("{.items[0,1].metadata.name}", "a b"),
        ("{..n}", "2 1"),
        ("{$.items[0].metadata.name}", "a"),
        ("plain", "plain"),
        ("{range .items[*]}{$.metadata.name}{.spec.n}", "a2b1"),
        ("{range .nope[*]}{.a}{end}x", "x"),
        ("{.items[*].metadata['name','labels']}", 'a b {"a.b/c":"dotted","app":"x"}'),
        ("{.items[0].metadata.labels['a.b/c']}", ""),
        ('{1} {true} {"\\u00e9"}', "1 true é"),
    ],
)
def test_templates(template, text):
    assert render(template, PODS) == text


@pytest.mark.parametrize(
    "template, message",
    [
        ("{.items", "error parsing jsonpath {.items, unclosed action"),
        ("{end}", "not in range, nothing to end"),
        ('{.items["a"]}', 'error parsing jsonpath {.items["a"]}, invalid array index "a"'),
        ('{.items[?(@.a=="b" && @.c)]}', "unrecognized character in action: U+0026 '&'"),
        ("{.items[0:5]}", "array index out of bounds: index 4, length 2"),
        ("{.items[::-1]}", "step must be > 0"),
        ("{.items[1:0]}", "starting index 1 is greater than ending index 0"),
        ("{.items[?(@.spec.list[*]==1)]}", "can only compare one element at a time"),
        ("{.items[?(@.metadata.name==1)]}", "incompatible types for comparison"),
        ("{.items[0].metadata[0]}", "map[string]interface {} is not array or slice"),
        ("{foo}", "unrecognized identifier foo"),
        ("{....a}", "invalid multiple recursive descent"),
        ("{.items[9].x}", "array index out of bounds: index 9, length 2"),
    ],
)
def test_what_is_wrong_is_said(template, message):
    with pytest.raises(Failure, match="jsonpath") as caught:
        render(template, PODS)
    assert message in caught.value.message


@pytest.mark.parametrize("text", ["metadata.name", ".metadata.name", "{metadata.name}", "{.metadata.name}"])
def test_columns_and_sorting_take_paths_without_braces(text):
    assert relaxed(text).find(PODS["items"][0]) == [["a"]]


def test_custom_columns_show_absent_values_and_maps_as_go_does():
    spec = "custom-columns=NAME:.metadata.name,NOPE:.nope,LABELS:.metadata.labels"
    shown = Printer(spec, formats=GET_FORMATS).show({"kind": "List", "items": PODS["items"]})
    assert shown.splitlines() == [
        "NAME   NOPE     LABELS",
        "a      <none>   map[a.b/c:dotted app:x]",
        "b      <none>   <none>",
    ]
    with pytest.raises(Failure, match="expected <header>:<json-path-expr>"):
        Printer("custom-columns=NAME", formats=GET_FORMATS).show({})


def test_values_as_go_prints_them():
    assert go_text([True, None, {"b": 1, "a": "x"}, 1.5]) == "[true <nil> map[a:x b:1] 1.5]"
