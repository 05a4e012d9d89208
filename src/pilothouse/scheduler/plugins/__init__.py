"""The table of plugins, in the order in which Kubernetes runs them, with the weights of their scores.

A new plugin is a file here and a line in `default_plugins`.
"""

from __future__ import annotations

from typing import Any

from .default_preemption import DefaultPreemption
from .image_locality import ImageLocality
from .inter_pod_affinity import InterPodAffinity
from .node_affinity import NodeAffinity
from .node_name import NodeName
from .node_ports import NodePorts
from .node_resources import NodeResourcesBalancedAllocation, NodeResourcesFit
from .node_unschedulable import NodeUnschedulable
from .pod_topology_spread import PodTopologySpread
from .taint_toleration import TaintToleration
from .volumes import VolumeBinding, VolumeRestrictions


def default_plugins() -> list[tuple[Any, int]]:
    """(plugin, weight of its score)."""
    return [
        (NodeUnschedulable(), 0),
        (NodeName(), 0),
        (TaintToleration(), 3),
        (NodeAffinity(), 2),
        (NodePorts(), 0),
        (NodeResourcesFit(), 1),
        (VolumeRestrictions(), 0),
        (VolumeBinding(), 0),
        (PodTopologySpread(), 2),
        (InterPodAffinity(), 2),
        (NodeResourcesBalancedAllocation(), 1),
        (ImageLocality(), 1),
        (DefaultPreemption(), 0),
    ]
