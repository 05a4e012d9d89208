"""Seats that priority levels lend each other: within the bounds, and by what each has lately wanted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.apiserver.seat_lending import Demand, Limits, Wish, allocate, current_limits, limits_of


@pytest.mark.parametrize(
    ("total", "items", "shares"),
    [
        (10, [(4, 0, 20), (4, 0, 20)], [5, 5]),
        (10, [(4, 0, 4), (4, 0, 20)], [4, 6]),
        (10, [(8, 7, 20), (8, 0, 20)], [7, 3]),
        (10, [(0, 0, 20), (5, 0, 20)], [0.002, 9.998]),
        (10, [(4, 0, 3), (4, 0, 3)], None),
        (10, [(8, 8, 9), (8, 8, 9)], None),
    ],
)
def test_all_get_the_same_fraction_of_their_target_but_for_bounds(total, items, shares):
    found = allocate(total, items)
    assert (found and found[0]) == (shares and pytest.approx(shares, abs=0.001))


bound = st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100)).map(sorted)


@given(st.lists(bound, min_size=1, max_size=6), st.floats(0, 1))
def test_what_is_given_sums_up_and_keeps_the_bounds(bounds, where):
    items = [(target, low, high) for low, target, high in bounds]
    total = sum(i[1] for i in items) + where * sum(i[2] - i[1] for i in items)
    shares, fraction = allocate(total - 1e-9 if where == 1 else total, items) or ([], 0.0)
    assert not shares or sum(shares) == pytest.approx(total, abs=0.01)
    for share, (target, low, high) in zip(shares, items):
        assert low <= share <= high
        assert share in (low, high) or share == pytest.approx(fraction * max(target, 0.001))


def test_shares_and_percents_make_limits():
    levels = {
        "a": {"limited": {"nominalConcurrencyShares": 30, "lendablePercent": 33}},
        "b": {"limited": {"nominalConcurrencyShares": 70, "lendablePercent": 0, "borrowingLimitPercent": 10}},
        "exempt": {"exempt": {"nominalConcurrencyShares": 0}},
    }
    limits = limits_of(levels, 600)
    assert limits == {"a": Limits(180, 121, 780), "b": Limits(420, 420, 462), "exempt": Limits(0, 0, 600)}
    assert limits["a"].initial == 151


def test_a_busy_level_borrows_what_an_idle_one_lends():
    idle, busy = Limits(100, 10, 700), Limits(100, 50, 700)
    wishes = {"idle": Wish(idle), "busy": Wish(busy, high_watermark=300, smoothed=300.0)}
    assert current_limits(wishes) == ({"idle": 10, "busy": 190}, pytest.approx(190 / 300))
    # what it used of its own it keeps, whoever else wants seats
    wishes["idle"] = Wish(idle, high_watermark=90, smoothed=5.0)
    assert current_limits(wishes)[0] == {"idle": 90, "busy": 110}
    # who is exempt takes first, and the others share what is left of what they do not lend
    wishes["exempt"] = Wish(Limits(0, 0, 600), high_watermark=120, exempt=True)
    assert current_limits(wishes)[0] == {"idle": 22, "busy": 58, "exempt": 120}


def test_demand_is_measured_over_a_period_and_forgotten_slowly():
    demand = Demand(0.0)
    demand.add(4, 0.0)
    demand.add(-4, 5.0)
    demand.end_period(10.0)
    assert (demand.high_watermark, demand.average, demand.deviation, demand.smoothed) == (4, 2, 2, 4)
    demand.end_period(20.0)
    assert (demand.high_watermark, demand.average) == (0, 0)
    assert demand.smoothed == pytest.approx(4 * 0.977)
