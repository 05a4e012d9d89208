"""Errors of compiling (with their places) and of evaluating."""

from __future__ import annotations

from dataclasses import dataclass


class CelError(Exception):
    """At run time; the message is cel-go's."""


class NoOverload(CelError):
    """A function that has no form for what it was given."""

    def __init__(self) -> None:
        super().__init__("no such overload")


@dataclass(frozen=True, slots=True)
class Issue:
    at: int  # offset into the text
    message: str


class CompileError(Exception):
    """`str()` is what clients see: each issue with its line and a caret under the place."""

    stage = "compilation failed"

    def __init__(self, text: str, issues: list[Issue]):
        self.text = text
        self.issues = sorted(issues, key=lambda issue: issue.at)
        super().__init__("\n".join(shown(text, issue) for issue in self.issues))


def shown(text: str, issue: Issue) -> str:
    before = text[: issue.at]
    line, column = before.count("\n"), issue.at - (before.rfind("\n") + 1)
    source = text.split("\n")[line].replace("\t", " ")
    caret = "".join("\uff0e" if ord(char) > 0x7F else "." for char in source[:column])
    return f"ERROR: <input>:{line + 1}:{column + 1}: {issue.message}\n | {source}\n | {caret}^"


class InstantiationError(CompileError):
    """Well-typed, but no program can be made of it."""

    stage = "program instantiation failed"

    def __init__(self, text: str, why: str):
        super().__init__(text, [])
        self.args = (why,)
