"""Chance from a seed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.base.random import SAFE_ALPHABET, Random


def draws(random: Random) -> list[object]:
    return [random.uid(), random.below(1000), random.suffix(), random.uniform(0, 1), random.choice("abcdef")]


@given(st.integers() | st.text())
def test_a_seed_always_gives_the_same(seed):
    assert draws(Random(seed)) == draws(Random(seed))


def test_a_fork_does_not_depend_on_what_others_draw():
    one, two = Random(1), Random(1)
    draws(one)
    one.fork("other")
    assert draws(one.fork("mine")) == draws(two.fork("mine"))
    assert draws(one.fork("mine")) != draws(one.fork("yours"))


def test_suffixes_spell_no_words():
    assert set(Random(1).suffix(1000)) <= set(SAFE_ALPHABET)


@given(st.floats(0, 1e6), st.floats(0, 10))
def test_jitter_only_adds(base, factor):
    assert base <= Random(1).jitter(base, factor) <= base * (1 + factor) + 1e-6
