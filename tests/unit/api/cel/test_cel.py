"""CEL as Kubernetes speaks it: values, what the compiler says, what the run says, and what an expression may cost."""

from __future__ import annotations

import pytest

from pilothouse.api import cel
from pilothouse.api.cel.types import DYN, INT, STRING, Field, Type, list_of, map_of
from pilothouse.api.cel.values import Optional

SELF = Type(
    "selfType",
    fields={
        "name": Field(STRING, "name"),
        "min": Field(INT, "min"),
        "x__dash__y": Field(INT, "x-y"),
        "tags": Field(list_of(STRING), "tags"),
        "labels": Field(map_of(STRING, STRING), "labels"),
    },
)
OBJECT = {"name": "abc", "min": 4, "x-y": 7, "tags": ["a", "b"], "labels": {"k": "v"}}
VARIABLES = {"self": SELF, "any": DYN}


def evaluate(text: str) -> object:
    return cel.compile(text, VARIABLES).evaluate({"self": OBJECT, "any": "text"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # operators and macros
        ("1 + 2 * 3 - 4 / 2 % 3", 5),
        ("self.min > 3 ? 'more' : 'less'", "more"),
        ("false && (1 / 0 > 1) || true", True),
        ("(1 / 0 > 1) || true", True),
        ("1 < 1.5 && 2u > 1 && 1 == 1", True),
        ("dyn(9223372036854775807) < 9223372036854775808.0", False),
        ("[1, 2, 3].map(x, x * 2).filter(y, y > 2)", [4, 6]),
        ("[1, 2, 3].exists_one(x, x > 2) && [1, 2].all(i, v, i < v)", True),
        ("{'a': 1, 'b': 2}.transformList(k, v, v > 1, k)", ["b"]),
        ("has(self.name) && !has(self.labels.missing)", True),
        ("self.x__dash__y", 7),
        ("'k' in self.labels && 'a' in self.tags && !(3 in [1, 2])", True),
        ("type(1) == int && type([1]) == list && type(type(1)) == type", True),
        # optionals
        ("self.labels[?'k'].orValue('none') + self.labels[?'z'].orValue('none')", "vnone"),
        ("optional.of(2).optMap(v, v + 1)", Optional(True, 3)),
        ("[1, ?optional.none(), 3]", [1, 3]),
        # strings and lists
        ("'Rook takes 👑'.size()", 12),
        ("'a,b,c'.split(',', 2).join('+')", "a+b,c"),
        (
            "'%d %s %f %e %x'.format([1, [1.5, 'q'], 1234.5, 3.14, 'hi'])",
            '1 [1.500000, "q"] 1,234.500000 3.140000×10⁰⁰ 6869',
        ),
        ("[3, 1, 2].sort().reverse().slice(0, 2)", [3, 2]),
        ("[[1, 2], [3]].flatten().sum()", 6),
        ("'x1y22'.findAll('[0-9]+')", ["1", "22"]),
        ("'abc'.matches('^a.c$') && !'abc'.matches('b{2}')", True),
        # times
        ("duration('90m').getHours()", 1),
        ("timestamp('2020-02-29T12:00:00+01:00').getHours()", 11),
        ("string(timestamp('2020-02-29T12:00:00+01:00') + duration('1h'))", "2020-02-29T13:00:00+01:00"),
        # Kubernetes' own
        (
            "quantity('1Gi').isGreaterThan(quantity('1000Mi')) && quantity('50k').add(20) == quantity('50.02k')",
            True,
        ),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3') && !isIP('10.1.2.300')", True),
        ("url('https://a.b:80/c d?x=1').getPort() + url('https://a.b/c d').getEscapedPath()", "80/c%20d"),
        ("semver('v1.2', true).compareTo(semver('1.10.0'))", -1),
        ("format.dns1123Label().validate('A_').hasValue()", True),
        ("sets.intersects([1, 2], [2]) && sets.contains([1, 2], [])", True),
    ],
)
def test_expressions_have_values(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("self.g == 'x'", "ERROR: <input>:1:5: undefined field 'g'\n | self.g == 'x'\n | ....^"),
        ("other", "ERROR: <input>:1:1: undeclared reference to 'other' (in container '')\n | other\n | ^"),
        (
            "nofunc(1)",
            "ERROR: <input>:1:7: undeclared reference to 'nofunc' (in container '')\n | nofunc(1)\n | ......^",
        ),
        (
            "self.min == 'a' && self.min.size() > 0",
            "ERROR: <input>:1:10: found no matching overload for '_==_' applied to '(int, string)'\n"
            " | self.min == 'a' && self.min.size() > 0\n | .........^\n"
            "ERROR: <input>:1:33: found no matching overload for 'size' applied to 'int.()'\n"
            " | self.min == 'a' && self.min.size() > 0\n | ................................^",
        ),
        ("(1 + 2", "ERROR: <input>:1:7: Syntax error: missing ')' at '<EOF>'\n | (1 + 2\n | ......^"),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "'a'.matches('x++')",
            "ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('x++')\n | ............^",
        ),
        ("'a'.find(')') == ''", "error parsing regexp: unexpected ): `)`"),
        (
            "duration('1 day')",
            "ERROR: <input>:1:10: invalid duration argument\n | duration('1 day')\n | .........^",
        ),
        (
            "'%d'.format(['a'])",
            "ERROR: <input>:1:14: error during formatting: decimal clause can only be used on integers, was given string\n",
        ),
        ("true && 1", "ERROR: <input>:1:9: expected type 'bool' but found 'int'\n"),
        ("int('a') == 1", "type conversion error from 'string' to 'int'"),
        ("'\\q' == 'a'", "ERROR: <input>:1:1: Syntax error: token recognition error at: ''\\q'\n"),
        ("[1, 2", "ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting {']', ','}\n"),
        ("1 = 1", "ERROR: <input>:1:3: Syntax error: token recognition error at: '= '\n"),
        ("has(self.?min)", "ERROR: <input>:1:9: invalid argument to has() macro\n"),
        (
            "1.map(x, x)",
            "ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
    ],
)
def test_the_compiler_says_where_and_what(text, message):
    with pytest.raises(cel.CompileError) as error:
        cel.compile(text, VARIABLES)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0 > 1", "division by zero"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("self.labels['z'] == ''", "no such key: z"),
        ("self.tags[5] == ''", "index out of bounds: 5"),
        ("any + 1 == 2", "no such overload"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s') == timestamp(0)", "timestamp overflow"),
        ("ip('1.2.3.4.5') == ip('::1')", "IPv4 address too long"),
    ],
)
def test_errors_of_the_run_are_cel_go_s(text, message):
    with pytest.raises(cel.CelError) as error:
        evaluate(text)
    assert message in str(error.value)


def test_a_run_that_costs_too_much_is_stopped():
    numbers = f"[{','.join(['1'] * 1000)}]"
    with pytest.raises(cel.CelError, match="actual cost limit exceeded"):
        evaluate(f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, a == b && b == c)))")


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("self.min > 1", 3),
        ("self.name == 'abc'", 3),
        ("self.tags.all(t, t.size() < 10)", 63),
        ("self.tags.exists(a, self.tags.exists(b, a != b))", 873),
    ],
)
def test_what_it_may_cost_follows_from_the_bounds(text, cost):
    sizes = {("self", "name"): 40, ("self", "tags"): 10, ("self", "tags", "@items"): 20}
    assert cel.compile(text, VARIABLES).cost(lambda path: sizes.get(path)) == cost
