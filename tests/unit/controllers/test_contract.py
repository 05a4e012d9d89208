"""What holds for every controller of the table."""

from __future__ import annotations

import inspect

import pytest

from pilothouse.api.kinds import kind_of_resource
from pilothouse.base.random import Random
from pilothouse.client.informer import Cache
from pilothouse.controllers.plan import Controller, Environment
from pilothouse.controllers.table import CONTROLLERS

NAMES = [controller.name for controller in CONTROLLERS]


def made(of: type[Controller]) -> Controller:
    return of(Environment(Random(1)))


class Nothing:
    """A view of an empty cluster."""

    def __init__(self, controller: Controller):
        self._caches = {
            resource: Cache()
            for resource in (*controller.sources, *controller.indexes, *controller.extra_resources)
        }
        for resource, indexes in controller.indexes.items():
            for name, function in indexes.items():
                self._caches[resource].add_index(name, function)

    def of(self, resource: str) -> Cache:
        return self._caches[resource]


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("of", CONTROLLERS, ids=NAMES)
def test_it_reads_what_exists_and_says_what_it_reads(of):
    controller = made(of)
    for resource in (*controller.sources, *controller.indexes, *controller.extra_resources):
        assert kind_of_resource(resource).stored
    assert controller.component
    assert (inspect.getmodule(of).__doc__ or "").strip(), "a newcomer wants to know what the file is for"


@pytest.mark.parametrize("of", CONTROLLERS, ids=NAMES)
def test_what_is_gone_needs_nothing(of):
    controller = made(of)
    plan = controller.reconcile("default/gone", Nothing(controller), 1767225600.0)
    changes = [action for action in plan.actions if not type(action).__name__.startswith("Still")]
    assert changes == []
