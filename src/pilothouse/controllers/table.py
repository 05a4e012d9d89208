"""Every controller there is: a new one is a file, and a line here."""

from __future__ import annotations

from .autoscaler import HorizontalPodAutoscalerController
from .certificates import CertificateApprover, CertificateCleaner, CertificateSigner
from .cronjob import CronJobController
from .daemonset import DaemonSetController
from .deployment import DeploymentController
from .disruption import DisruptionController
from .endpoints_legacy import EndpointsController
from .endpointslice import EndpointSliceController
from .endpointslice_mirroring import EndpointSliceMirroringController
from .ephemeral_volume import EphemeralVolumeController
from .garbage import GarbageCollector
from .job import JobController
from .load_balancer import LoadBalancerController
from .local_path import LocalPathProvisioner
from .namespace import NamespaceController
from .namespace_content import RootCaPublisher, ServiceAccountController
from .node_lifecycle import NodeLifecycleController
from .node_ttl import NodeTtlController
from .plan import Controller
from .pod_gc import PodGarbageCollector
from .policy_status import ValidatingAdmissionPolicyStatusController
from .replicaset import ReplicaSetController, ReplicationControllerController
from .resource_quota import ResourceQuotaController
from .role_aggregation import ClusterRoleAggregationController
from .service_cidr import ServiceCidrController
from .statefulset import StatefulSetController
from .taint_eviction import TaintEvictionController
from .token_secrets import TokenSecretsController
from .ttl_after_finished import TtlAfterFinishedController
from .volume_binder import PersistentVolumeBinder
from .volume_protection import (
    ClaimProtectionController,
    VolumeAttributesClassProtectionController,
    VolumeProtectionController,
)

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
    NodeTtlController,
    DisruptionController,
    HorizontalPodAutoscalerController,
    ClaimProtectionController,
    VolumeProtectionController,
    VolumeAttributesClassProtectionController,
    PersistentVolumeBinder,
    EphemeralVolumeController,
    LocalPathProvisioner,
    LoadBalancerController,
    ClusterRoleAggregationController,
    ValidatingAdmissionPolicyStatusController,
    TokenSecretsController,
    CertificateApprover,
    CertificateSigner,
    CertificateCleaner,
    ServiceCidrController,
    ResourceQuotaController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    EndpointsController,
    ServiceAccountController,
    RootCaPublisher,
    NamespaceController,
    GarbageCollector,
)
