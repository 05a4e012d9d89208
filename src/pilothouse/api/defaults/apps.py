"""Deployments and their kin."""

from __future__ import annotations

from ..object import Object
from .common import put, put_text, spec, sub
from .core import default_claim_spec
from .pod import default_template

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def default_deployment(deployment: Object) -> None:
    own = spec(deployment)
    default_template(own)
    put(own, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = sub(own, "strategy")
    put_text(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        put(sub(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")


def default_replica_set(replica_set: Object) -> None:
    own = spec(replica_set)
    put(own, replicas=1)
    default_template(own)


def default_stateful_set(stateful_set: Object) -> None:
    own = spec(stateful_set)
    default_template(own)
    put(own, replicas=1, revisionHistoryLimit=10)
    put_text(own, podManagementPolicy="OrderedReady")
    strategy = sub(own, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        put(strategy, rollingUpdate={})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        put(strategy["rollingUpdate"], partition=0)
    put_text(sub(own, "persistentVolumeClaimRetentionPolicy"), whenDeleted="Retain", whenScaled="Retain")
    for claim in own.get("volumeClaimTemplates") or ():
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        default_claim_spec(spec(claim))
        put_text(sub(claim, "status"), phase="Pending")


def default_daemon_set(daemon_set: Object) -> None:
    # what the template's generation, no field any more, is converted to
    put(sub(sub(daemon_set, "metadata"), "annotations"), **{TEMPLATE_GENERATION: "0"})
    own = spec(daemon_set)
    default_template(own)
    put(own, revisionHistoryLimit=10)
    strategy = sub(own, "updateStrategy")
    put_text(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        put(sub(strategy, "rollingUpdate"), maxUnavailable=1, maxSurge=0)
