"""Every controller there is: a new one is a file, and a line here."""

from __future__ import annotations

from .cronjob import CronJobController
from .daemonset import DaemonSetController
from .deployment import DeploymentController
from .endpoints_legacy import EndpointsController
from .endpointslice import EndpointSliceController
from .endpointslice_mirroring import EndpointSliceMirroringController
from .garbage import GarbageCollector
from .job import JobController
from .namespace import NamespaceController
from .namespace_content import RootCaPublisher, ServiceAccountController
from .replicaset import ReplicaSetController, ReplicationControllerController
from .runtime import Controller
from .statefulset import StatefulSetController
from .ttl_after_finished import TtlAfterFinishedController

CONTROLLERS: tuple[type[Controller], ...] = (
    DeploymentController,
    ReplicaSetController,
    ReplicationControllerController,
    JobController,
    CronJobController,
    TtlAfterFinishedController,
    DaemonSetController,
    StatefulSetController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    EndpointsController,
    ServiceAccountController,
    RootCaPublisher,
    NamespaceController,
    GarbageCollector,
)
