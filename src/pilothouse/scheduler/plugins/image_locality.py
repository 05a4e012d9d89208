"""ImageLocality: nodes that have the pod's images already are a little better."""

from __future__ import annotations

from ..framework import SCORE_MAX, Cycle, Plugin
from ..snapshot import NodeInfo

MEGABYTE = 1024 * 1024
SIZE_MIN, SIZE_MAX_A_CONTAINER = 23 * MEGABYTE, 1000 * MEGABYTE


def normalized(image: str) -> str:
    """With a tag: `nginx` is `nginx:latest`."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


class ImageLocality(Plugin):
    name = "ImageLocality"

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        spec, snapshot = cycle.pod["spec"], cycle.snapshot
        shares = []  # (names of an image, the share of nodes that have it)
        for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
            name = normalized(container.get("image") or "")
            for known in (name, f"docker.io/library/{name}"):
                if count := snapshot.nodes_with(known):
                    shares.append((known, count / len(snapshot.nodes)))
                    break
        containers = len(spec["containers"]) + len(spec.get("initContainers") or ())
        cycle.state[self.name] = shares, SIZE_MAX_A_CONTAINER * containers
        return bool(shares)

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        shares, ceiling = cycle.state[self.name]
        total = sum(node.images.get(name, 0) * share for name, share in shares)
        return float(int(SCORE_MAX * (min(max(total, SIZE_MIN), ceiling) - SIZE_MIN) / (ceiling - SIZE_MIN)))
