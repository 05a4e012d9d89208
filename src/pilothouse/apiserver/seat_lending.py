"""How priority levels lend each other seats: all figures, no waiting (KEP-1040, "Seat Borrowing").

Each level has a nominal limit, of which it lends a part at the most, and above which it borrows so many at the most. Every ten seconds
the current limits are set anew, between those bounds, so that each level gets the same fraction of what it has lately wanted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..api.object import Object

PERIOD_S = 10.0
SMOOTHING = 0.977  # what was wanted once counts half after five minutes of such periods
TARGET_MIN = 0.001  # nobody's wish is nothing, so that all can be divided by it


@dataclass(frozen=True, slots=True)
class Limits:
    nominal: int = 0
    lowest: int = 0
    highest: int = 0

    @property
    def initial(self) -> int:
        return self.nominal - (self.nominal - self.lowest) // 2


class Demand:
    """The seats that a level could use (taken or waited for), over the current period, and what was seen in the last."""

    def __init__(self, now: float):
        self.value = self._highest = 0
        self._since = now
        self._seconds = self._sum = self._squares = 0.0
        self.high_watermark = 0
        self.average = self.deviation = self.smoothed = 0.0

    def add(self, change: int, now: float) -> None:
        """Twice a request: in one go."""
        seconds, value = now - self._since, self.value
        self._since = now
        self._seconds += seconds
        self._sum += seconds * value
        self._squares += seconds * value * value
        self.value = value = value + change
        if value > self._highest:
            self._highest = value

    def end_period(self, now: float) -> None:
        self.add(0, now)
        self.high_watermark, self._highest = self._highest, self.value
        if self._seconds > 0:
            self.average = self._sum / self._seconds
            self.deviation = math.sqrt(max(0.0, self._squares / self._seconds - self.average**2))
            envelope = self.average + self.deviation
            self.smoothed = max(envelope, SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope)
        self._seconds = self._sum = self._squares = 0.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the current limit of a level depends on."""

    limits: Limits
    high_watermark: int = 0
    smoothed: float = 0.0
    current: int = 0
    exempt: bool = False

    @property
    def least(self) -> int:
        """It is not brought below what it has just used, as far as that is its own; one that is exempt takes what it wants."""
        own = self.high_watermark if self.exempt else min(self.limits.nominal, self.high_watermark)
        return max(self.limits.lowest, own)

    @property
    def target(self) -> float:
        return max(self.least, self.smoothed)


def limits_of(levels: Mapping[str, Object], requests_max: int) -> dict[str, Limits]:
    """The bounds that the specs of PriorityLevelConfigurations give, by name."""
    specs = {name: spec.get("limited") or spec.get("exempt") or {} for name, spec in levels.items()}
    total = sum(spec.get("nominalConcurrencyShares") or 0 for spec in specs.values())
    found = {}
    for name, spec in specs.items():
        nominal = -(-requests_max * (spec.get("nominalConcurrencyShares") or 0) // total) if total else 0
        lendable = _round(nominal * (spec.get("lendablePercent") or 0) / 100)
        percent = spec.get("borrowingLimitPercent")
        borrowed = requests_max if percent is None else _round(nominal * percent / 100)
        found[name] = Limits(nominal, nominal - lendable, nominal + borrowed)
    return found


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def current_limits(wishes: Mapping[str, Wish]) -> tuple[dict[str, int], float]:
    """The current limit of each level, and the fraction of its target that each gets that meets no bound (0: seats are too few)."""
    total = sum(wish.limits.nominal for wish in wishes.values())
    limits = {name: wish.least for name, wish in wishes.items() if wish.exempt}
    others = {name: wish for name, wish in wishes.items() if not wish.exempt}
    left = total - sum(limits.values())  # of what those that are exempt do not take
    lowest = sum(wish.limits.lowest for wish in others.values())
    least = sum(wish.least for wish in others.values())
    if left <= lowest:
        return limits | {name: wish.limits.lowest for name, wish in others.items()}, 0.0
    if left <= least:
        part = (left - lowest) / (least - lowest)
        return limits | {
            name: wish.limits.lowest + _round((wish.least - wish.limits.lowest) * part)
            for name, wish in others.items()
        }, 0.0
    shares = allocate(total, [(wish.target, wish.least, wish.limits.highest) for wish in others.values()])
    if shares is None:
        return limits | {name: wish.current for name, wish in others.items()}, 0.0
    allocated, fraction = shares
    return limits | {name: _round(seats) for name, seats in zip(others, allocated)}, fraction


def allocate(total: float, items: Iterable[tuple[float, float, float]]) -> tuple[list[float], float] | None:
    """Each item is (target, lower bound, upper bound). Gives each the same fraction of its target, but for those that meet a
    bound, so that it sums up to `total`; and that fraction. None: the bounds do not allow it."""
    bounded = [(max(target, TARGET_MIN), low, high) for target, low, high in items]

    def at(fraction: float) -> list[float]:
        return [max(low, min(high, fraction * target)) for target, low, high in bounded]

    # the sum grows with the fraction, in straight lines between those at which somebody meets a bound
    corners = sorted({bound / target for target, low, high in bounded for bound in (low, high)})
    before, sum_before = 0.0, sum(at(0.0))
    if total < sum_before:
        return None
    for corner in corners:
        sum_here = sum(at(corner))
        if sum_here >= total:
            slope = sum_here - sum_before
            fraction = before + (corner - before) * ((total - sum_before) / slope if slope else 1.0)
            return at(fraction), fraction
        before, sum_before = corner, sum_here
    return None
