"""Deletes finished Jobs `ttlSecondsAfterFinished` after their end, pods first (foreground)."""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import get, is_deleting, split_key, uid_of
from ..base.clock import parse_timestamp
from .job import is_finished
from .plan import NOTHING, Controller, Delete, Plan, Source, StillThere, View, own


class TtlAfterFinishedController(Controller):
    name = "ttl-after-finished"
    component = "ttl-after-finished-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"jobs.batch": own}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace, name = split_key(key)
        job = view.of("jobs.batch").get(namespace, name)
        ttl_s = get(job, "spec.ttlSecondsAfterFinished")
        if job is None or ttl_s is None or is_deleting(job) or not (finished := is_finished(job)):
            return NOTHING
        left_s = parse_timestamp(finished["lastTransitionTime"]) + ttl_s - now
        if left_s > 0:
            return Plan(requeue_after_s=left_s)
        version = job["metadata"].get("resourceVersion", "")
        return Plan(
            [
                StillThere("jobs.batch", namespace, name, uid_of(job)),
                Delete("jobs.batch", namespace, name, uid_of(job), "Foreground", resource_version=version),
            ]
        )
