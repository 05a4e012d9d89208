"""RE2's syntax on Python's engine: what the two write differently, and what RE2 refuses."""

import pytest

from pilothouse.api import re2


@pytest.mark.parametrize(
    ("pattern", "matches", "does_not"),
    [
        ("^a$", ["a"], ["a\n", "b"]),
        (r"^\d+$", ["12"], ["١٢"]),  # ASCII only
        (r"\pL", ["ß"], ["1"]),
        (r"^[[:alpha:]-]+$", ["a-b"], ["1"]),
        (r"^\Qa.b\E$", ["a.b"], ["axb"]),
        (r"^(?i)abc|x$", ["ABC", "x"], ["y"]),
        (r"^(?P<n>a)(?<m>b)$", ["ab"], ["ba"]),
        (r"^\x41\x{1F451}\z", ["A👑"], ["A"]),
        ("^a{,2}$", ["a{,2}"], ["aa"]),  # no repetition to RE2
        (r"^\(*$", ["(("], [")"]),
        ("^a{2,3}?$", ["aa", "aaa"], ["a"]),
    ],
)
def test_patterns(pattern, matches, does_not):
    compiled = re2.compile(pattern)
    assert all(compiled.search(text) for text in matches)
    assert not any(compiled.search(text) for text in does_not)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (")", "unexpected ): `)`"),
        ("(a", "missing closing ): `(a`"),
        ("[a", "missing closing ]: `[a`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("x++", "invalid nested repetition operator: `++`"),
        ("x*?{2}", "invalid nested repetition operator: `*?{2}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
    ],
)
def test_what_re2_refuses(pattern, message):
    with pytest.raises(re2.PatternError) as error:
        re2.compile(pattern)
    assert str(error.value) == f"error parsing regexp: {message}"
