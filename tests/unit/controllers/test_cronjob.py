"""When a schedule is due, in the words that Kubernetes' own parser takes (robfig/cron)."""

from __future__ import annotations

import datetime

import pytest

from pilothouse.controllers.cronjob import Schedule

NEW_YEAR = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()  # a Thursday


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("*/1 * * * ?", "01-01 00:01"),
        ("? ?/6 * * *", "01-01 00:01"),
        ("5/15 * * * ?", "01-01 00:05"),
        ("0 0 ? * mon-fri", "01-02 00:00"),
        ("@monthly", "02-01 00:00"),
    ],
)
def test_a_schedule_is_due(schedule, due):
    at = Schedule(schedule, datetime.UTC).after(NEW_YEAR)
    assert datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%m-%d %H:%M") == due
