"""Whole clusters: start, first pod, pods in parallel, what an idle one costs."""

from __future__ import annotations

from collections.abc import Iterator

from .table import Figure


def cluster() -> Iterator[Figure]:
    yield from ()
