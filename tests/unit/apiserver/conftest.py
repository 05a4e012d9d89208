"""What several tests of the API server start from; a module that wants another `server` has its own."""

from __future__ import annotations

import pytest

from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.store.memory import MemoryStore

from .hooks import HookServer


@pytest.fixture
async def server():
    server = ApiServer(MemoryStore(), RealClock(), Random(7), ApiConfig(tokens={"t": ADMIN}))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def hooks(tmp_path):
    hooks = HookServer(tmp_path)
    await hooks.start()
    yield hooks
    hooks.stop()
