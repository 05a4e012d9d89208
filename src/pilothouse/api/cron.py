"""The schedules of CronJobs: which texts are one, and when it is due, as in the parser that Kubernetes uses (github.com/robfig/cron v3)."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_STARTS = {  # of a year, a month, …
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = {name: i for i, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_DAYS = {name: i for i, name in enumerate("sun mon tue wed thu fri sat".split())}
_DURATION = re.compile(r"([-+]?)(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]+)", re.ASCII)
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_COUNTED = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)([^.0-9]*)", re.ASCII)
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_YEARS_MAX = 5  # what is not due by then never is: 31 February


class ScheduleError(ValueError):
    """Not a schedule."""


class Schedule(Protocol):
    def after(self, seconds: float) -> int | None:
        """The first time later than that; None where there is none."""


def problem(schedule: str) -> str:
    """ "" for a good one."""
    try:
        parse(schedule)
    except ScheduleError as error:
        return str(error)
    return ""


def zone_problem(name: str) -> str:
    try:
        zone_of(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {name}"
    return ""


def zone_of(name: str) -> datetime.tzinfo:
    return zoneinfo.ZoneInfo(name) if name else datetime.UTC


_ZONE_PART = re.compile(r"(?!-)[A-Za-z._0-9+-]{1,14}")


def zone_name_problem(name: str) -> str:
    """As `zone_problem`; names that only look like a zone's are refused as well."""
    parts = name.split("/")
    if any(part in (".", "..") or not _ZONE_PART.fullmatch(part) for part in parts):
        return f"unknown time zone {name}"
    return zone_problem(name)


def parse(schedule: str) -> Schedule:
    """Raises ScheduleError for what is none."""
    if not schedule:
        raise ScheduleError("empty spec string")
    zone: datetime.tzinfo = datetime.UTC
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        if " " not in schedule:  # where Go's parser falls over
            raise ScheduleError("invalid schedule format: runtime error: slice bounds out of range [:-1]")
        name, _, schedule = schedule.partition("=")[2].partition(" ")
        if wrong := zone_problem(name):
            raise ScheduleError(f"provided bad location {name}: {wrong}")
        zone, schedule = zone_of(name), schedule.strip()
    if schedule.startswith("@every "):
        return _every(schedule)
    if schedule.startswith("@") and schedule not in _STARTS:
        raise ScheduleError(f"unrecognized descriptor: {schedule}")
    fields = _STARTS.get(schedule, schedule).split()
    if len(fields) != len(_FIELDS):
        found = f"found {len(fields)}: [{' '.join(fields)}]"
        raise ScheduleError(f"expected exactly {len(_FIELDS)} fields, {found}")
    parsed = [
        [_range(part, *bounds) for part in field.split(",") if part]
        for field, bounds in zip(fields, _FIELDS, strict=True)
    ]
    minutes, hours, days, months, weekdays = (
        frozenset(value for values, _ in field for value in values) for field in parsed
    )
    has_star = any(star for _, star in (*parsed[2], *parsed[4]))
    return _Times(minutes, hours, days, months, weekdays, has_star, zone)


def _every(schedule: str) -> Every:
    duration = schedule.removeprefix("@every ")
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise ScheduleError(f"failed to parse duration {schedule}: {duration_problem(duration)}")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION_PART.findall(duration))
    return Every(1 if found[1] == "-" else max(1, int(seconds)))


def duration_problem(text: str) -> str:
    """What Go's `time.ParseDuration` says of what is none; "" of what is one."""
    if _DURATION.fullmatch(text):
        return ""
    return f'time: {_what_is_wrong(text)}duration "{text}"'


def _what_is_wrong(text: str) -> str:
    end = 0
    while (number := _COUNTED.match(text, end)) is not None:
        if number[1] not in _UNITS_S:
            return f'unknown unit "{number[1]}" in ' if number[1] else "missing unit in "
        end = number.end()
    return "invalid "


def _range(text: str, low: int, high: int, known: dict[str, int]) -> tuple[range, bool]:
    """`*`, `5`, `1-5`, each with `/step`; and whether it is a star, which says nothing about the day."""
    span, *steps = text.split("/")
    first, *rest = span.split("-")
    star = first in ("*", "?")
    if star:
        start, end = low, high
    else:
        start = _number(first, known)
        if len(rest) > 1:
            raise ScheduleError(f"too many hyphens: {text}")
        end = _number(rest[0], known) if rest else start
    step = 1
    if len(steps) > 1:
        raise ScheduleError(f"too many slashes: {text}")
    if steps:
        step = _number(steps[0], {})
        end = end if rest else high
    if start < low:
        raise ScheduleError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ScheduleError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ScheduleError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), star and step == 1


