"""The table of plugins, in the order in which Kubernetes runs them, with the weights of their scores.

A new plugin is a file here and a line in `default_plugins`.
"""

from __future__ import annotations

from ..framework import Plugin
from .default_preemption import DefaultPreemption
from .image_locality import ImageLocality
from .inter_pod_affinity import InterPodAffinity
from .node_affinity import NodeAffinity
from .node_declared_features import NodeDeclaredFeatures
from .node_name import NodeName
from .node_ports import NodePorts
from .node_resources import NodeResourcesBalancedAllocation, NodeResourcesFit
from .node_unschedulable import NodeUnschedulable
from .node_volume_limits import NodeVolumeLimits
from .pod_topology_spread import PodTopologySpread
from .taint_toleration import TaintToleration
from .volume_binding import VolumeBinding
from .volume_restrictions import VolumeRestrictions
from .volume_zone import VolumeZone


def default_plugins() -> list[tuple[Plugin, int]]:
    """(plugin, weight of its score)."""
    return [
        (NodeUnschedulable(), 0),
        (NodeName(), 0),
        (TaintToleration(), 3),
        (NodeAffinity(), 2),
        (NodePorts(), 0),
        (NodeResourcesFit(), 1),
        (VolumeRestrictions(), 0),
        (NodeVolumeLimits(), 0),
        (VolumeBinding(), 0),
        (VolumeZone(), 0),
        (PodTopologySpread(), 2),
        (InterPodAffinity(), 2),
        (DefaultPreemption(), 0),
        (NodeResourcesBalancedAllocation(), 1),
        (ImageLocality(), 1),
        (NodeDeclaredFeatures(), 0),
    ]
