"""Go templates over objects."""

import pytest

from pilothouse.cli.errors import Failure
from pilothouse.cli.gotemplate import execute

OBJ = {"data": {"k": "v", "l": "long"}, "items": [{"n": 1, "s": "a"}, {"n": 2}], "on": True, "b": "aGk="}


@pytest.mark.parametrize(
    "template, text",
    [
        ("{{.data.k}} {{.nope}}", "v <no value>"),
        ("{{range $k, $v := .data}}{{$k}}:{{len $v}} {{end}}", "k:1 l:4 "),
        ("{{range .items}}{{.n}}{{else}}none{{end}}", "12"),
        ("{{range .none}}x{{else}}none{{end}}", "none"),
        ("{{if and .on (eq .data.k `v`)}}yes{{else}}no{{end}}", "yes"),
        ("{{if .off}}a{{else if .on}}b{{else}}c{{end}}", "b"),
        ("{{with .data}}{{.k}}{{end}}", "v"),
        ("{{(index .items 1).n}}", "2"),
        ('{{index .data "l"}}', "long"),
        ("a {{- /* gone */ -}} b", "ab"),
        ("{{$x := 1}}{{range .items}}{{$x = .n}}{{end}}{{$x}}", "2"),
        ('{{printf "%-5s|%d|%q" .data.k 7 "q"}}', 'v    |7|"q"'),
        ("{{.b | base64decode}}", "hi"),
        ('{{define "t"}}<{{.}}>{{end}}{{template "t" .data.k}}', "<v>"),
        ("{{range .items}}{{if eq .n 2}}{{break}}{{end}}{{.n}}{{end}}", "1"),
        ("{{.items}}", "[map[n:1 s:a] map[n:2]]"),
        ('{{exists .data "k"}}{{not .on}}', "truefalse"),
    ],
)
def test_templates(template, text):
    assert execute(template, OBJ) == text


@pytest.mark.parametrize("template", ["{{.x", "{{if .x}}", "{{nope .x}}", "{{$y}}", "{{.data.k.deeper}}"])
def test_bad_templates_fail_with_their_text(template):
    with pytest.raises(Failure, match="template"):
        execute(template, OBJ)
