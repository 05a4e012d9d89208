"""ImageLocality: nodes that have the pod's images already are a little better."""

from __future__ import annotations

from ..framework import SCORE_MAX, Cycle
from ..snapshot import NodeInfo

MEGABYTE = 1024 * 1024
SIZE_MIN, SIZE_MAX_A_CONTAINER = 23 * MEGABYTE, 1000 * MEGABYTE


def normalized(image: str) -> str:
    """With a tag: `nginx` is `nginx:latest`."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


class ImageLocality:
    name = "ImageLocality"

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        sizes: dict[str, dict[str, int]] = {}
        for node in nodes:
            for image in (node.node.get("status") or {}).get("images") or ():
                for name in image.get("names") or ():
                    sizes.setdefault(name, {})[node.name] = image.get("sizeBytes") or 0
        spec = cycle.pod["spec"]
        containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
        cycle.state[self.name] = (sizes, [normalized(c.get("image") or "") for c in containers], len(nodes))
        return bool(sizes)

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        sizes, images, count = cycle.state[self.name]
        total = 0.0
        for image in images:
            on = sizes.get(image) or sizes.get(f"docker.io/library/{image}") or {}
            if node.name in on:
                total += on[node.name] * len(on) / count
        ceiling = SIZE_MAX_A_CONTAINER * len(images)
        return float(int(SCORE_MAX * (min(max(total, SIZE_MIN), ceiling) - SIZE_MIN) / (ceiling - SIZE_MIN)))
