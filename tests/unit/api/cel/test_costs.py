"""What expressions cost, when they run and at most: figures that the real server gave (1.36.2)."""

from __future__ import annotations

import pytest

from pilothouse.api.cel.runtime import Budget
from pilothouse.api.crd.cel import compile_rules, declare
from pilothouse.api.crd.schema import Node

TEXT = {"type": "string", "maxLength": 9}
SCHEMA = {
    "type": "object",
    "properties": {
        "min": {"type": "integer"},
        "name": {"type": "string", "maxLength": 30},
        "tags": {"type": "array", "maxItems": 10, "items": TEXT},
        "m": {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "integer"}},
        "sub": {"type": "object", "properties": {"x": {"type": "string", "maxLength": 8}}},
    },
}
SELF = {
    "min": 3,
    "name": "a longer name than ten",
    "tags": ["a", "bb", "a", "ccc"],
    "m": {"k": 1, "l": 2},
    "sub": {"x": "y"},
}


@pytest.mark.parametrize(
    ("text", "spent", "most"),
    [
        ('self.min > 1 && has(self.sub.x) && !has(self.sub)', 7, 7),
        ("self.tags[1] == 'bb' || self.m['k'] == 2", 4, 7),
        ('(has(self.sub) ? self.sub : self.sub).x == self.tags[self.min - 2]', 10, 10),
        ("self.name in ['a', 'b'] || self.min in [1, self.min]", 18, 30),
        ("duration('1h') == duration('60m') && int('3') == self.min", 4, 6),
        ("self.name.contains('longer') && self.name.matches('^a.*n$') && matches(self.name, 'x|a')", 16, 45),
        ("self.name + self.sub.x < self.name.lowerAscii() + '!'", 19, 61),
        ('self.tags.all(t, t.size() < 9)', 27, 63),
        ("self.tags.exists(t, t == 'zz')", 27, 63),
        ("self.tags.exists_one(t, t == 'bb')", 14, 44),
        ("self.tags.map(t, t != 'a', t + '.').join(',') == 'bb.,ccc.'", 42, 1844674407370955468),
        ('self.tags.filter(t, t in self.tags).size() == 4', 85, 275),
        ('self.m.all(k, v, v > 0) && self.m.transformMap(k, v, v * 2).size() == 2', 28, 78),
        ("self.tags.distinct().sort().reverse().slice(0, 1) == ['ccc']", 102, 31258),
        ("self.tags.sortBy(t, -t.size())[0] == 'ccc'", 111, 387),
        ("sets.contains(self.tags, ['a']) && self.tags.indexOf('a') == 0", 10, 76),
        ("self.?sub.?x.orValue('') == 'y' && self.?sub.optMap(s, s.x + s.x).hasValue()", 17, 27),
        ("[self.min, 2].map(n, {'n': n}).size() == 2", 101, 111),
        ("'%d of %s'.format([self.min, self.name]) != '' && self.name.replace('a', 'bb').split(' ').size() == 5", 29, 91),
        ("quantity('1Gi').compareTo(quantity('1G')) == 1 && quantity('1') == quantity('1')", 7, 7),
        ("cidr('10.0.0.0/8').containsIP(ip('10.1.2.3')) && cidr('10.0.0.0/8').containsCIDR('10.0.0.0/9')", 8, 15),
        ("url('https://example.com/a').getHost() == 'example.com' && isURL(self.name) == false", 10, 10),
        ("format.dns1123Label().validate(self.name).hasValue() && isSemver('1.2.3')", 29, 389),
        ('self.tags.map(t, 10 / (t.size() - 2)).size() == 4 || true', 69, 175),
        ('lists.range(5).map(i, lists.range(i).map(j, i * j).sum()).max() == 24', 318, 18446744073709551615),
    ],
)  # fmt: skip
def test_an_expression_costs_what_it_does_in_kubernetes(text, spent, most):
    (rule,) = compile_rules(
        declare(Node({**SCHEMA, "x-kubernetes-validations": [{"rule": text}]}), False), with_cost=True
    )
    budget = Budget()
    rule.program.evaluate({"self": SELF}, budget)
    assert (budget.spent, rule.cost) == (spent, most)
