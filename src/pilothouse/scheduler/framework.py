"""The scheduler's extension points, with Kubernetes' names, and the pure cycle that runs plugins through them.

A plugin is a class in a file of its own under `plugins/`, a subclass of `Plugin` with a `name` and any of these methods; the
table of plugins is `plugins/__init__.py`. All get `Cycle`, which holds the pod, the snapshot and what PreFilter left for later
(`cycle.state[plugin.name]`).

- `pre_filter(cycle) -> Rejection | None`: once a pod; may reject it for all nodes, narrow `cycle.candidates`, or, when there
  is nothing for the plugin to look at, `cycle.skip(self)` its filter.
- `filter(cycle, node) -> Rejection | None`: may this node run it? The first plugin to reject names the reason.
- `pre_score(cycle, nodes) -> bool`: whether there is anything to score; `score(cycle, node) -> float`,
  `normalize(cycle, scores)`: which node is best, 0–100.
- `post_filter(cycle, rejections, framework) -> PostFilterResult`: what could make room (preemption).

A plugin that is `local` judges a node by the pod's spec (`PodInfo.signature`) and that node alone. Its verdicts are kept for the
next pod of the same template, until the node changes: that, and looking at a part of many nodes only (as upstream), is
what makes large clusters fast. In the table, the local filters come before the others.

Everything here is a pure function of the snapshot: no I/O, no clock. (k8s.io/kube-scheduler/framework)
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..api.object import Object, get
from .snapshot import NodeInfo, PodInfo, Snapshot

SCORE_MAX = 100.0
NODES_ALL_MAX = 100  # a cluster up to this size is looked at whole
TEMPLATES_MAX = 64  # whose verdicts are kept


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
    view: Any = None  # listers of claims, volumes, classes, budgets: see view.py
    state: dict[str, Any] = field(default_factory=dict)
    candidates: set[str] | None = None  # node names that PreFilter allows; None: all
    narrowed_by: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)

    def skip(self, plugin: Plugin) -> None:
        self.skipped.add(plugin.name)


class Plugin:
    """All methods are optional: a plugin takes part where it defines one."""

    name: ClassVar[str]
    local: ClassVar[bool] = False

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        return None

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        return True

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        return 0.0

    def scores(self, cycle: Cycle, nodes: list[NodeInfo]) -> list[float]:
        """For a plugin that has a faster way than one node after the other."""
        return [self.score(cycle, node) for node in nodes]

    def normalize(self, cycle: Cycle, scores: list[float]) -> list[float]:
        return scores

    def post_filter(
        self, cycle: Cycle, rejections: dict[str, Rejection], framework: Framework
    ) -> PostFilterResult:
        return PostFilterResult("")


def _defines(plugin: Plugin, method: str) -> bool:
    return getattr(type(plugin), method) is not getattr(Plugin, method)


@dataclass(frozen=True, slots=True)
class PostFilterResult:
    """`node`: where the pod is nominated to once the `victims` are gone; "" for nowhere (any more), None as it was."""

    message: str
    node: str | None = None
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
    nominated: str | None = None  # as in PostFilterResult
    compared: tuple[list[NodeInfo], list[float]] = ((), ())  # type: ignore[assignment]  # feasible nodes, their scores

    @property
    def scores(self) -> dict[str, float]:
        return {node.name: score for node, score in zip(*self.compared, strict=True)}


@dataclass(slots=True)
class _Verdict:
    """What the local plugins say of one node in one state."""

    generation: int
    rejection: Rejection | None
    scores: tuple[float, ...] = ()  # of the local scorers that are active, before they are normalized
    total: float = 0.0  # of those that need no normalizing, weighted


class Framework:
    """Runs a pod through the plugins, in their order."""

    def __init__(self, plugins: list[tuple[Plugin, int]]):
        self.plugins = plugins
        self._pre_filters = [p for p, _ in plugins if _defines(p, "pre_filter")]
        filters = [p for p, _ in plugins if _defines(p, "filter")]
        self._filters = filters
        self._scorers = [(p, weight) for p, weight in plugins if _defines(p, "score") and weight]
        self._post_filters = [p for p, _ in plugins if _defines(p, "post_filter")]
        self._verdicts: OrderedDict[bytes, dict[str, _Verdict]] = OrderedDict()
        self._next = 0  # where the next look at a part of many nodes begins

    def schedule(self, cycle: Cycle, pick: Callable[[list[str]], str]) -> Decision:
        """`pick` chooses among the best nodes when several are equally good."""
        nodes = cycle.snapshot.nodes
        if not nodes:
            return Decision(message="no nodes available to schedule pods", nominated="")
        if rejection := self.pre_filter(cycle):
            message = fit_error(len(nodes), None, rejection.reasons) + " not found"
            return Decision(message=message, plugins={rejection.plugin})
        nominated = nodes.get(get(cycle.pod, "status.nominatedNodeName", ""))
        if nominated is not None and self.filter(cycle, nominated) is None:
            return Decision(node=nominated.name, feasible=1)  # others made room there
        feasible, rejections, verdicts = self._filter_all(cycle)
        if feasible:
            scores = self._score(cycle, feasible, verdicts)
            best = max(scores)
            return Decision(
                node=pick([n.name for n, score in zip(feasible, scores, strict=True) if score >= best]),
                feasible=len(feasible),
                rejections=rejections,
                compared=(feasible, scores),
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
            if plugin.name not in cycle.skipped and (rejection := plugin.filter(cycle, node)):
                return rejection
        return None

    # -- filtering

    def _of_template(self, cycle: Cycle) -> dict[str, _Verdict]:
        signature = cycle.info.signature()
        verdicts = self._verdicts.get(signature)
        if verdicts is None:
            verdicts = self._verdicts[signature] = {}
            if len(self._verdicts) > TEMPLATES_MAX:
                self._verdicts.popitem(last=False)
        else:
            self._verdicts.move_to_end(signature)
        return verdicts

    def _filter_all(self, cycle: Cycle) -> tuple[list[NodeInfo], dict[str, Rejection], list[_Verdict]]:
        """As many feasible nodes as are to be compared, why others are not, and the verdicts on the feasible ones."""
        active = [p for p in self._filters if p.name not in cycle.skipped]
        local = [p for p in active if p.local]
        others = [p for p in active if not p.local]
        nodes, kept = cycle.snapshot.ordered(), self._of_template(cycle)
        wanted, start = enough(len(nodes)), self._next % len(nodes) if len(nodes) > NODES_ALL_MAX else 0
        feasible: list[NodeInfo] = []
        verdicts: list[_Verdict] = []
        rejections: dict[str, Rejection] = {}
        looked_at, candidates, known = 0, cycle.candidates, kept.get
        for node in nodes[start:] + nodes[:start] if start else nodes:
            looked_at += 1
            if candidates is not None and node.name not in candidates:
                rejections[node.name] = _narrowed(cycle)
                continue
            verdict = known(node.name)
            if verdict is None or verdict.generation != node.generation:
                verdict = kept[node.name] = _Verdict(node.generation, _first(local, cycle, node))
            if verdict.rejection is not None:
                rejections[node.name] = verdict.rejection
            elif others and (rejection := _first(others, cycle, node)):
                rejections[node.name] = rejection
            else:
                feasible.append(node)
                verdicts.append(verdict)
                if len(feasible) >= wanted:
                    break
        self._next = (start + looked_at) % len(nodes)
        return feasible, rejections, verdicts

    # -- scoring

    def _score(self, cycle: Cycle, nodes: list[NodeInfo], verdicts: list[_Verdict]) -> list[float]:
        if len(nodes) == 1:
            return [0.0]
        active = [(p, weight) for p, weight in self._scorers if p.pre_score(cycle, nodes)]
        local = [(p, weight) for p, weight in active if p.local]
        count, pairs = len(local), zip(nodes, verdicts, strict=True)
        for node, verdict in [pair for pair in pairs if len(pair[1].scores) != count]:
            verdict.scores = tuple([plugin.score(cycle, node) for plugin, _ in local])
            verdict.total = sum(
                score * weight
                for score, (plugin, weight) in zip(verdict.scores, local, strict=True)
                if not _defines(plugin, "normalize")
            )
        total = [verdict.total for verdict in verdicts]
        for plugin, weight in active:
            if not plugin.local:
                scores = plugin.scores(cycle, nodes)
            elif _defines(plugin, "normalize"):
                position = local.index((plugin, weight))
                scores = [verdict.scores[position] for verdict in verdicts]
            else:
                continue
            scores = plugin.normalize(cycle, scores)
            total = [sum_ + score * weight for sum_, score in zip(total, scores, strict=True)]
        return total


def _first(plugins: list[Plugin], cycle: Cycle, node: NodeInfo) -> Rejection | None:
    for plugin in plugins:
        if rejection := plugin.filter(cycle, node):
            return rejection
    return None


def _narrowed(cycle: Cycle) -> Rejection:
    reason = f"node(s) didn't satisfy plugin(s) [{', '.join(sorted(cycle.narrowed_by))}]"
    return Rejection(min(cycle.narrowed_by), (reason,), resolvable=False)


def enough(count: int) -> int:
    """How many feasible nodes of so many are compared (`numFeasibleNodesToFind`): half, fewer of very many, at least 100."""
    if count <= NODES_ALL_MAX:
        return count
    return max(NODES_ALL_MAX, count * max(5, 50 - count // 125) // 100)


def fit_error(count: int, rejections: dict[str, Rejection] | None, reasons: tuple[str, ...]) -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` (framework.FitError)"""
    if rejections is None:
        return f"0/{count} nodes are available: {', '.join(reasons)}."
    histogram = Counter(reason for rejection in rejections.values() for reason in rejection.reasons)
    lines = sorted(f"{number} {reason}" for reason, number in histogram.items())
    return f"0/{count} nodes are available: {', '.join(lines)}."


def normalize_highest(scores: list[float], reverse: bool = False) -> list[float]:
    """`helper.DefaultNormalizeScore`: the highest becomes 100; reversed, 0 is the best."""
    highest = max(scores, default=0.0)
    if highest == 0:
        return [SCORE_MAX if reverse else 0.0] * len(scores)
    if reverse:
        return [SCORE_MAX - SCORE_MAX * score // highest for score in scores]
    return [SCORE_MAX * score // highest for score in scores]
