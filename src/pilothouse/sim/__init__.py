"""Whole clusters on virtual time: seeds, histories, faults.

Lives here: `SimulatedCluster`, which puts the real components together on a virtual clock; what makes runs comparable.
May not: be needed by anything that runs a real cluster.
"""

from .cluster import SimulatedCluster, simulate
from .faults import Faults
from .history import Change, History

__all__ = ["Change", "Faults", "History", "SimulatedCluster", "simulate"]
