"""Columns that line up: Go's text/tabwriter, which all of kubectl's tables and descriptions go through.

A cell ends with a tab; a column is as wide as its widest cell in *consecutive* lines that have it, so that blocks of
lines align on their own. What stands after the last tab of a line belongs to no column.
"""

from __future__ import annotations

from collections.abc import Iterable


def tabbed(text: str, *, minwidth: int = 0, padding: int = 2) -> str:
    """The text with its tabs turned into blanks. Descriptions use the defaults; tables use 6 and 3."""
    if not text:
        return ""
    ended = text.endswith("\n")
    lines = [line.split("\t") for line in (text[:-1] if ended else text).split("\n")]
    out = [""] * len(lines)
    _block(lines, out, 0, len(lines), [], minwidth, padding)
    return "\n".join(out) + ("\n" if ended else "")


def _block(
    lines: list[list[str]],
    out: list[str],
    start: int,
    end: int,
    widths: list[int],
    minwidth: int,
    padding: int,
) -> None:
    """Lays out lines start..end, whose first columns have these widths."""
    column, line = len(widths), start
    while line < end:
        if column >= len(lines[line]) - 1:
            out[line] = _laid(lines[line], widths)
            line += 1
            continue
        first = line
        while line < end and column < len(lines[line]) - 1:
            line += 1
        width = max(len(cells[column]) + padding for cells in lines[first:line])
        _block(lines, out, first, line, [*widths, max(width, minwidth)], minwidth, padding)


def _laid(cells: list[str], widths: list[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return "".join(padded + cells[len(widths) :])


def table(rows: Iterable[Iterable[str]]) -> str:
    """Rows as `kubectl get` shows them."""
    text = "".join("\t".join(row) + "\n" for row in rows)
    return tabbed(escaped(text), minwidth=6, padding=3)


def escaped(text: str) -> str:
    """Without what would steer the terminal."""
    return text.replace("\x1b", "^[").replace("\r", "\\r")
