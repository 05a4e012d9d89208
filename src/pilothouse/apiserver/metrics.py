"""What `/metrics` shows, under Kubernetes' metric names, so that existing dashboards and alerts work.

Each server has a registry of its own. A request costs two look-ups and three additions; whatever can be counted when somebody asks
(objects, connections) is counted then. Other components of the same process add their collectors with `registry.register`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from .routes import RequestInfo

if TYPE_CHECKING:
    from .flow_control import FlowControl, Level
    from .request import Request
    from .server import ApiServer

LABELS = ("component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version")
# of apiserver_request_duration_seconds (apiserver/pkg/endpoints/metrics)
BUCKETS = (
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1,
    1.25,
    1.5,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    15,
    20,
    30,
    45,
    60,
)
VERBS = {"create": "POST", "update": "PUT"}
LONG_RUNNING = ("WATCH", "CONNECT")
CONNECTS = ("exec", "attach", "portforward", "proxy")
SERIES_MAX = 10_000  # label combinations; what comes beyond is not told apart


class Series:
    """The durations of requests alike: how many in each bucket, and their sum."""

    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets, self.sum = [0] * (len(BUCKETS) + 1), 0.0

    def observe(self, seconds: float) -> None:
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        return list(zip(map(floatToGoString, (*BUCKETS, math.inf)), accumulate(self.buckets), strict=True))


class ApiMetrics:
    """Plain numbers while requests come; families of metrics when somebody asks."""

    def __init__(self, server: ApiServer):
        self.registry = CollectorRegistry()
        self.inflight = {"mutating": 0, "readOnly": 0}
        self._counts: dict[tuple[str, ...], int] = {}  # by labels
        self._durations: dict[tuple[str, ...], Series] = {}
        self._known: dict[tuple[Any, ...], tuple[tuple[str, ...], Series | None]] = {}
        ProcessCollector(registry=self.registry)
        self.registry.register(_Counted(server))
        self.registry.register(self)

    def answered(self, request: Request, info: RequestInfo | None, code: int, seconds: float) -> None:
        if info is None:
            return
        dry_run = request.parameter("dryRun") if request.parameters else ""
        key = (info.verb, info.group, info.version, info.resource, info.subresource, bool(info.name), bool(info.namespace), dry_run, code)  # fmt: skip
        known = self._known.get(key)
        if known is None:
            known = self._make(key, info, dry_run, code)
        labels, durations = known
        self._counts[labels] += 1
        if durations is not None:
            durations.observe(seconds)

    def _make(
        self, key: tuple[Any, ...], info: RequestInfo, dry_run: str, code: int
    ) -> tuple[tuple[str, ...], Series | None]:
        if len(self._known) >= SERIES_MAX:
            info, dry_run = RequestInfo("", "other"), ""
        verb = VERBS.get(info.verb, info.verb.upper())
        if info.subresource in CONNECTS:
            verb = "CONNECT"
        scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
        what = (info.resource, scope, info.subresource) if info.resource else ("", "", info.path)
        labels = ("apiserver", dry_run, info.group, *what, verb, info.version)
        durations = None if verb in LONG_RUNNING else self._durations.setdefault(labels, Series())
        counted = (*labels, str(code))
        self._counts.setdefault(counted, 0)
        known = counted, durations
        if len(self._known) < SERIES_MAX:
            self._known[key] = known
        return known

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "apiserver_request",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, "
            "component, and HTTP response code.",
            labels=(*LABELS, "code"),
        )
        for labels, count in self._counts.items():
            requests.add_metric(labels, count)
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, resource, "
            "subresource, scope and component.",
            labels=LABELS,
        )
        for labels, series in self._durations.items():
            durations.add_metric(labels, series.cumulative(), series.sum)
        inflight = GaugeMetricFamily(
            "apiserver_current_inflight_requests",
            "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
            labels=("request_kind",),
        )
        for kind, count in self.inflight.items():
            inflight.add_metric((kind,), count)
        yield from (requests, durations, inflight)

    def exposition(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


class _Counted:
    """What is counted when it is asked for."""

    def __init__(self, server: ApiServer):
        self._server = server

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        from .server import VERSION

        server = self._server
        objects = GaugeMetricFamily(
            "apiserver_storage_objects",
            "Number of stored objects at the time of last check split by kind.",
            labels=("resource",),
        )
        for kind in server.kinds:
            if kind.is_storage_version:
                objects.add_metric((kind.resource,), len(server.cache.collection(kind.prefix)))
        yield objects
        yield from _flow_control(server.flow_control)
        yield CounterMetricFamily(
            "pilothouse_storage_revision", "The newest revision in the cache.", server.cache.revision
        )
        yield GaugeMetricFamily(
            "pilothouse_http_connections", "Open connections of clients.", server.http.connections
        )
        build = GaugeMetricFamily(
            "kubernetes_build_info",
            "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build "
            "date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
            labels=("major", "minor", "git_version", "platform"),
        )
        build.add_metric([VERSION[field] for field in ("major", "minor", "gitVersion", "platform")], 1)
        yield build


# of each priority level
LEVEL_GAUGES: tuple[tuple[str, str, Callable[[Level], float]], ...] = (
    (
        "current_executing_requests",
        "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage",
        lambda level: level.executing,
    ),
    (
        "current_inqueue_requests",
        "Number of requests currently pending in queues",
        lambda level: level.waiting,
    ),
    ("nominal_limit_seats", "Nominal number of execution seats", lambda level: level.limits.nominal),
    ("lower_limit_seats", "Lower bound of the number of execution seats", lambda level: level.limits.lowest),
    ("upper_limit_seats", "Upper bound of the number of execution seats", lambda level: level.limits.highest),
    ("current_limit_seats", "Current number of execution seats", lambda level: level.seats),
    (
        "demand_seats_high_watermark",
        "The most seats that could be used at once, in the last period",
        lambda level: level.demand.high_watermark,
    ),
    (
        "demand_seats_average",
        "Seats that could be used, in the last period",
        lambda level: level.demand.average,
    ),
    ("demand_seats_stdev", "Deviation from that average", lambda level: level.demand.deviation),
    ("demand_seats_smoothed", "Seats that could be used, smoothed", lambda level: level.demand.smoothed),
)


def _flow_control(flow_control: FlowControl) -> Iterator[Metric]:
    prefix = "apiserver_flowcontrol_"
    for name, help_text, value in LEVEL_GAUGES:
        gauge = GaugeMetricFamily(prefix + name, help_text, labels=("priority_level",))
        for level in flow_control.levels.values():
            gauge.add_metric((level.name,), value(level))
        yield gauge
    targets = GaugeMetricFamily(
        prefix + "target_seats", "Seat allocation targets", labels=("priority_level",)
    )
    for level_name, target in flow_control.targets.items():
        targets.add_metric((level_name,), target)
    yield targets
    fraction = "Fair fraction of server's concurrency to allocate to each priority level that can use it"
    yield GaugeMetricFamily(prefix + "seat_fair_frac", fraction, flow_control.fair_fraction)
    for name, labels, counts in (
        ("rejected_requests", ("flow_schema", "priority_level", "reason"), flow_control.rejected),
        ("dispatched_requests", ("flow_schema", "priority_level"), flow_control.dispatched),
    ):
        counter = CounterMetricFamily(prefix + name, f"Number of {name.replace('_', ' ')}", labels=labels)
        for label_values, count in counts.items():
            counter.add_metric(label_values, count)
        yield counter