def _number(text: str, known: dict[str, int]) -> int:
    if text.lower() in known:
        return known[text.lower()]
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        wrong = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ScheduleError(f"failed to parse int from {text}: {wrong}")
    if int(digits) >= 2**63:
        wrong = f'strconv.Atoi: parsing "{text}": value out of range'
        raise ScheduleError(f"failed to parse int from {text}: {wrong}")
    if text.startswith("-"):
        raise ScheduleError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Every:
    """`@every 90s`: counted from the time before."""

    delay_s: int

    def after(self, seconds: float) -> int:
        return int(seconds // 1) + self.delay_s


@dataclass(frozen=True, slots=True)
class _Times:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    both_days: bool  # a star among the days: the month's and the week's have to fit; else either
    zone: datetime.tzinfo

    def after(self, seconds: float) -> int | None:
        """From the month down to the second: what does not fit goes to its next, and where that wraps around (an hour
        into the next day), all is looked at again. Hours are counted on the clock, days on the calendar: an hour that
        summer time skips is not due, one that comes twice is due twice."""
        at = self._at(int(seconds // 1) + 1)
        year_max = at.year + _YEARS_MAX
        if not (self.minutes and self.hours and self.months and (self.days or self.weekdays)):
            return None  # "," is a field too
        levels: tuple[
            tuple[Callable[..., bool], Callable[..., datetime.datetime], Callable[..., bool]], ...
        ] = (
            (lambda t: t.month in self.months, self._next_month, lambda t: t.month == 1),
            (self._day_fits, self._next_day, lambda t: t.day == 1),
            (lambda t: t.hour in self.hours, self._next_hour, lambda t: t.hour == 0),
            (lambda t: t.minute in self.minutes, self._next_minute, lambda t: t.minute == 0),
            (lambda t: t.second == 0, self._next_second, lambda t: t.second == 0),
        )
        moved = False
        while at.year <= year_max:
            for fits, following, wraps in levels:
                wrapped = False
                while not wrapped and not fits(at):
                    at, moved = following(at, moved), True
                    wrapped = wraps(at)
                if wrapped:
                    break
            else:
                return int(at.timestamp())
        return None

    # Each begins at the start of its own month, day, … unless that was done before (`moved`).

    def _next_month(self, at: datetime.datetime, moved: bool) -> datetime.datetime:
        start = at if moved else self._date(at.replace(day=1, hour=0, minute=0, second=0))
        return self._date(start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1))

    def _next_day(self, at: datetime.datetime, moved: bool) -> datetime.datetime:
        start = at if moved else self._date(at.replace(hour=0, minute=0, second=0))
        following = self._date(start + datetime.timedelta(days=1))
        hours_off = (following.hour + 12) % 24 - 12  # where summer time skips midnight
        return self._at(following.timestamp() - hours_off * 3600) if hours_off else following

    def _next_hour(self, at: datetime.datetime, moved: bool) -> datetime.datetime:
        start = at if moved else self._date(at.replace(minute=0, second=0))
        return self._at(start.timestamp() + 3600)

    def _next_minute(self, at: datetime.datetime, moved: bool) -> datetime.datetime:
        return self._at((at.timestamp() if moved else at.timestamp() // 60 * 60) + 60)

    def _next_second(self, at: datetime.datetime, moved: bool) -> datetime.datetime:
        return self._at(at.timestamp() + 1)

    def _day_fits(self, at: datetime.datetime) -> bool:
        day, weekday = at.day in self.days, at.isoweekday() % 7 in self.weekdays
        return day and weekday if self.both_days else day or weekday

    def _at(self, seconds: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(seconds, self.zone)

    def _date(self, wall: datetime.datetime) -> datetime.datetime:
        """What Go's time.Date takes a wall clock for, when summer time begins or ends."""
        seconds = wall.replace(tzinfo=datetime.UTC).timestamp()
        offset_s = self._offset_s(seconds)
        if offset_s:
            offset_s = self._offset_s(seconds - offset_s)
        return self._at(seconds - offset_s)

    def _offset_s(self, seconds: float) -> float:
        offset = self._at(seconds).utcoffset()
        return offset.total_seconds() if offset else 0.0
