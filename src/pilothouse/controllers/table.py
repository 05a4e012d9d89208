"""Every controller there is: a new one is a file, and a line here."""

from __future__ import annotations

from .autoscaler import HorizontalPodAutoscalerController
from .cronjob import CronJobController
from .daemonset import DaemonSetController
from .deployment import DeploymentController
from .disruption import DisruptionController
from .endpoints_legacy import EndpointsController
from .endpointslice import EndpointSliceController
from .endpointslice_mirroring import EndpointSliceMirroringController
from .garbage import GarbageCollector
from .job import JobController
from .load_balancer import LoadBalancerController
from .local_path import LocalPathProvisioner
from .namespace import NamespaceController
from .namespace_content import RootCaPublisher, ServiceAccountController
from .node_lifecycle import NodeLifecycleController
from .pod_gc import PodGarbageCollector
from .replicaset import ReplicaSetController, ReplicationControllerController
from .resource_quota import ResourceQuotaController
from .role_aggregation import ClusterRoleAggregationController
from .runtime import Controller
from .statefulset import StatefulSetController
from .taint_eviction import TaintEvictionController
from .token_secrets import TokenSecretsController
from .ttl_after_finished import TtlAfterFinishedController
from .volume_binder import PersistentVolumeBinder
from .volume_protection import ClaimProtectionController, VolumeProtectionController

CONTROLLERS: tuple[type[Controller], ...] = (
    DeploymentController,
    ReplicaSetController,
    ReplicationControllerController,
    JobController,
    CronJobController,
    TtlAfterFinishedController,
    DaemonSetController,
    StatefulSetController,
    NodeLifecycleController,
    TaintEvictionController,
    PodGarbageCollector,
    DisruptionController,
    HorizontalPodAutoscalerController,
    ClaimProtectionController,
    VolumeProtectionController,
    PersistentVolumeBinder,
    LocalPathProvisioner,
    LoadBalancerController,
    ClusterRoleAggregationController,
    TokenSecretsController,
    ResourceQuotaController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    EndpointsController,
    ServiceAccountController,
    RootCaPublisher,
    NamespaceController,
    GarbageCollector,
)
