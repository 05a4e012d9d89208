"""Durations as Go writes and reads them (`1h5m`, `90s`), ages as kubectl shows them, and times of the API. Pure."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Any

from ..api.duration import human_duration
from ..base.clock import RealClock
from .errors import Failure

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)"


def duration(text: str, flag: str = "timeout") -> float:
    """Seconds of `1m30s`. Raises Failure."""
    if text in ("0", "+0", "-0"):
        return 0.0
    sign = -1.0 if text.startswith("-") else 1.0
    body = text.lstrip("+-")
    if not re.fullmatch(f"({_PART})+", body):
        odd = re.fullmatch(rf"(?:{_PART})*[\d.]+([^\d.]+).*", body)
        problem = "missing unit in duration" if re.fullmatch(r"[\d.]+", body) else "invalid duration"
        problem = f'unknown unit "{odd[3]}" in duration' if odd else problem
        raise Failure(f'invalid argument "{text}" for "--{flag}" flag: time: {problem} "{text}"')
    return sign * sum(float(amount) * _UNITS[unit] for amount, unit in re.findall(_PART, body))


def seconds_of(time: Any) -> float | None:
    """The moment that the API writes as 2026-01-01T00:00:00Z (or with microseconds)."""
    return datetime.fromisoformat(str(time).replace("Z", "+00:00")).timestamp() if time else None


def since(time: Any, now: float) -> str:
    """`5m10s`, as in the AGE column; `<unknown>` without a time."""
    start = seconds_of(time)
    return "<unknown>" if start is None else human_duration(now - start)


def rfc1123(time: Any) -> str:
    """`Mon, 02 Jan 2006 15:04:05 -0700`, in the local zone, as `describe` has it."""
    moment = seconds_of(time)
    if moment is None:
        return "Mon, 01 Jan 0001 00:00:00 +0000"
    local = datetime.fromtimestamp(moment, UTC).astimezone()
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
    return f"{days[local.weekday()]}, {local:%d} {months[local.month - 1]} {local:%Y %H:%M:%S %z}"


def go_time(time: Any) -> str:
    """`2006-01-02 15:04:05 -0700 MST`, as Go prints a time by itself."""
    moment = seconds_of(time)
    if moment is None:
        return "0001-01-01 00:00:00 +0000 UTC"
    local = datetime.fromtimestamp(moment, UTC).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S %z %Z}"


def log_line(where: str, text: str) -> str:
    """A warning as klog writes it, which is how kubectl says what is deprecated."""
    now = datetime.fromtimestamp(RealClock().now(), UTC).astimezone()
    return f"W{now:%m%d %H:%M:%S.%f} {os.getpid():>7} {where}] {text}"
