"""A cluster where nothing happens writes nothing: reconciles that are done are silent."""

from __future__ import annotations

import logging

from pilothouse.sim import SimulatedCluster, simulate

from .town import settle

# what Kubernetes writes too: heartbeats, the statuses of nodes every five minutes, events that age out or are counted
BREATHING = ("/registry/coordination.k8s.io/leases/", "/registry/core/nodes/", "/registry/core/events/")


def test_nothing_is_written_but_heartbeats_once_all_is_as_it_should_be():
    logging.disable(logging.WARNING)
    seen: list[str] = []

    async def story(cluster: SimulatedCluster) -> None:
        await settle(cluster)
        await cluster.clock.sleep(900)
        before = len(cluster.history())
        await cluster.clock.sleep(3600)
        changes = cluster.history().changes[before:]
        seen.extend(change.key for change in changes if not change.key.startswith(BREATHING))
        statuses = [change for change in changes if change.key.startswith("/registry/core/nodes/")]
        assert len(statuses) == 3 * 12

    try:
        simulate(story, seed=1, nodes=3)
    finally:
        logging.disable(logging.NOTSET)
    assert seen == []
