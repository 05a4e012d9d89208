"""Whatever users do, and whatever fails meanwhile: in peace everything becomes as the objects say."""

from __future__ import annotations

import logging

import pytest

from .anything import run


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_anything_ends_well(seed):
    assert run(seed, actions=80) == []
