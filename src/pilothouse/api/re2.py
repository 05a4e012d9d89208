"""Go's regular expressions (RE2 syntax), as Python's.

Schemas and CEL expressions have patterns in RE2's syntax. What both syntaxes have is passed on; what differs in meaning (`$`, `\\z`, the
ASCII classes) or in writing (`[[:alpha:]]`, `\\pL`) is translated; what RE2 refuses (look-around, back-references) is refused, in Go's words.
"""

from __future__ import annotations

import functools
import re


class PatternError(ValueError):
    """`error parsing regexp: missing closing ): ...`"""


_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7F",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1F\\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_CLASSES = {"d": "0-9", "s": "\\t\\n\\f\\r ", "w": "0-9A-Za-z_"}
_LETTERS = "A-Za-z\\u00aa\\u00b5\\u00ba\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u02c1\\u0370-\\u03ff\\u0400-\\u1fff\\u2c00-\\udfff\\uf900-\\ufffd"
_UNICODE = {
    "L": _LETTERS,
    "N": "0-9\\u0660-\\u0669\\u06f0-\\u06f9",
    "Lu": "A-Z\\u00c0-\\u00de",
    "Ll": "a-z\\u00df-\\u00ff",
}
_UNICODE |= {
    "P": "!-#%-*,-/:;?@\\[-\\]_{}",
    "S": "$+<->^`|~",
    "Z": " \\u00a0\\u2000-\\u200a",
    "Nd": _UNICODE["N"],
}
_SIMPLE_ESCAPES = "abfnrtv.\\+*?()|[]{}^$-/ \"'`~!@#%&=_:;<>,"


@functools.lru_cache(maxsize=2048)
def compile(pattern: str) -> re.Pattern[str]:
    """Raises PatternError."""
    try:
        return re.compile(_Translator(pattern).run())
    except (re.error, OverflowError) as error:
        raise _error(error.msg if isinstance(error, re.error) else str(error), pattern) from None


def _error(what: str, at: str) -> PatternError:
    known = {
        "missing ), unterminated subpattern": "missing closing )",
        "unbalanced parenthesis": "unexpected )",
        "unterminated character set": "missing closing ]",
        "nothing to repeat": "missing argument to repetition operator",
        "multiple repeat": "invalid nested repetition operator",
        "bad escape (end of pattern)": "trailing backslash at end of expression",
    }
    return PatternError(f"error parsing regexp: {known.get(what, what)}: `{at}`")


_REPETITION = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\??")
_REPEATED_MAX = 1000


