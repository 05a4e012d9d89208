"""Every controller there is: a new one is a file, and a line here."""

from __future__ import annotations

from .deployment import DeploymentController
from .replicaset import ReplicaSetController, ReplicationControllerController
from .runtime import Controller

CONTROLLERS: tuple[type[Controller], ...] = (
    DeploymentController,
    ReplicaSetController,
    ReplicationControllerController,
)
