"""The log of recent events is bounded by their number and by their size."""

from __future__ import annotations

import pytest

from pilothouse.store import log
from pilothouse.store.interface import Compacted, Event, Record


def versions(first: int, last: int, size: int) -> list[Event]:
    return [Event(False, Record("/a", b"x" * size, 1, n), None) for n in range(first, last + 1)]


def test_large_values_are_forgotten_sooner(monkeypatch):
    monkeypatch.setattr(log, "BYTES_MAX", 1000)
    kept = log.EventLog(0)
    kept.append(versions(1, 10, 100))
    assert len(kept.after(0)) == 10
    kept.append(versions(11, 11, 100))
    assert [event.record.mod_revision for event in kept.after(kept.start)] == [7, 8, 9, 10, 11]
    with pytest.raises(Compacted):
        kept.after(5)
    kept.append(versions(12, 16, 100))  # what was forgotten does not count
    assert len(kept.after(kept.start)) == 10
