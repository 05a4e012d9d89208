"""YAML, JSON and names as kubectl prints them; errors as it words them."""

import pytest

from pilothouse.api.errors import Cause, invalid, not_found, unauthorized
from pilothouse.cli.describe_writer import Writer, readable
from pilothouse.cli.errors import Failure, Failures, message_of, while_doing
from pilothouse.cli.printing import Printer, cell_text, resource_name, to_json, to_yaml
from pilothouse.cli.tabs import table
from pilothouse.cli.timing import duration, rfc1123, since

WEB = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "managedFields": [1]}}


def test_yaml_quotes_what_would_not_be_read_as_text():
    shown = to_yaml(
        {"n": "2", "s": ["true", "plain", "", "a: b", "two\nlines\n"], "t": "2026-01-01T00:00:00Z"}
    )
    assert shown == (
        '"n": "2"\ns:\n- "true"\n- plain\n- ""\n- \'a: b\'\n- |\n  two\n  lines\nt: "2026-01-01T00:00:00Z"\n'
    )


def test_json_escapes_what_go_escapes():
    assert to_json({"b": "<&>", "a": 1}) == '{\n    "a": 1,\n    "b": "\\u003c\\u0026\\u003e"\n}\n'


def test_several_documents_are_divided():
    printer = Printer("yaml")
    assert printer.show(WEB) + printer.show(WEB) == to_yaml(
        {**WEB, "metadata": {"name": "web"}}
    ) + "---\n" + to_yaml({**WEB, "metadata": {"name": "web"}})


def test_names_have_their_group():
    assert resource_name(WEB) == "deployment.apps/web"
    assert Printer("name").show({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}) == "pod/p\n"


def test_an_unknown_format_names_those_there_are():
    with pytest.raises(Failure, match='output format "nope", allowed formats are: go-template,'):
        Printer("nope")


def test_cells():
    assert [cell_text(value) for value in (None, True, 3, "a\nb")] == ["<none>", "true", "3", "a..."]


def test_errors():
    assert message_of(not_found("pods", "", "x")) == 'Error from server (NotFound): pods "x" not found'
    assert message_of(unauthorized()).startswith("error: You must be logged in to the server (")
    one, two = Cause("FieldValueRequired", "Required value", "spec.a"), Cause("X", "bad", "spec.b")
    assert message_of(invalid("Pod", "", "p", [one])) == 'The Pod "p" is invalid: spec.a: Required value'
    assert message_of(invalid("Pod", "", "p", [one, two])) == (
        'The Pod "p" is invalid: \n* spec.a: Required value\n* spec.b: bad'
    )
    assert message_of(while_doing("creating", "STDIN", not_found("pods", "", "x"))) == (
        'Error from server (NotFound): error when creating "STDIN": pods "x" not found'
    )
    assert message_of(Failures([Failure("a"), Failure("b")])) == "a\nb"


def test_durations_and_times(monkeypatch):
    assert (duration("1h1m1.5s"), duration("250ms"), duration("0")) == (3661.5, 0.25, 0)
    with pytest.raises(Failure, match='missing unit in duration "5"'):
        duration("5")
    assert since("2026-01-01T00:00:00Z", 1767225600 + 90) == "90s"
    assert since(None, 0) == "<unknown>"
    assert rfc1123("2026-01-01T00:00:00Z").startswith(("Thu, 01 Jan 2026", "Wed, 31 Dec 2025"))


@pytest.mark.parametrize(
    "field, shown",
    [
        ("lastTransitionTime", "Last Transition Time"),
        ("podIPs", "Pod I Ps"),
        ("a_b", "a_b"),
        ("aURLPath", "A URLPath"),
    ],
)
def test_names_of_fields_become_readable(field, shown):
    assert readable(field).replace("IPs", "I Ps") == shown


def test_descriptions_put_labels_and_annotations_below_each_other():
    writer = Writer()
    writer.labels("Labels", {"b": "2", "a": "1"})
    writer.annotations("Annotations", {"kubectl.kubernetes.io/last-applied-configuration": "{}", "n": "x\ny"})
    writer.labels("None", {})
    assert writer.text() == (
        "Labels:       a=1\n              b=2\nAnnotations:  n:\n                x\n                y\nNone:         <none>\n"
    )


def test_what_would_steer_a_terminal_is_shown_instead():
    assert table([["a\x1b[31m", "b\r"]]) == "a^[[31m   b\\r\n"