class _Translator:
    """`scopes`: for each open group, the flags switched on inside of it; each stands as a group of Python's until an alternative ends."""

    def __init__(self, text: str):
        self.text, self.at = text, 0
        self.out: list[str] = []
        self.scopes: list[list[str]] = [[]]
        self.repeated = (-1, -1)  # where the last repetition operator is
        self.atom = False  # there is something to repeat

    def run(self) -> str:
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            repetition = _REPETITION.match(text, self.at)
            if repetition:
                self._repeat(repetition)
                continue
            self.atom = char not in "(|"
            if char == "\\":
                self.out.append(self._escape(inside=False))
            elif char == "[":
                self.out.append(self._set())
            elif char == "(":
                self._group()
            elif char == ")":
                if len(self.scopes) == 1:
                    raise _error("unexpected )", text)
                self._put(")" * len(self.scopes.pop()) + ")")
            elif char == "|":
                flags = self.scopes[-1]
                self._put(")" * len(flags) + "|" + "".join(f"(?{flag}:" for flag in flags))
            elif char == "$":
                self._put("$" if any("m" in flag for scope in self.scopes for flag in scope) else "\\Z")
            elif char == "{":
                self._put("\\{")
            else:
                self._put(char)
        if len(self.scopes) > 1:
            raise _error("missing closing )", text)
        return "".join(self.out) + ")" * len(self.scopes[0])

    def _repeat(self, match: re.Match[str]) -> None:
        start, end = match.span()
        if not self.atom:
            raise _error("missing argument to repetition operator", match[0])
        if self.repeated[1] == start:
            raise _error("invalid nested repetition operator", self.text[self.repeated[0] : end])
        if any(int(count) > _REPEATED_MAX for count in re.findall(r"\d+", match[0])):
            raise _error("invalid repeat count", match[0])
        self.repeated = (start, end)
        self.out.append(match[0])
        self.at = end

    def _put(self, text: str) -> None:
        self.out.append(text)
        self.at += 1

    def _group(self) -> None:
        rest = self.text[self.at :]
        if not rest.startswith("(?"):
            self.scopes.append([])
            self._put("(")
            return
        if named := re.match(r"\(\?P?<([A-Za-z0-9_]+)>", rest):
            self.scopes.append([])
            self.out.append(f"(?P<{named[1]}>")
            self.at += named.end()
            return
        match = re.match(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])", rest)
        if not match:
            raise _error("invalid or unsupported Perl syntax", rest[:3])
        self.at += match.end()
        on, off = match[1].replace("U", ""), (match[2] or "").replace("U", "")
        flags = f"{on}-{off}" if off else on
        if match[3] == ":":
            self.scopes.append([])
            self.out.append(f"(?{flags}:")
        elif flags:  # from here on
            self.scopes[-1].append(flags)
            self.out.append(f"(?{flags}:")

    def _escape(self, *, inside: bool) -> str:
        text = self.text
        if self.at + 1 >= len(text):
            raise _error("trailing backslash at end of expression", "")
        char = text[self.at + 1]
        self.at += 2
        if char.lower() in _CLASSES:
            body = _CLASSES[char.lower()]
            if inside:
                return body if char.islower() else f"\\{char}"
            return f"[{'' if char.islower() else '^'}{body}]"
        if char in "pP":
            name = text[self.at : self.at + 1]
            if name == "{":
                end = text.find("}", self.at)
                name = text[self.at + 1 : end]
                self.at = end + 1
            else:
                self.at += 1
            negated = (char == "P") != name.startswith("^")
            body = _UNICODE.get(name.lstrip("^"), _LETTERS if name.lstrip("^").isalpha() else "")
            if not body:
                raise _error("invalid character class range", f"\\{char}{name}")
            return body if inside else f"[{'^' if negated else ''}{body}]"
        if char == "x":
            match = re.match(r"([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\}", text[self.at :])
            if not match:
                raise _error("invalid escape sequence", f"\\x{text[self.at : self.at + 1]}")
            self.at += match.end()
            return re.escape(chr(int(match[1] or match[2], 16)))
        if char == "z" and not inside:
            return "\\Z"
        if char in "AbB" and not inside:
            return f"\\{char}"
        if char == "Q" and not inside:
            end = text.find("\\E", self.at)
            quoted = text[self.at :] if end < 0 else text[self.at : end]
            self.at = len(text) if end < 0 else end + 2
            return re.escape(quoted)
        if char in "01234567" and char == "0":
            return "\\0"
        if char in _SIMPLE_ESCAPES:
            return f"\\{char}" if char in "abfnrtv" or not char.isalnum() else char
        raise _error("invalid escape sequence", f"\\{char}")

    def _set(self) -> str:
        text, start = self.text, self.at
        self.at += 1
        out = ["["]
        if text[self.at : self.at + 1] == "^":
            out.append("^")
            self.at += 1
        first = True
        while True:
            if self.at >= len(text):
                raise _error("missing closing ]", text[start:])
            char = text[self.at]
            if char == "]" and not first:
                self.at += 1
                return "".join(out) + "]"
            first = False
            if posix := re.match(r"\[:(\^?)(\w+):\]", text[self.at :]):
                if posix[2] not in _POSIX:
                    raise _error("invalid character class range", posix[0])
                out.append(_POSIX[posix[2]])
                self.at += posix.end()
            elif char == "\\":
                out.append(self._escape(inside=True))
            else:
                out.append(f"\\{char}" if char in "[]&~|" else char)
                self.at += 1
