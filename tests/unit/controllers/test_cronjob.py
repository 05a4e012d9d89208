"""When a schedule is due, and what a CronJob makes of times that it missed: as Kubernetes' own parser (robfig/cron) and controller."""

from __future__ import annotations

import pytest

from pilothouse.api import cron
from pilothouse.base.clock import parse_timestamp, timestamp

NEW_YEAR = "2026-01-01T00:00:00Z"  # a Thursday


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        ("*/1 * * * ?", NEW_YEAR, "2026-01-01T00:01:00Z"),
        ("? ?/6 * * *", NEW_YEAR, "2026-01-01T00:01:00Z"),
        ("5/15 * * * ?", NEW_YEAR, "2026-01-01T00:05:00Z"),
        ("0 0 ? * mon-fri", NEW_YEAR, "2026-01-02T00:00:00Z"),
        ("+5 * * * *", NEW_YEAR, "2026-01-01T00:05:00Z"),
        ("@monthly", NEW_YEAR, "2026-02-01T00:00:00Z"),
        ("@weekly", NEW_YEAR, "2026-01-04T00:00:00Z"),
        ("@every 1h30m10.9s", NEW_YEAR, "2026-01-01T01:30:10Z"),
        ("@every 5ms", NEW_YEAR, "2026-01-01T00:00:01Z"),
        # the days of the month and of the week: either, unless one is a star; */2 is none
        ("0 0 13 * 5", NEW_YEAR, "2026-01-02T00:00:00Z"),
        ("0 0 13 * *", NEW_YEAR, "2026-01-13T00:00:00Z"),
        ("0 0 */2 * */2", NEW_YEAR, "2026-01-03T00:00:00Z"),
        ("0 0 */2 * 1", "2026-01-03T00:00:00Z", "2026-01-05T00:00:00Z"),
        ("0 0 */2 * 1", "2026-01-11T00:00:00Z", "2026-01-12T00:00:00Z"),
        ("0 0 13,* * 5", NEW_YEAR, "2026-01-02T00:00:00Z"),
        # never within five years
        ("0 0 31 2 *", NEW_YEAR, None),
        (", * * * *", NEW_YEAR, None),
        ("0 0 29 2 *", NEW_YEAR, "2028-02-29T00:00:00Z"),
        # summer time: an hour that is skipped is not due, one that comes twice is due twice
        ("TZ=America/New_York 30 2 * * *", "2026-03-08T00:00:00Z", "2026-03-09T06:30:00Z"),
        ("TZ=America/New_York 30 1 * * *", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"),
        ("CRON_TZ=America/Sao_Paulo 0 0 * * *", "2018-11-03T03:00:00Z", "2018-11-05T02:00:00Z"),
        ("TZ=America/Sao_Paulo 0 1 * * *", "2018-11-03T04:00:00Z", "2018-11-04T03:00:00Z"),
        ("TZ=Asia/Tokyo @daily", NEW_YEAR, "2026-01-01T15:00:00Z"),
    ],
)
def test_a_schedule_is_due(schedule: str, after: str, due: str | None) -> None:
    found = cron.parse(schedule).after(parse_timestamp(after))
    assert (found and timestamp(found)) == due
