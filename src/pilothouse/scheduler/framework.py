"""The scheduler's extension points, with Kubernetes' names, and the pure cycle that runs plugins through them.

A plugin is a class in a file of its own under `plugins/`, with a `name` and any of these methods; the table of
plugins is `plugins/__init__.py`. All get `Cycle`, which holds the pod, the snapshot and what PreFilter left for
later (`cycle.state[plugin.name]`).

- `pre_filter(cycle) -> Rejection | None`: once a pod; may reject it for all nodes, or narrow `cycle.candidates`.
- `filter(cycle, node) -> Rejection | None`: may this node run it? The first plugin to reject names the reason.
- `pre_score(cycle, nodes)`, `score(cycle, node) -> float`, `normalize(cycle, scores)`: which node is best, 0–100.
- `post_filter(cycle, rejections) -> PostFilterResult`: what could make room (preemption).

Everything here is a pure function of the snapshot: no I/O, no clock. (k8s.io/kube-scheduler/framework)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..api.object import Object
from .snapshot import NodeInfo, PodInfo, Snapshot

SCORE_MAX = 100.0


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node (or, from PreFilter, every node) cannot take the pod. `resolvable`: removing pods might help."""

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool = True


@dataclass(slots=True)
class Cycle:
    """One attempt to place one pod."""

    pod: Object
    info: PodInfo
    snapshot: Snapshot
    view: Any = None  # listers of claims, volumes, classes, budgets: see scheduler.py
    state: dict[str, Any] = field(default_factory=dict)
    candidates: set[str] | None = None  # node names that PreFilter allows; None: all
    narrowed_by: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class PostFilterResult:
    """`node`: where the pod is nominated to once the `victims` are gone."""

    message: str
    node: str = ""
    victims: tuple[Object, ...] = ()


@dataclass(slots=True)
class Decision:
    """`node` is where the pod goes; "" with the reason why not."""

    node: str = ""
    message: str = ""
    rejections: dict[str, Rejection] = field(default_factory=dict)  # by node name
    plugins: set[str] = field(default_factory=set)  # whose rejections these are
    feasible: int = 0
    victims: tuple[Object, ...] = ()
    nominated: str = ""
    scores: dict[str, float] = field(default_factory=dict)


class Framework:
    """Runs a pod through the plugins, in their order."""

    def __init__(self, plugins: list[tuple[Any, int]]):
        self.plugins = plugins
        self._pre_filters = [p for p, _ in plugins if hasattr(p, "pre_filter")]
        self._filters = [p for p, _ in plugins if hasattr(p, "filter")]
        self._scorers = [(p, weight) for p, weight in plugins if hasattr(p, "score") and weight]
        self._post_filters = [p for p, _ in plugins if hasattr(p, "post_filter")]

    def schedule(self, cycle: Cycle, pick: Callable[[list[str]], str]) -> Decision:
        """`pick` chooses among the best nodes when several are equally good."""
        nodes = cycle.snapshot.nodes
        if not nodes:
            return Decision(message="no nodes available to schedule pods")
        if rejection := self.pre_filter(cycle):
            message = fit_error(len(nodes), None, rejection.reasons) + " not found"
            return Decision(message=message, plugins={rejection.plugin})
        feasible, rejections = self._filter_all(cycle)
        if feasible:
            scores = self._score(cycle, feasible)
            best = max(scores.values())
            return Decision(
                node=pick([name for name, score in scores.items() if score >= best]),
                feasible=len(feasible),
                rejections=rejections,
                scores=scores,
            )
        decision = Decision(rejections=rejections, plugins={r.plugin for r in rejections.values()})
        decision.message = fit_error(len(nodes), rejections, ())
        for plugin in self._post_filters:
            result = plugin.post_filter(cycle, rejections, self)
            decision.message += f" {result.message}"
            decision.nominated, decision.victims = result.node, result.victims
        return decision

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        for plugin in self._pre_filters:
            if rejection := plugin.pre_filter(cycle):
                return rejection
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        for plugin in self._filters:
            if rejection := plugin.filter(cycle, node):
                return rejection
        return None

    def _filter_all(self, cycle: Cycle) -> tuple[list[NodeInfo], dict[str, Rejection]]:
        feasible, rejections = [], {}
        for node in cycle.snapshot.nodes.values():
            if cycle.candidates is not None and node.name not in cycle.candidates:
                who = ", ".join(sorted(cycle.narrowed_by))
                reason = f"node(s) didn't satisfy plugin(s) [{who}]"
                rejections[node.name] = Rejection(min(cycle.narrowed_by), (reason,), resolvable=False)
            elif rejection := self.filter(cycle, node):
                rejections[node.name] = rejection
            else:
                feasible.append(node)
        return feasible, rejections

    def _score(self, cycle: Cycle, nodes: list[NodeInfo]) -> dict[str, float]:
        if len(nodes) == 1:
            return {nodes[0].name: SCORE_MAX}
        total = dict.fromkeys((node.name for node in nodes), 0.0)
        for plugin, weight in self._scorers:
            if hasattr(plugin, "pre_score") and not plugin.pre_score(cycle, nodes):
                continue
            scores = {node.name: plugin.score(cycle, node) for node in nodes}
            if hasattr(plugin, "normalize"):
                plugin.normalize(cycle, scores)
            for name, score in scores.items():
                total[name] += score * weight
        return total


def fit_error(count: int, rejections: dict[str, Rejection] | None, reasons: tuple[str, ...]) -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` (framework.FitError)"""
    if rejections is None:
        return f"0/{count} nodes are available: {', '.join(reasons)}."
    histogram = Counter(reason for rejection in rejections.values() for reason in rejection.reasons)
    lines = sorted(f"{number} {reason}" for reason, number in histogram.items())
    return f"0/{count} nodes are available: {', '.join(lines)}."


def normalize_highest(scores: dict[str, float], reverse: bool = False) -> None:
    """`helper.DefaultNormalizeScore`: the highest becomes 100; reversed, 0 is the best."""
    highest = max(scores.values(), default=0)
    for name, score in scores.items():
        if highest == 0:
            scores[name] = SCORE_MAX if reverse else 0.0
        else:
            value = SCORE_MAX * score // highest
            scores[name] = SCORE_MAX - value if reverse else value
