"""Every line of a table of parts leads to a part that has what the table promises (docs/architecture.md, "one file and one line")."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import click
import pytest

import pilothouse.cli
import pilothouse.controllers
from pilothouse.api.kinds import KINDS
from pilothouse.api.validation.table import VALIDATORS
from pilothouse.apiserver.admission import Plugin, default_plugins
from pilothouse.apiserver.registry.strategy import Strategy, strategy_of
from pilothouse.cli.main import COMMANDS
from pilothouse.cluster.config import ENGINE_MODULES
from pilothouse.cluster.engines import engine_module
from pilothouse.controllers.plan import Controller
from pilothouse.controllers.table import CONTROLLERS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_file_with_a_command(name):
    module = importlib.import_module(f"pilothouse.cli.{COMMANDS[name][0]}")
    assert isinstance(module.command, click.Command)
    assert (module.command.help or "").strip(), "a command says what it does"


def test_each_controller_of_the_package_is_in_the_table_once():
    found = set()
    for info in pkgutil.iter_modules(pilothouse.controllers.__path__):
        module = importlib.import_module(f"pilothouse.controllers.{info.name}")
        for value in vars(module).values():
            if (
                inspect.isclass(value)
                and issubclass(value, Controller)
                and value.__module__ == module.__name__
            ):
                found.add(value)
    concrete = {value for value in found if getattr(value, "name", "")}
    assert len(set(CONTROLLERS)) == len(CONTROLLERS)
    assert concrete == set(CONTROLLERS)


@pytest.mark.parametrize("name", ENGINE_MODULES)
def test_each_engine_says_what_it_lacks_and_how_it_starts_and_ends(name):
    module = engine_module(name)
    assert isinstance(module.REAL, bool)
    assert isinstance(module.missing(), str)
    assert inspect.iscoroutinefunction(module.start) and inspect.iscoroutinefunction(module.stop)


def test_validators_and_strategies_belong_to_kinds_that_exist():
    resources = {kind.resource for kind in KINDS}
    assert set(VALIDATORS) <= resources
    assert all(isinstance(strategy_of(resource), Strategy) for resource in resources)


def test_admission_plugins_have_names_and_no_two_the_same():
    names = [plugin.name for plugin in default_plugins()]
    assert all(names) and len(set(names)) == len(names)
    assert all(isinstance(plugin, Plugin) for plugin in default_plugins())
