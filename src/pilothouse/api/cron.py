"""What is wrong with the text of a schedule, in the words of the parser that Kubernetes uses (github.com/robfig/cron)."""

from __future__ import annotations

import re
import zoneinfo

_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MONTHS = {name: i for i, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_DAYS = {name: i for i, name in enumerate("sun mon tue wed thu fri sat".split())}
_DURATION = re.compile(r"[-+]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)


class ScheduleError(ValueError):
    """Not a schedule."""


def problem(schedule: str) -> str:
    """ "" for a good one."""
    try:
        _check(schedule)
    except ScheduleError as error:
        return str(error)
    return ""


def zone_problem(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {name}"
    return ""


_ZONE_PART = re.compile(r"(?!-)[A-Za-z._0-9+-]{1,14}")


def zone_name_problem(name: str) -> str:
    """As `zone_problem`; names that only look like a zone's are refused as well."""
    parts = name.split("/")
    if any(part in (".", "..") or not _ZONE_PART.fullmatch(part) for part in parts):
        return f"unknown time zone {name}"
    return zone_problem(name)


def _check(schedule: str) -> None:
    if not schedule:
        raise ScheduleError("empty spec string")
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        zone, _, schedule = schedule.partition("=")[2].partition(" ")
        if wrong := zone_problem(zone):
            raise ScheduleError(f"provided bad location {zone}: {wrong}")
        schedule = schedule.strip()
    if schedule.startswith("@"):
        _check_descriptor(schedule)
        return
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        found = f"found {len(fields)}: [{' '.join(fields)}]"
        raise ScheduleError(f"expected exactly {len(_FIELDS)} fields, {found}")
    for field, bounds in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if part:
                _check_range(part, *bounds)


def _check_descriptor(schedule: str) -> None:
    if schedule.startswith("@every "):
        duration = schedule.removeprefix("@every ")
        if not _DURATION.fullmatch(duration):
            raise ScheduleError(f'failed to parse duration {schedule}: time: invalid duration "{duration}"')
    elif schedule not in _DESCRIPTORS:
        raise ScheduleError(f"unrecognized descriptor: {schedule}")


def _check_range(text: str, low: int, high: int, known: dict[str, int]) -> None:
    """`*`, `5`, `1-5`, each with `/step`."""
    span, *steps = text.split("/")
    first, *rest = span.split("-")
    if first in ("*", "?"):
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


def _number(text: str, known: dict[str, int]) -> int:
    if text.lower() in known:
        return known[text.lower()]
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        wrong = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ScheduleError(f"failed to parse int from {text}: {wrong}")
    if text.startswith("-"):
        raise ScheduleError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
